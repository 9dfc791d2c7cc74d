"""Taps are exact, stop where they can, and leave no trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.errors import NotFound, WrongUse
from backbones.features.taps import Taps, tap
from backbones.features.twin import last_layer
from backbones.models import build
from backbones.nn.naming import paper_names

TINY = [name for name in catalog.names() if name.endswith("_tiny")]


def images(model: Any, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    side = model.row.input_px
    return torch.randn(count, model.in_channels, side, side, generator=generator)


def by_hand(model: nn.Module, x: Tensor) -> dict[str, list[Tensor]]:
    """Copies of everything that every layer gives, call by call."""
    values: dict[str, list[Tensor]] = {}

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def see(_layer: nn.Module, _given: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                values.setdefault(path, []).append(output.clone())

        return see

    handles = [
        layer.register_forward_hook(keep(path)) for path, layer in model.named_modules() if path
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return values


@contextmanager
def forbidden(model: nn.Module, paths: list[str]) -> Iterator[None]:
    """Inside, these layers must not run."""

    def fail(*_: object) -> None:
        pytest.fail("a layer past the last tap ran")

    handles = [model.get_submodule(path).register_forward_pre_hook(fail) for path in paths]
    yield
    for handle in handles:
        handle.remove()


def hooks_of(model: nn.Module) -> int:
    return sum(len(layer._forward_hooks) for layer in model.modules())


@pytest.mark.parametrize("name", TINY)
def test_every_named_layer_of_every_family_is_exact(name: str) -> None:
    model = build(name, seed=0).eval()
    x = images(model)
    with torch.no_grad():
        expected = by_hand(model, x)
        names = {path: said for path, said in paper_names(model).items() if path in expected}
        found = tap(model, list(names.values()))(x)
    assert list(found) == list(names.values())
    for path, said in names.items():
        assert torch.equal(found[said], expected[path][-1]), said
    assert hooks_of(model) == 0


@pytest.mark.parametrize("name", TINY)
def test_every_layer_alone_is_exact_and_stops_in_time(name: str) -> None:
    model = build(name, seed=0).eval()
    x = images(model, 1)
    with torch.no_grad():
        expected = by_hand(model, x)
        order = list(expected)
        for path in order[:: max(1, len(order) // 12)]:
            later = [
                p
                for p in order[order.index(path) + 1 :]
                if len(expected[p]) == 1 and not path.startswith(f"{p}.")
            ]
            with forbidden(model, later if len(expected[path]) == 1 else []):
                assert torch.equal(tap(model, path)(x)[path], expected[path][-1]), path


def test_values_before_an_in_place_relu_are_negative_too() -> None:
    model = build("vgg_tiny", seed=0).eval()
    found = tap(model, ["bn2_1", "relu2_1", "conv3_1"])(images(model))
    assert found["bn2_1"].min() < 0 <= found["relu2_1"].min()
    assert torch.equal(found["relu2_1"], found["bn2_1"].clamp(min=0))
    assert torch.equal(found["conv3_1"], model.features[8](model.features[7](found["relu2_1"])))


class AddsInPlace(nn.Module):
    """What comes out of `conv` is overwritten by `+=`, by a view's ReLU, and by `zero_`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 3, 1), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += 1
        torch.relu_(y.view(-1))
        z: Tensor = self.last(y).clone()
        y.zero_()
        return self.last(z)


def test_any_in_place_operation_afterwards_leaves_the_tap_alone() -> None:
    model, x = AddsInPlace(), torch.randn(1, 3, 4, 4)
    expected = model.conv(x)
    found = tap(model, ["conv", "last@1", "last"])(x)
    assert torch.equal(found["conv"], expected)
    assert torch.equal(found["last@1"], (expected + 1).relu())
    assert torch.equal(found["last"], found["last@1"])


def test_what_nothing_overwrites_is_not_copied() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 4, 1), nn.ReLU(True))
    x, given = torch.randn(1, 3, 4, 4), []
    for layer in model:
        layer.register_forward_hook(lambda _m, _x, y: given.append(y.data_ptr()))
    found = tap(model, ["1", "2"])(x)  # it stops before the ReLU
    assert [value.data_ptr() for value in found.values()] == given[1:3]
    given.clear()
    found = tap(model, ["1", "2", "3"])(x)
    assert [value.data_ptr() in given for value in found.values()] == [True, False, True]


