"""Receptive fields against published ones, and against a hand's arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.inspection import fields
from backbones.inspection.fields import receptive_fields
from backbones.inspection.graph import record
from backbones.inspection.summary import inspect
from backbones.inspection.trace import on_meta

# (variant, stage or layer, field, jump). Araujo et al. (2019), Distill, and the table in
# google-research/receptive_field; below, the arithmetic of the papers' tables for the others.
PUBLISHED = [
    ("vgg16", "pool5", 212, 32),
    ("resnet50_v1", "conv5_x", 483, 32),
    ("resnet101_v1", "conv5_x", 1027, 32),
    ("resnet152_v1", "conv5_x", 1507, 32),
    ("inception_v2", "inception (5b)", 699, 32),
    ("inception_v3_noaux", "Inception (figure 7)", 1311, 32),
    ("inception_v4", "3 x Inception-C", 2071, 32),
    ("inception_resnet_v2", "convolution 1x1", 3039, 32),
    ("alexnet", "pool5", 195, 32),
]
COMPUTED = [
    ("vgg11", "pool5", 150, 32),
    ("vgg13", "pool5", 156, 32),
    ("vgg16_1x1", "pool5", 156, 32),
    ("vgg19", "pool5", 268, 32),
    ("vgg16", "conv5_3", 196, 16),
    ("vgg16", "fc6", 404, 32),
    ("alexnet", "fc6", 355, 32),
    ("lenet5", "C1", 5, 1),
    ("lenet5", "S2", 6, 2),
    ("lenet5", "C3", 14, 2),
    ("lenet5", "S4", 16, 4),
    ("lenet5", "C5", 32, 4),
    ("resnet18", "conv5_x", 435, 32),
    ("resnet34", "conv5_x", 899, 32),
    ("resnet50", "conv5_x", 427, 32),
    ("resnet101", "conv5_x", 971, 32),
    ("resnet152", "conv5_x", 1451, 32),
    ("resnet20_cifar", "64 filters", 81, 4),
    ("resnet110_cifar", "64 filters", 501, 4),
    ("inception_v1", "inception (5b)", 715, 32),
    ("densenet121", "Dense Block (4)", 2071, 32),
    ("densenet169", "Dense Block (4)", 3351, 32),
    ("densenet201", "Dense Block (4)", 3863, 32),
    ("densenet161", "Dense Block (4)", 2967, 32),
    ("densenet264", "Dense Block (4)", 5399, 32),
]


@pytest.mark.parametrize(("name", "stage", "size", "jump"), PUBLISHED + COMPUTED)
def test_fields_are_the_published_ones(name: str, stage: str, size: int, jump: int) -> None:
    found = inspect(name)
    inside = {s.name: s.layers for s in found.stages}.get(stage) or (found.layer(stage),)
    fields = [layer.field for layer in inside if layer.field is not None]
    for axis in (0, 1):  # the widest way through a module need not be the highest
        largest = max((field.spans[axis] for field in fields), key=lambda span: span.size)
        assert (largest.size, largest.jump) == (size, jump)


def fields_of(module: nn.Module, *shape: int) -> list[tuple[float, float, float]]:
    field = receptive_fields(record(module, shape))[-1]
    assert field is not None
    return [(float(span.size), float(span.jump), span.start) for span in field.spans]


def test_by_hand() -> None:
    """Two convolutions and a pooling, worked out on paper: 3, then 3 + 2 * 2, then 7 + 4."""
    layers = [nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 1, 1), nn.MaxPool2d(2, 2)]
    assert fields_of(nn.Sequential(*layers[:1]), 1, 16, 16) == [(3, 2, 0.5)] * 2
    assert fields_of(nn.Sequential(*layers[:2]), 1, 16, 16) == [(7, 2, 0.5)] * 2
    assert fields_of(nn.Sequential(*layers), 1, 16, 16) == [(9, 4, 1.5)] * 2


def test_dilation_and_sides_of_their_own() -> None:
    layer = nn.Conv2d(1, 1, (3, 1), stride=(1, 2), padding=(2, 0), dilation=(2, 1))
    assert fields_of(layer, 1, 9, 9) == [(5, 1, 0.5), (1, 2, 0.5)]


class Branches(nn.Module):
    """A narrow and a wide way, joined."""

    def forward(self, x: Tensor) -> Tensor:
        wide = F.max_pool2d(x, 5, 1, 2)
        return torch.cat([x, wide], dim=1) + F.pad(x, (1, 0, 0, 1))[:, :, 1:, :-1].repeat(
            1, 2, 1, 1
        )


def test_branches_join_and_indices_move() -> None:
    field = receptive_fields(record(Branches(), (1, 8, 8)))[-1]
    assert field is not None
    # `repeat` mixes, so that every unit sees all; the wide way alone has 5.
    assert all(span.fixed for span in field.spans)

    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(x, 5, 1, 2) + F.pad(x, (3, 0, 0, 0))[:, :, :, :-3]

    assert fields_of(Wide(), 1, 8, 8) == [(5, 1, 0.5), (6, 1, 0.0)]


def test_axes_survive_other_layouts() -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.mix = nn.Conv2d(2, 4, 3), nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    assert fields_of(ChannelsLast(), 2, 8, 8) == [(3, 1, 1.5)] * 2

    class Shuffle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            n, c, h, w = x.shape
            return F.avg_pool2d(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w), 2)

    assert fields_of(Shuffle(), 4, 8, 8) == [(2, 2, 1.0)] * 2


def test_a_gate_of_the_whole_image_is_seen_by_all() -> None:
    class Gated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.mean((2, 3), keepdim=True).sigmoid()

    field = receptive_fields(record(Gated(), (3, 8, 8)))[-1]
    assert field is not None
    assert [(span.size, span.jump, span.fixed) for span in field.spans] == [(8, 1, True)] * 2


def test_images_of_one_axis_and_of_three() -> None:
    assert fields_of(nn.Conv1d(1, 1, 5), 1, 20) == [(5, 1, 2.5)]
    assert fields_of(nn.Conv3d(1, 1, 3, 2), 1, 8, 8, 8) == [(3, 2, 1.5)] * 3
    assert receptive_fields(record(nn.Linear(4, 2), (4,)))[-1].spans == ()  # type: ignore[union-attr]


TINY = [name for name in catalog.names() if name.endswith("_tiny")]


@pytest.mark.parametrize("name", [*TINY, "inception_v4", "densenet121", "lenet5_1998"])
def test_functions_that_move_nothing_give_what_the_rule_gives(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = on_meta(name)
    side = network.row.input_px
    graph = record(network, (network.in_channels, side, side))
    short = receptive_fields(graph)
    monkeypatch.setattr(fields, "_is_plain", lambda *_: False)
    assert receptive_fields(graph) == short
