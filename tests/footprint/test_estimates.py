"""Memory: by hand, against PyTorch's own allocator, and what must stay as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.errors import NotFound, WrongUse
from backbones.footprint import liveness
from backbones.footprint.estimates import inference_memory, largest_batch, training_memory
from backbones.footprint.passes import run_pass
from backbones.footprint.torchsummary import torchsummary_total
from backbones.models import build, find_row, make
from backbones.nn.auxiliary import total_loss

TINY = [name for name in catalog.names() if name.endswith("_tiny")]
BATCH = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def allocator(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    """It listens to PyTorch's allocator."""
    return benchmark_module("allocator")


def shape_of(network: Any) -> tuple[int, int, int]:
    return network.in_channels, network.row.input_px, network.row.input_px


def evaluate(network: nn.Module, shape: tuple[int, ...]) -> None:
    network.eval()
    with torch.no_grad():
        x = torch.zeros(BATCH, *shape)
        network(x)


def train(network: nn.Module, shape: tuple[int, ...], bf16: bool = False) -> None:
    network.train()
    x, labels = torch.zeros(BATCH, *shape), torch.zeros(BATCH, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = network(x)
    total_loss(output, lambda logits: F.cross_entropy(logits.float(), labels)).backward()


def trained_peak(
    allocator: ModuleType, network: nn.Module, shape: tuple[int, ...], bf16: bool = False
) -> int:
    """Measured on the second step: the first one builds what libraries keep."""
    train(network, shape, bf16)
    network.zero_grad(set_to_none=True)
    measured: int = allocator.measure(lambda: train(network, shape, bf16)).without_scratch
    network.zero_grad(set_to_none=True)
    return measured


def test_two_layers_by_hand() -> None:
    """Every byte: 2 images of 3 numbers, 3 -> 5 -> 4, ReLU between them."""
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4))
    parameters = 4 * (3 * 5 + 5 + 5 * 4 + 4)
    images, labels, hidden, logits, scalar = 4 * 2 * 3, 8 * 2, 4 * 2 * 5, 4 * 2 * 4, 4

    inference = inference_memory(network, (3,), batch=2)
    # the ReLU holds what goes in and what comes out; the last layer would need 40 + 32
    assert inference.activations == 2 * hidden
    assert (inference.parameters, inference.buffers, inference.images) == (parameters, 0, 24)
    assert inference.peak == parameters + images + 2 * hidden
    assert inference.layer == "1"

    training = training_memory(network, (3,), batch=2, optimizer="adam")
    assert training.images == images + labels
    # kept: the ReLU's answer, the logits that the caller holds, their log softmax, the loss, and
    # the sum of the weights of its labels. The ReLU's input is needed by nobody.
    assert training.activations == hidden + 2 * logits + 2 * scalar
    assert training.gradients == parameters
    assert training.optimizer_state == 2 * parameters + 4 * 4  # two moments, and four step counts
    # the fullest moment is the ReLU's backward pass. Alive are its answer, the logits, the loss and
    # its gradient of 1, the gradients of the last layer's weights, and those of what goes into and
    # comes out of the ReLU; the first layer's gradients come when these go
    fullest = hidden + logits + 2 * scalar + 4 * (5 * 4 + 4) + 2 * hidden
    assert training.peak == 3 * parameters + 4 * 4 + images + labels + fullest
    assert training.fullest == "backward, in threshold_backward"


@pytest.mark.parametrize("name", TINY)
def test_an_evaluation_allocates_what_is_predicted(name: str, allocator: ModuleType) -> None:
    network = build(name, seed=0)
    shape = shape_of(network)
    evaluate(network, shape)
    measured = allocator.measure(lambda: evaluate(network, shape)).without_scratch
    memory = inference_memory(network, shape, batch=BATCH)
    assert memory.images + memory.activations == pytest.approx(measured, rel=0.01)
    assert memory.peak == memory.parameters + memory.buffers + memory.images + memory.activations


@pytest.mark.parametrize("name", TINY)
def test_a_step_allocates_what_is_predicted(name: str, allocator: ModuleType) -> None:
    network = build(name, seed=0)
    measured = trained_peak(allocator, network, shape_of(network))
    memory = training_memory(network, batch=BATCH, optimizer="sgd")
    assert memory.peak - memory.parameters - memory.buffers == pytest.approx(measured, rel=0.01)


def test_a_densenet_that_saves_memory_does(allocator: ModuleType) -> None:
    kind, row = find_row("densenet_tiny")
    peaks = []
    for saving in (False, True):
        wanted: Any = replace(row, blocks=(6, 6), memory_saving=saving)  # type: ignore[type-var]
        network: Any = make(kind, wanted)
        measured = trained_peak(allocator, network, shape_of(network))
        memory = training_memory(network, batch=BATCH, optimizer="sgd")
        assert memory.peak - memory.parameters - memory.buffers == pytest.approx(measured, rel=0.05)
        peaks.append(memory.peak)
    assert peaks[1] < 0.8 * peaks[0]


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_a_module_of_others(name: str, torchvision: ModuleType, allocator: ModuleType) -> None:
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    network = getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
    shape = (3, 64, 64)
    measured = trained_peak(allocator, network, shape)
    memory = training_memory(network, shape, batch=BATCH, optimizer="sgd")
    assert memory.peak - memory.parameters - memory.buffers == pytest.approx(measured, rel=0.05)