class Shared(nn.Module):
    """One ReLU for everything, as in the blocks of a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.second(self.relu(self.first(x))))
        return y


def test_a_shared_layer_gives_its_last_call_unless_another_is_asked_for() -> None:
    model, x = Shared(), torch.randn(3, 4)
    first = model.first(x).relu()
    last = model.second(first).relu()
    found = tap(model, ["relu", "relu@1", "relu@2"])(x)
    assert torch.equal(found["relu@1"], first)
    assert torch.equal(found["relu@2"], last)
    assert torch.equal(found["relu"], last)
    with pytest.raises(WrongUse, match="did not run relu@3 in training mode"):
        tap(model, ["relu@3"])(x)
    with pytest.raises(NotFound, match="counted from 1"):
        tap(model, ["relu@0"])


def test_the_residual_sum_and_what_comes_before_it(torchvision: ModuleType) -> None:
    """A block of torchvision's: `out += identity` and one ReLU, both in place."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    x = torch.randn(1, 3, 64, 64)
    names = ["layer1.0.relu@1", "layer1.0.bn2", "layer1.0.relu", "layer1.0"]
    with torch.no_grad():
        expected = by_hand(model, x)
        found = tap(model, names)(x)
    assert torch.equal(found["layer1.0.relu@1"], expected["layer1.0.relu"][0])
    assert torch.equal(found["layer1.0.relu"], expected["layer1.0.relu"][1])
    assert torch.equal(found["layer1.0.bn2"], expected["layer1.0.bn2"][0])
    assert torch.equal(found["layer1.0"], found["layer1.0.relu"])
    assert found["layer1.0.bn2"].min() < 0


@pytest.mark.parametrize("name", ["vgg_tiny", "resnet_tiny", "densenet_tiny", "efficientnet_tiny"])
def test_gradients_are_those_of_the_network(name: str) -> None:
    model = build(name, seed=0).eval()
    path = model.stages[1][1]
    mine = images(model).requires_grad_()
    theirs = mine.detach().clone().requires_grad_()
    tap(model, [model.stages[0][1], path])(mine)[path].square().sum().backward()
    grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    kept: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_hook(lambda _m, _x, y: kept.append(y + 0))
    model(theirs)
    handle.remove()
    kept[0].square().sum().backward()
    assert torch.equal(mine.grad, theirs.grad)
    assert grads
    for key, parameter in model.named_parameters():
        assert (parameter.grad is None) == (key not in grads), key
        assert parameter.grad is None or torch.equal(parameter.grad, grads[key])


def test_it_is_the_model_s_own_module() -> None:
    model = build("resnet_tiny", seed=0)
    model.layer1.eval()  # a frozen part stays as it is
    taps = tap(model, ["conv2_x"])
    assert taps.training
    assert not model.layer1.training
    assert {id(p) for p in taps.parameters()} == {id(p) for p in model.parameters()}
    assert {key.removeprefix("model.") for key in taps.state_dict()} == model.state_dict().keys()
    taps.eval()
    assert not model.training
    assert repr(taps).startswith("Taps(\n  conv2_x")
    with torch.no_grad():
        before = taps(images(model))["conv2_x"]
        taps.load_state_dict({k: v + 1 for k, v in taps.state_dict().items()})
        assert not torch.equal(taps(images(model))["conv2_x"], before)


@pytest.mark.parametrize("mode", ["no_grad", "inference", "autocast", "eager", "aot_eager"])
def test_under_every_mode_it_gives_what_the_network_gives(mode: str) -> None:
    model = build("resnet_tiny", seed=0).eval()
    taps: Any = tap(model, ["conv2_x", "conv3_1/bn1"])
    x = images(model)
    contexts: dict[str, Any] = {
        "no_grad": torch.no_grad(),
        "inference": torch.inference_mode(),
        "autocast": torch.autocast("cpu", torch.bfloat16),
    }
    with contexts.get(mode, torch.enable_grad()):
        expected = by_hand(model, x)
        run = torch.compile(taps, backend=mode) if "eager" in mode else taps
        for _ in range(2):
            found = run(x)
            assert torch.equal(found["conv2_x"], expected["layer1"][0])
            assert torch.equal(found["conv3_1/bn1"], expected["layer2.0.bn1"][0])
    assert found["conv2_x"].requires_grad == (mode not in ("no_grad", "inference"))
    assert torch.equal(run(x + 1)["conv2_x"], taps(x + 1)["conv2_x"])


@pytest.mark.our_rounding
def test_a_compiled_network_is_tapped_where_it_came_from() -> None:
    model = build("resnet_tiny", seed=0).eval()
    x = images(model)
    compiled: Any = torch.compile(model, backend="eager")
    compiled(x)
    assert torch.equal(tap(compiled, "conv2_x")(x)["conv2_x"], tap(model, "layer1")(x)["layer1"])


class Breaks(nn.Module):
    """Fails after its first layer, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        raise ZeroDivisionError("as it is")


def test_an_error_inside_comes_through_and_leaves_no_hooks() -> None:
    model, x = Breaks(), torch.randn(1, 2)
    with pytest.raises(ZeroDivisionError, match="as it is"):
        tap(model, ["first", "second"])(x)
    assert hooks_of(model) == 0
    assert tap(model, ["first"])(x)["first"].shape == (1, 2)  # it does not get as far


class ByValue(nn.Module):
    """Goes its way by what it sees, which no twin without numbers can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if x.sum() > 0:
            x = self.layer(x)
        return F.relu_(self.other(x)) if x.sum() < 1e9 else x


