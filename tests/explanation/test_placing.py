"""Where a map's cells lie on the image, against the fields that the units really have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from backbones.explanation.placing import share_of
from backbones.models import build, find_row, make
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec


def spec_of(size: int, channels: int) -> InputSpec:
    return InputSpec(size, size, channels, (0.5,) * channels, (0.5,) * channels)


@pytest.mark.parametrize(
    ("name", "cells", "apart_px"),
    [
        ("lenet5", 10, 2),
        ("lenet5_1998", 10, 2),
        ("alexnet", 13, 16),
        ("vgg16", 14, 16),
        ("nin_cifar10", 8, 4),
        ("googlenet", 7, 32),
        ("resnet50", 7, 32),
        ("inception_v3", 8, 32),
        ("densenet121", 7, 32),
        ("efficientnet_b0", 7, 32),
    ],
)
def test_cells_are_as_far_apart_as_the_strides_say(name: str, cells: int, apart_px: int) -> None:
    with ShapesOnly():
        network: Any = make(*find_row(name))
    spec = spec_of(network.row.input_px, network.in_channels)
    found = share_of(network, network.cam_layer, spec)
    assert found * spec.size == pytest.approx(cells * apart_px, rel=0.01)


@pytest.mark.parametrize("layer", ["c1", "c3"])
def test_cells_without_padding_lie_in_the_middle_of_their_units_fields(layer: str) -> None:
    network = build("lenet5", seed=0).eval()
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 0.01)  # so that no ReLU closes
    # All pixels differ, so that each maximum has one place; the field is where the sum of the
    # gradients of many images is not zero.
    x = torch.rand(200, 1, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps: list[torch.Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: maps.append(output)
    )
    network(x)
    handle.remove()
    share, cells = share_of(network, layer, spec_of(32, 1)), maps[0].shape[-1]
    for cell in (0, 3, cells - 1):
        (gradient,) = torch.autograd.grad(maps[0][:, 0, cell, cell].sum(), x, retain_graph=True)
        field = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten().tolist()
        middle = (field[0] + field[-1] + 1) / 2
        drawn = 32 * (0.5 + share * ((cell + 0.5) / cells - 0.5))
        assert drawn == pytest.approx(middle, abs=0.01)


def test_what_cannot_be_told_is_spread_over_the_whole_image() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.sum()) > 1e9:  # looks at numbers, of which there are none on meta
                raise ValueError
            return self.conv(x).flatten(1)

    network = Stubborn().train()
    assert share_of(network, "conv", spec_of(16, 1)) == 1.0
    assert network.training
    assert not network.conv._forward_hooks