class Attending(nn.Module):
    """Eight heads over the places of a map; each place's weights are as many as there are places.

    Args:
        dropout: of the weights, while it trains; the CPU then takes attention apart.
        masked: places do not see those behind them.
    """

    def __init__(self, dropout: float = 0.0, masked: bool = False) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 2, stride=2)
        self.project = nn.Linear(16, 3 * 16)
        self.head = nn.Linear(16, 10)
        self.dropout, self.masked = dropout, masked

    def forward(self, x: Tensor) -> Tensor:
        places = self.embed(x).flatten(2).transpose(1, 2)
        batch, count, _ = places.shape
        query, key, value = (
            self.project(places).reshape(batch, count, 3, 8, 2).permute(2, 0, 3, 1, 4)
        )
        mask = torch.ones(count, count, dtype=torch.bool).tril() if self.masked else None
        seen = F.scaled_dot_product_attention(
            query, key, value, mask, self.dropout if self.training else 0.0
        )
        return self.head(seen.transpose(1, 2).flatten(2).mean(1))


class WithPyTorchsHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 2, stride=2)
        self.attend = nn.MultiheadAttention(16, 8, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        places = self.embed(x).flatten(2).transpose(1, 2)
        seen, _ = self.attend(places, places, places, need_weights=False)
        return self.head(seen.mean(1))


@pytest.mark.parametrize(
    "make_network",
    [
        Attending,
        lambda: Attending(dropout=0.1),
        lambda: Attending(masked=True),
        WithPyTorchsHeads,
    ],
    ids=["blockwise", "taken apart", "masked", "PyTorch's heads"],
)
def test_attention_is_not_foreseen_as_a_whole_matrix(
    make_network: Any, allocator: ModuleType
) -> None:
    network, shape = make_network(), (3, 24, 24)
    measured = trained_peak(allocator, network, shape)
    memory = training_memory(network, shape, batch=BATCH, optimizer="sgd")
    assert memory.peak - memory.parameters - memory.buffers == pytest.approx(measured, rel=0.01)
    evaluate(network, shape)
    measured = allocator.measure(lambda: evaluate(network, shape)).without_scratch
    inference = inference_memory(network, shape, batch=BATCH)
    assert inference.images + inference.activations == pytest.approx(measured, rel=0.01)


def test_attention_is_pytorchs_own_again_afterwards() -> None:
    usual = F.scaled_dot_product_attention, nn.MultiheadAttention.forward
    training_memory(Attending(), (3, 8, 8), batch=2)
    with pytest.raises(WrongUse):
        training_memory(WithPyTorchsHeads(), (5, 8, 8), batch=2)
    assert (F.scaled_dot_product_attention, nn.MultiheadAttention.forward) == usual


@pytest.mark.parametrize(
    ("kind", "make_optimizer"),
    [
        ("sgd", lambda p: torch.optim.SGD(p)),
        ("sgd_momentum", lambda p: torch.optim.SGD(p, momentum=0.9)),
        ("adam", lambda p: torch.optim.Adam(p)),
        ("adamw", lambda p: torch.optim.AdamW(p)),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, weight_decay=0.1)),
        ("rmsprop_momentum", lambda p: torch.optim.RMSprop(p, momentum=0.9, weight_decay=0.1)),
    ],
)
def test_an_optimizer_keeps_what_is_predicted(
    kind: Any, make_optimizer: Any, allocator: ModuleType
) -> None:
    network = nn.Sequential(nn.Linear(30, 200), nn.Linear(200, 100), nn.Linear(100, 2))
    optimizer = make_optimizer(network.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.zeros(1, 30)).sum().backward()
        optimizer.step()
    kept = sum(
        value.nbytes
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )
    memory = training_memory(network, (30,), batch=1, optimizer=kind)
    assert memory.optimizer_state == kept
    if kind.startswith("rmsprop"):
        extra = allocator.measure(optimizer.step).total
        plain = training_memory(network, (30,), batch=1, optimizer="sgd")
        at_end = plain.parameters + plain.images + plain.gradients
        assert memory.fullest == "the optimizer's step"
        assert memory.peak - kept - at_end == pytest.approx(extra, rel=0.02)