def test_a_network_that_decides_by_values_is_run_whole_and_right() -> None:
    model = ByValue()
    nn.init.eye_(model.layer.weight)
    nn.init.ones_(model.layer.bias)
    taps = tap(model, ["layer", "layer@1", "other"])
    once, twice = torch.full((1, 2), -9.0), torch.full((1, 2), 9.0)
    assert taps(twice)["layer"].tolist()[0] == pytest.approx([11, 11])
    assert taps(twice)["layer@1"].tolist()[0] == pytest.approx([10, 10])
    assert taps(once)["layer"].tolist()[0] == pytest.approx([-8, -8])
    found = taps(once)
    assert torch.equal(found["other"], model.other(found["layer"]))


def test_two_taps_and_another_s_hooks_do_not_disturb_each_other() -> None:
    model = build("vgg_tiny", seed=0).eval()
    x, seen = images(model), []
    model.features[4].register_forward_hook(lambda *_: seen.append(1))
    early, late = tap(model, "conv1_1"), tap(model, "fc6")
    nested: list[Tensor] = []
    handle = model.features[8].register_forward_hook(
        lambda *_: nested.append(early(x)["conv1_1"]) if not nested else None
    )
    found = late(x)["fc6"]
    handle.remove()
    assert len(seen) == 1, "the twin ran somebody's hook, or the hook was lost"
    assert torch.equal(nested[0], early(x)["conv1_1"])
    assert torch.equal(found, late(x)["fc6"])
    assert hooks_of(model) == 1


def test_threads_share_a_model() -> None:
    model = build("resnet_tiny", seed=0).eval()
    x = images(model)
    asked = ["conv2_x", "conv1", "conv3_1/bn2", "pool1"]
    expected = {name: tap(model, name)(x)[name].detach() for name in asked}
    logits = model(x).detach()
    wrong: list[str] = []

    def work(name: str) -> None:
        taps = tap(model, name)
        for _ in range(20):
            if not torch.equal(taps(x)[name], expected[name]):
                wrong.append(name)
            if not torch.equal(model(x), logits):
                wrong.append("logits")

    threads = [threading.Thread(target=work, args=(name,)) for name in asked * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert hooks_of(model) == 0


def test_other_sizes_and_modes_are_looked_at_anew() -> None:
    model = build("googlenet_tiny", seed=0)
    taps = tap(model, ["inception (4a)", "linear"])
    for mode in (True, False):
        taps.train(mode)
        for side in (32, 48):
            assert taps(torch.randn(2, 3, side, side))["linear"].shape == (2, 10)
    with pytest.raises(WrongUse, match="did not run aux1/fc2 in evaluation mode"):
        tap(model, "aux1/fc2")(torch.randn(1, 3, 32, 32))
    assert tap(model.train(), "aux1/fc2")(torch.randn(2, 3, 32, 32))["aux1/fc2"].shape == (2, 10)


def test_the_twin_moves_no_random_numbers_and_no_statistics() -> None:
    model = build("efficientnet_tiny", seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = images(model)
    torch.manual_seed(0)
    late = tap(model, "features.4")
    torch.manual_seed(0)
    first = late(x)["features.4"]
    model.load_state_dict(before)
    torch.manual_seed(0)
    assert torch.equal(late(x)["features.4"], first)
    assert model.features[0][1].num_batches_tracked == 1


@pytest.mark.parametrize("name", TINY)
def test_what_goes_into_the_last_layer_makes_the_logits(name: str) -> None:
    model = build(name, seed=0).eval()
    x = images(model)
    last = last_layer(model, x)
    with torch.no_grad():
        found = tap(model, [f"into:{last}", last])(x)
        assert torch.equal(model.get_submodule(last)(found[f"into:{last}"]), found[last])
        logits = found[last]
        if logits.dim() == 4:  # NIN averages what its last layer gives
            logits = logits.relu().mean((2, 3))
        assert torch.allclose(logits, model(x))
    assert hooks_of(model) == 0


def test_an_input_is_seen_before_the_layer_changes_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(inplace=True)), nn.Sigmoid())
    x = torch.randn(1, 3, 4, 4)
    found = tap(model, ["into:1", "2"])(x)
    assert torch.equal(found["into:1"], model[0](x))
    assert found["into:1"].min() < 0
    with pytest.raises(WrongUse, match="no layer with weights"):
        last_layer(nn.Sequential(nn.ReLU()), x)


def test_wrong_names_are_told() -> None:
    model = build("vgg_tiny", seed=0).eval()
    with pytest.raises(NotFound, match=r"Did you mean .*relu4_1"):
        tap(model, "relu4_2")
    with pytest.raises(WrongUse, match="no names"):
        tap(model, [])
    pair = nn.Sequential(nn.LSTM(3, 3))
    with pytest.raises(WrongUse, match="gives a tuple, expected a tensor"):
        tap(pair, "0")(torch.randn(1, 2, 3))
    assert isinstance(tap(model, "fc8"), Taps)
