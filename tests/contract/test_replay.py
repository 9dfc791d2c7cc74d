"""A part that is copied from its twin's lines is written down as if it had run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones import catalog
from backbones.inspection.graph import Graph, record
from backbones.inspection.replay import Replays
from backbones.inspection.trace import on_meta
from backbones.models import build
from backbones.nn.conv import ConvNormAct


def recorded(network: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Graph, Graph, int]:
    """With and without copying, and how often was copied."""
    side = network.row.input_px
    shape = (network.in_channels, side, side)
    found: list[bool] = []
    find = Replays.find

    def watched(*args: Any) -> Any:
        known = find(*args)
        found.append(known is not None)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(Replays, "find", watched)
        short = record(network, shape, 2)
        patch.setattr(Replays, "find", lambda *_: None)
        return short, record(network, shape, 2), sum(found)


def check_equal(one: Graph, other: Graph) -> None:
    assert one == other
    assert [call.layer for call in one.calls] == [call.layer for call in other.calls]
    assert list(one.kinds) == list(other.kinds)
    assert [list(node.call[1].items()) for node in one.nodes] == [
        list(node.call[1].items()) for node in other.nodes
    ]


@pytest.mark.parametrize("name", catalog.names())
def test_every_row_is_the_same_with_and_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long, _ = recorded(on_meta(name), monkeypatch)
    check_equal(short, long)


def test_equal_blocks_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(on_meta("resnet110_cifar"), monkeypatch)[2] == 3 * 17 - 2
    assert recorded(build("resnet20_cifar", seed=0), monkeypatch)[2] == 3 * 2 - 2


def _other_stride(block: Any) -> None:
    block.conv1.dilation = block.conv1.padding = (2, 2)


def _other_layer(block: Any) -> None:
    block.relu = nn.SiLU()


def _other_start(block: Any) -> None:
    block.bn1.eps = 1e-3


def _other_width(block: Any) -> None:
    block.conv1, block.bn1, block.conv2 = (
        nn.Conv2d(64, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 64, 3, padding=1, bias=False),
    )


def _other_options(block: Any) -> None:
    block.residual = False


def _other_forward(block: Any) -> None:
    block.bn2.forward = lambda x: x.sigmoid()


@pytest.mark.parametrize(
    "change",
    [_other_stride, _other_layer, _other_start, _other_width, _other_options, _other_forward],
)
def test_a_changed_block_is_no_twin(
    change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = build("resnet56_cifar", seed=0)
    whole = recorded(network, monkeypatch)
    change(network.layer3[4])
    short, long, num_copied = recorded(network, monkeypatch)
    check_equal(short, long)
    assert num_copied < whole[2]


def test_hooks_of_a_user_are_called_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = build("resnet20_cifar", seed=0)
    seen: list[nn.Module] = []
    for block in network.layer2:
        block.bn1.register_forward_pre_hook(lambda layer, _: seen.append(layer))
    record(network, (3, 32, 32))
    assert seen == [block.bn1 for block in network.layer2]


def test_hooks_for_all_modules_are_called_in_every_block() -> None:
    network: Any = build("resnet20_cifar", seed=0)
    seen: list[nn.Module] = []
    for_all = nn.modules.module.register_module_forward_pre_hook
    handle = for_all(lambda layer, _: seen.append(layer))
    try:
        record(network, (3, 32, 32))
    finally:
        handle.remove()
    assert set(network.layer2) <= set(seen)
    assert {block.bn1 for block in network.layer2} <= set(seen)


def test_a_module_of_others_runs_itself() -> None:
    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.shape = nn.Linear(4, 4), None

        def forward(self, x: Tensor) -> Tensor:
            self.shape = x.shape  # type: ignore[assignment]
            y: Tensor = self.layer(x)
            return y

    network = nn.Sequential(*(nn.Sequential(Noting()) for _ in range(3)))
    record(network, (4,))
    assert [part[0].shape for part in network] == [torch.Size([1, 4])] * 3  # type: ignore[index]


@pytest.mark.parametrize("what", ["layer", "weight"])
def test_what_is_shared_is_read_by_both(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(nn.Sequential):
        in_channels, row = 4, on_meta("resnet20_cifar").row

    blocks = [nn.Sequential(ConvNormAct(4, 4, 1), nn.Conv2d(4, 4, 1)) for _ in range(3)]
    if what == "layer":
        blocks[1][1] = blocks[2][1] = blocks[0][1]
    else:
        blocks[2][1].weight = blocks[0][1].weight
    short, long, num_copied = recorded(Two(*blocks), monkeypatch)
    check_equal(short, long)
    assert num_copied == 0
    assert [node.reads for node in short.nodes if "0.1.weight" in node.reads][-1][0] == "0.1.weight"
    assert sum("0.1.weight" in node.reads for node in short.nodes) == (3 if what == "layer" else 2)


def test_a_layer_in_two_places_keeps_its_weights() -> None:
    layer = nn.Conv2d(4, 4, 1)
    network = nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer))
    weight = layer.weight
    record(network, (4, 8, 8))
    assert layer.weight is weight
    assert not weight.is_meta