@pytest.mark.parametrize("name", ["vgg_tiny", "densenet_tiny", "efficientnet_tiny", "lenet5_tiny"])
@pytest.mark.parametrize("training", [False, True])
def test_rules_answer_what_pytorch_answers(
    name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(name, seed=0)
    by_rules = run_pass(network, shape_of(network), 2, training=training)
    # on the meta device, batch normalisation saves statistics in evaluations too; on no other one
    norm = torch.ops.aten.native_batch_norm.default
    known = liveness.rule_of(norm)
    monkeypatch.setattr(liveness, "rule_of", lambda operator: known if operator is norm else None)
    monkeypatch.setattr(liveness, "_KINDS", {})
    asked = run_pass(network, shape_of(network), 2, training=training)
    end = by_rules.ledger.marks["backward" if training else "forward"]
    assert by_rules.ledger.marks == asked.ledger.marks
    assert by_rules.ledger.changes[:end] == asked.ledger.changes[:end]
    assert by_rules.ledger.places[:end] == asked.ledger.places[:end]
    assert by_rules.gradients == asked.gradients


@pytest.mark.parametrize("training", [False, True])
def test_the_largest_batch_fits_and_the_next_does_not(training: bool) -> None:
    network = build("resnet_tiny", seed=0)
    budget = 5_000_000
    best = largest_batch(network, None, budget, training=training)
    needs = training_memory if training else inference_memory
    assert best > 10
    assert needs(network, batch=best).peak <= budget < needs(network, batch=best + 1).peak
    assert largest_batch(network, None, 1000, training=training) == 0


def test_the_largest_batch_of_a_module_that_goes_from_image_to_image() -> None:
    class OneByOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(50, 50)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.layer(image) for image in x]).square()

    network = OneByOne()
    best = largest_batch(network, (50,), 100_000)
    assert training_memory(network, (50,), batch=best).peak <= 100_000
    assert training_memory(network, (50,), batch=best + 1).peak > 100_000


def test_nothing_of_the_network_or_the_random_state_moves() -> None:
    network = build("efficientnet_tiny", seed=0).train()
    network.features[1].eval()  # type: ignore[index, union-attr]
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    modes = [module.training for module in network.modules()]
    own = [*map(id, network.parameters()), *map(id, network.buffers())]
    inference_memory(network)
    training_memory(network, batch=2)
    largest_batch(network, None, 10**7)
    torchsummary_total(network)
    assert [module.training for module in network.modules()] == modes
    assert [*map(id, network.parameters()), *map(id, network.buffers())] == own
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )


def test_frozen_parameters_get_no_gradient_and_no_state() -> None:
    network = build("vgg_tiny", seed=0)
    for parameter in network.features.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    head = sum(p.nbytes for p in network.classifier.parameters())  # type: ignore[union-attr]
    memory = training_memory(network, batch=2)
    assert memory.gradients == memory.optimizer_state == head
    assert memory.activations < training_memory("vgg_tiny", batch=2).activations


@pytest.mark.parametrize(
    ("name", "pooling", "printed"),
    [
        ("vgg16", True, ("0.57", "218.78", "527.79", "747.15")),
        ("vgg19_bn_nobias", False, ("0.57", "340.13", "548.07", "888.77")),
    ],
)
def test_the_sum_of_the_tutorials(name: str, pooling: bool, printed: tuple[str, ...]) -> None:
    found = torchsummary_total(name)
    found = found if pooling else found.without_pooling()
    parts = (found.input_mib, found.passes_mib, found.params_mib, found.total_mib)
    assert tuple(f"{part:.2f}" for part in parts) == printed


def test_wrong_use_says_what_to_do() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(WrongUse, match="give the shape of one"):
        inference_memory(network)
    with pytest.raises(WrongUse, match="larger batch"):
        training_memory(network, (3, 3, 3), batch=1)
    with pytest.raises(WrongUse, match="2x5x8x8"):
        training_memory(network, (5, 8, 8), batch=2)
    with pytest.raises(WrongUse, match="Did you mean adam"):
        training_memory(network, (3, 3, 3), batch=2, optimizer="adan")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="numbers from 1"):
        inference_memory(network, (3, 3, 3), batch=0)
    with pytest.raises(WrongUse, match="fp32 or bf16"):
        inference_memory(network, (3, 3, 3), precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="requires_grad"):
        training_memory(network.requires_grad_(False), (3, 3, 3), batch=2)
    with pytest.raises(NotFound, match="vgg16"):
        inference_memory("vg16")


def test_text_and_json_hold_the_same_numbers() -> None:
    memory = training_memory("vgg_tiny", batch=2)
    assert memory.to_json()["peak"] == memory.peak
    assert memory.to_text().splitlines()[0] == "training, batch 2, sgd_momentum, fp32"
    assert f"in {memory.fullest}" in memory.to_text()
    assert "largest live activations" in inference_memory("vgg_tiny").to_text()


@pytest.mark.parametrize("name", ["vgg_tiny", "googlenet_tiny", "densenet_tiny", "lenet5_1998"])
def test_the_torchsummary_total_heard_on_the_way_changes_nothing(name: str) -> None:
    """`memory` adds it up during its evaluation pass; both answers are those of passes alone."""
    from backbones import memory
    from backbones.footprint.torchsummary import torchsummary_total
    from backbones.workflows.networks import made_once

    network = made_once(name)
    found = memory(network, batch=3)
    assert found.evaluation == inference_memory(network, batch=3)
    assert found.torchsummary == torchsummary_total(network)
