"""A network without numbers stands in for itself, and is as it was afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.footprint import stand_ins
from backbones.footprint.passes import run_pass
from backbones.models import build
from backbones.nn.meta import ShapesOnly


class Called(nn.Module):
    """Layers that are called by keyword, twice, in another layout, and a `train` of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.same = nn.Conv2d(3, 3, 3, padding="same")
        self.norm = nn.BatchNorm2d(3)
        self.own = nn.BatchNorm2d(3, affine=False, track_running_stats=False)
        self.relu, self.once = nn.ReLU(inplace=True), nn.ReLU()

    def train(self, mode: bool = True) -> Called:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm(self.conv(input=x)))
        y = self.once(self.own(self.same(y)))
        y = self.conv(y.to(memory_format=torch.channels_last))
        return torch.cat([y, self.norm(y)], 1).flatten(1)


@pytest.mark.parametrize("name", ["called", "densenet_tiny", "googlenet_tiny", "resnet_tiny"])
@pytest.mark.parametrize("training", [False, True])
def test_stand_ins_take_the_same_memory(
    name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShapesOnly():
        model: Any = Called() if name == "called" else build(name)
    shape = (3, 8, 8) if name == "called" else (model.in_channels, *[model.row.input_px] * 2)
    itself = run_pass(model, shape, 2, training=training)
    monkeypatch.setattr(stand_ins, "_can_stay", lambda tensor: False)
    replaced = run_pass(model, shape, 2, training=training)
    end = replaced.ledger.marks["backward" if training else "forward"]
    assert itself.ledger.marks == replaced.ledger.marks
    assert itself.ledger.changes[:end] == replaced.ledger.changes[:end]
    assert itself.ledger.places[:end] == replaced.ledger.places[:end]
    assert itself.gradients == replaced.gradients
    assert bool(itself.gradients) is training


def test_a_network_without_numbers_keeps_its_gradients_and_its_forward_passes() -> None:
    with ShapesOnly():
        network = Called()
    network.conv.weight.grad = before = torch.zeros_like(network.conv.weight)
    held = {name: id(tensor) for name, tensor in network.named_parameters()}
    run_pass(network, (3, 8, 8), 2, training=True)
    assert network.conv.weight.grad is before
    assert network.same.weight.grad is None
    assert {name: id(tensor) for name, tensor in network.named_parameters()} == held
    assert not any("forward" in layer.__dict__ for layer in network.modules())
    assert network.training
