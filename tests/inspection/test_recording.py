"""A recorded pass: every block runs, hooks are called, and shared weights are kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.inspection.graph import record
from backbones.models import build
from backbones.nn.conv import ConvNormAct


def test_hooks_of_a_user_are_called_in_every_block() -> None:
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
def test_what_is_shared_is_read_by_both(what: str) -> None:
    blocks = [nn.Sequential(ConvNormAct(4, 4, 1), nn.Conv2d(4, 4, 1)) for _ in range(3)]
    if what == "layer":
        blocks[1][1] = blocks[2][1] = blocks[0][1]
    else:
        blocks[2][1].weight = blocks[0][1].weight
    nodes = record(nn.Sequential(*blocks), (4, 8, 8)).nodes
    assert [node.reads for node in nodes if "0.1.weight" in node.reads][-1][0] == "0.1.weight"
    assert sum("0.1.weight" in node.reads for node in nodes) == (3 if what == "layer" else 2)


def test_a_layer_in_two_places_keeps_its_weights() -> None:
    layer = nn.Conv2d(4, 4, 1)
    network = nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer))
    weight = layer.weight
    record(network, (4, 8, 8))
    assert layer.weight is weight
    assert not weight.is_meta
