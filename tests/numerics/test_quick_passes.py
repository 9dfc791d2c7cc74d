"""What makes a pass for memory quick leaves its answers as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.inspection import passes, stand_ins
from backbones.inspection.joins import QuickJoins
from backbones.inspection.passes import Course, run_pass
from backbones.models import build
from backbones.nn.meta import ShapesOnly


def joined(x: Tensor, how: dict[str, Any]) -> Tensor:
    """What a network might do with `torch.cat`, in one tensor."""
    twice = torch.cat([x, x * 2, x.detach()], **how)
    return torch.cat((twice, twice), -1).square().sum()


@pytest.mark.parametrize("how", [{}, {"dim": 1}, {"dim": -2}])
def test_a_quick_concatenation_has_pytorchs_gradient(how: dict[str, Any]) -> None:
    from backbones.inspection.joins import _Joined

    x = torch.arange(24.0).reshape(2, 3, 4).requires_grad_()
    dim = how.get("dim", 0)
    twice = _Joined.apply(dim, x, x * 2, x.detach())
    total = _Joined.apply(-1, twice, twice).square().sum()
    (quick,) = torch.autograd.grad(total, x)
    (plain,) = torch.autograd.grad(joined(x, how), x)
    torch.testing.assert_close(quick, plain, rtol=0, atol=0)


def test_a_quick_concatenation_can_be_differentiated_twice() -> None:
    from backbones.inspection.joins import _Joined

    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    (once,) = torch.autograd.grad(_Joined.apply(1, x, x).pow(3).sum(), x, create_graph=True)
    (again,) = torch.autograd.grad(once.sum(), x)
    torch.testing.assert_close(again, 12 * x.detach())


def test_concatenations_that_are_not_plain_stay_pytorchs() -> None:
    x = torch.ones(2, 3, device="meta", requires_grad=True)
    with QuickJoins():
        assert "Joined" in type(torch.cat([x, x]).grad_fn).__name__
        assert torch.cat([x, x.double()]).grad_fn.name() == "CatBackward0"
        with torch.no_grad():
            assert torch.cat([x, x]).grad_fn is None
        real = torch.ones(2, requires_grad=True)
        assert torch.cat([real, real]).grad_fn.name() == "CatBackward0"


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


def unhurried(
    model: nn.Module, training: bool, shape: tuple[int, ...], patch: pytest.MonkeyPatch
) -> Course:
    """A pass with stand-ins for everything, PyTorch's concatenations and every layer's Python."""
    from contextlib import nullcontext

    with patch.context() as here:
        here.setattr(stand_ins, "_QUICK", {})
        here.setattr(stand_ins, "_can_stay", lambda tensor: False)
        here.setattr(passes, "QuickJoins", nullcontext)
        return run_pass(model, shape, 2, training=training)


@pytest.mark.parametrize("name", ["called", "densenet_tiny", "googlenet_tiny", "resnet_tiny"])
@pytest.mark.parametrize("training", [False, True])
def test_a_quick_pass_takes_the_same_memory(
    name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShapesOnly():
        model: Any = Called() if name == "called" else build(name)
    shape = (3, 8, 8) if name == "called" else (model.in_channels, *[model.row.input_px] * 2)
    quick = run_pass(model, shape, 2, training=training)
    slow = unhurried(model, training, shape, monkeypatch)
    end = slow.ledger.marks["backward" if training else "forward"]
    assert quick.ledger.marks == slow.ledger.marks
    assert quick.ledger.changes[:end] == slow.ledger.changes[:end]
    assert quick.ledger.places[:end] == slow.ledger.places[:end]
    assert quick.gradients == slow.gradients
    assert bool(quick.gradients) is training


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
