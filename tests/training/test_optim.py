"""Parts, groups and optimisers, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from backbones.errors import RecipeError
from backbones.models import build
from backbones.training.average import Average, decay_at
from backbones.training.optim import (
    build_optimizer,
    class_weight_tensor,
    freeze,
    matching,
    parameter_groups,
    set_learning_rate,
    train_mode,
)
from backbones.training.recipe import Optimizer, ParameterGroup, Recipe


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)
    )


def test_head_and_old_are_everything(net):
    head, old = matching(net, "head"), matching(net, "old")
    assert head == {"4.weight", "4.bias"}
    assert head | old == matching(net, "all")
    assert not head & old
    assert "1.running_mean" in old


@pytest.mark.parametrize(
    ("name", "head"),
    [("vgg_tiny", "classifier."), ("lenet5_tiny", ""), ("nin_tiny", "")],
)
def test_the_head_of_every_family_names_the_classes(name, head):
    model = build(name, num_classes=7)
    names = matching(model, "head")
    shapes = {model.state_dict()[name].shape[0] for name in names}
    assert shapes == {7}
    assert all(name.startswith(head) for name in names)


def test_a_match_is_a_module_or_a_pattern_but_not_half_a_name(net):
    assert matching(net, "1") == {
        "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
    }  # fmt: skip
    assert matching(net, "*.bias") == {"0.bias", "1.bias", "3.bias", "4.bias"}
    with pytest.raises(RecipeError, match="no parameter matches 'featurs'"):
        matching(build("vgg_tiny"), "featurs")


def test_decay_spares_norm_and_bias_as_asked(net):
    row = Optimizer(weight_decay=0.1, decay_norm=False, decay_bias=False)
    groups = parameter_groups(net, Recipe(optimizer=row))
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    named = {name: decays[id(p)] for name, p in net.named_parameters()}
    assert {name for name, decay in named.items() if decay == 0.1} == {
        "0.weight",
        "3.weight",
        "4.weight",
    }
    biases_too = parameter_groups(
        net, Recipe(optimizer=row.model_copy(update={"decay_bias": True}))
    )
    decays = {id(p): g["weight_decay"] for g in biases_too for p in g["params"]}
    assert decays[id(net[0].bias)] == 0.1
    assert decays[id(net[1].bias)] == 0.0


def test_old_layers_learn_at_a_tenth_and_the_schedule_scales_both(net):
    row = Recipe(optimizer=Optimizer(lr=0.5), parts=(ParameterGroup(match="old", lr_scale=0.1),))
    optimizer = build_optimizer(net, row)
    assert set_learning_rate(optimizer, 0.5) == 0.25
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates[id(net[0].weight)] == pytest.approx(0.025)
    assert rates[id(net[4].bias)] == 0.25


def test_the_first_part_that_matches_counts(net):
    parts = (ParameterGroup(match="3", lr_scale=0.0), ParameterGroup(match="old", lr_scale=0.1))
    groups = parameter_groups(net, Recipe(optimizer=Optimizer(lr=1.0), parts=parts))
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert rates[id(net[3].weight)] == 0.0


def test_frozen_batch_norm_stays_in_evaluation_mode_and_the_rest_trains(net):
    frozen = freeze(net, ["1"])
    train_mode(net, frozen)
    assert [module.training for module in net] == [True, False, True, True, True]
    assert not net[1].weight.requires_grad
    assert len([p for g in parameter_groups(net, Recipe()) for p in g["params"]]) == 6


def test_freezing_everything_is_refused(net):
    with pytest.raises(RecipeError, match="nothing to train"):
        freeze(net, ["head", "old"])


def _two_steps(row: Optimizer, gradients: list[float]) -> float:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    optimizer = build_optimizer(net, Recipe(optimizer=row))
    for gradient in gradients:
        net.weight.grad = torch.full_like(net.weight, gradient)
        optimizer.step()
    return float(net.weight.detach())


@pytest.mark.parametrize("fused", [True, False])
def test_sgd_by_hand(fused):
    row = Optimizer(kind="sgd", lr=0.1, momentum=0.5, weight_decay=0.1, fused=fused)
    weight, velocity = 2.0, 0.0
    for gradient in (1.0, 3.0):
        velocity = 0.5 * velocity + gradient + 0.1 * weight
        weight -= 0.1 * velocity
    assert _two_steps(row, [1.0, 3.0]) == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize("fused", [True, False])
def test_adam_by_hand(kind, fused):
    row = Optimizer(kind=kind, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, fused=fused)
    weight = 2.0
    mean = square = 0.0
    for step, gradient in enumerate((1.0, 3.0), start=1):
        if kind == "adamw":
            weight -= 0.1 * 0.1 * weight
        else:
            gradient += 0.1 * weight
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        root = math.sqrt(square / (1 - 0.9**step)) + 1e-3
        weight -= 0.1 * mean / (1 - 0.8**step) / root
    assert _two_steps(row, [1.0, 3.0]) == pytest.approx(weight, rel=1e-5)


def test_rmsprop_by_hand():
    row = Optimizer(kind="rmsprop", lr=0.1, alpha=0.9, momentum=0.5, eps=1e-2, fused="auto")
    weight, square, velocity = 2.0, 0.0, 0.0
    for gradient in (1.0, 3.0):
        square = 0.9 * square + 0.1 * gradient**2
        velocity = 0.5 * velocity + gradient / (math.sqrt(square) + 1e-2)
        weight -= 0.1 * velocity
    assert _two_steps(row, [1.0, 3.0]) == pytest.approx(weight, rel=1e-6)


def test_rmsprop_of_tensorflow_by_hand():
    """The square begins at 1, epsilon stands under the root, and each step keeps its own rate."""
    row = Optimizer(
        kind="rmsprop_tf", lr=0.1, alpha=0.9, momentum=0.5, eps=1.0, weight_decay=0.1, fused="auto"
    )
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    optimizer = build_optimizer(net, Recipe(optimizer=row))
    weight, square, velocity = 2.0, 1.0, 0.0
    for gradient, factor in ((1.0, 1.0), (3.0, 0.5)):
        rate = set_learning_rate(optimizer, factor)
        total = gradient + 0.1 * weight
        square = 0.9 * square + 0.1 * total**2
        velocity = 0.5 * velocity + rate * total / math.sqrt(square + 1.0)
        weight -= velocity
        net.weight.grad = torch.full_like(net.weight, gradient)
        optimizer.step()
    assert float(net.weight.detach()) == pytest.approx(weight, rel=1e-6)


def test_a_polyak_average_is_the_plain_mean_of_the_steps_since():
    net = nn.Linear(3, 2).double()
    average, seen = Average(net, None, since=2), []
    for step in range(6):
        with torch.no_grad():
            net.weight += step + 1
        average.update(net, step)
        seen.append(net.weight.detach().clone())
        if step < 2:
            assert torch.equal(average.model.weight, net.weight)
    torch.testing.assert_close(average.model.weight.data, torch.stack(seen[2:]).mean(0))


def test_a_fused_rmsprop_does_not_exist(net):
    with pytest.raises(RecipeError, match="no fused rmsprop"):
        build_optimizer(net, Recipe(optimizer=Optimizer(kind="rmsprop", fused=True)))


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_fused_and_plain_agree_in_channels_last_order(kind):
    """Fused kernels walk over raw memory: weights, gradients and state have to lie alike."""
    ends = []
    for fused in (True, False):
        torch.manual_seed(0)
        net = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(net, Recipe(optimizer=Optimizer(kind=kind, fused=fused)))
        images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
        for _ in range(3):
            optimizer.zero_grad()
            net(images).square().mean().backward()
            optimizer.step()
        ends.append(net.weight.detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-6)


def test_class_weights():
    labels = torch.tensor([0, 0, 0, 1])
    classes = ("cat", "dog", "eel")
    assert class_weight_tensor("none", classes, labels) is None
    balanced = class_weight_tensor("balanced", classes, labels)
    assert balanced.tolist() == pytest.approx([2 / 3, 2.0, 0.0])
    assert float(balanced[labels].mean()) == pytest.approx(1.0)
    assert class_weight_tensor({"dog": 5.0}, classes, labels).tolist() == [1, 5, 1]
    with pytest.raises(RecipeError, match=r"'dgo', which is no class.*Did you mean dog"):
        class_weight_tensor({"dgo": 5.0}, classes, labels)


def test_an_average_of_equal_weights_is_that_weight_to_the_bit():
    net = nn.Linear(5, 5)
    average = Average(net, 0.99)
    for step in range(7):
        average.update(net, step)
    assert torch.equal(average.model.weight, net.weight)


def test_the_average_copies_buffers_and_shares_nothing(net):
    average = Average(net, 0.5)
    with torch.no_grad():
        net[1].running_mean += 1
        net[1].num_batches_tracked += 3
        net[0].weight += 1
    average.update(net, 100)
    assert torch.equal(average.model[1].running_mean, net[1].running_mean)
    assert int(average.model[1].num_batches_tracked) == 3
    assert not torch.equal(average.model[0].weight, net[0].weight)
    assert decay_at(10**9, 0.5) == 0.5
