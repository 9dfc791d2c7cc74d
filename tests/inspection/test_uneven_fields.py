"""Fields behind interpolation, transposed convolution and padding, against gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.inspection.summary import inspect

SIDE = 24


def conv(kernel: int = 3, stride: int = 1, width: int = 1, **how: Any) -> nn.Conv2d:
    layer = nn.Conv2d(1, width, kernel, stride, how.pop("padding", kernel // 2), **how)
    nn.init.ones_(layer.weight)  # nothing cancels
    return layer


def up(**how: Any) -> nn.Module:
    class Up(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(x, **how)

    return Up()


def back(kernel: int, stride: int, **how: Any) -> nn.ConvTranspose2d:
    layer = nn.ConvTranspose2d(1, 1, kernel, stride, **how)
    nn.init.ones_(layer.weight)
    return layer


class Fused(nn.Module):
    """A way at full size and one through a smaller map, summed: HRNet, and U-Nets by a sum."""

    def __init__(self, deep: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.plain, self.deep, self.after = conv(), deep, after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.plain(x) + self.deep(x))


class Joined(nn.Module):
    """A U-Net of two levels: what went down comes back up and is concatenated."""

    def __init__(self, way_up: nn.Module) -> None:
        super().__init__()
        self.down, self.way_up, self.last = conv(3, 2), way_up, nn.Conv2d(2, 1, 3, padding=1)
        nn.init.ones_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([x, self.way_up(self.down(x))], 1))


class Applied(nn.Module):
    """A function of maps behind a convolution."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.conv, self.function = conv(3, 2, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


NETS = {
    "nearest": nn.Sequential(conv(3, 2), up(scale_factor=2)),
    "nearest, exact": nn.Sequential(conv(3, 2), up(scale_factor=1.5, mode="nearest-exact")),
    "bilinear": nn.Sequential(conv(3, 2), up(scale_factor=2, mode="bilinear")),
    "aligned": nn.Sequential(conv(3, 2), up(size=(23, 23), mode="bilinear", align_corners=True)),
    "bicubic": nn.Sequential(conv(3, 2), up(size=(18, 30), mode="bicubic")),
    "antialias": nn.Sequential(conv(), up(size=(9, 9), mode="bilinear", antialias=True)),
    "area": nn.Sequential(conv(), up(size=(10, 7), mode="area")),
    "adaptive": nn.Sequential(conv(), nn.AdaptiveAvgPool2d((7, 5))),
    "upsample": nn.Sequential(conv(3, 2), nn.Upsample(scale_factor=2), conv(), conv(3, 2)),
    "transposed": nn.Sequential(conv(3, 2), back(4, 2, padding=1)),
    "transposed, more": nn.Sequential(conv(5, 2), back(3, 2, padding=1, output_padding=1), conv()),
    "transposed, wide": nn.Sequential(conv(3, 3), back(3, 3, dilation=2)),
    "fused": Fused(nn.Sequential(conv(3, 2), conv(), up(scale_factor=2))),
    "fused, then convolved": Fused(
        nn.Sequential(conv(3, 2), conv(3, 2), up(scale_factor=4, mode="bilinear")), conv(3, 2)
    ),
    "U-Net": Joined(back(2, 2)),
    "U-Net, bilinear": Joined(up(scale_factor=2, mode="bilinear")),
    "shuffled": Applied(lambda y: F.pixel_shuffle(y, 2)),
    "flipped": Applied(lambda y: y + y.flip(3)),
    "picked": Applied(lambda y: y[:, :, [0, 5, 2]]),
    "reflected": nn.Sequential(nn.ReflectionPad2d(5), conv(3, padding=0), conv(3, 2)),
    "circular": conv(5, padding_mode="circular"),
    "strided sum": Applied(lambda y: y[:, :, ::2, ::2] + F.avg_pool2d(y, 2)),
}


@pytest.mark.parametrize("name", NETS)
def test_each_unit_sees_what_its_gradient_says(name: str) -> None:
    network = NETS[name].double()
    x = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    answer = network(x).sum(1)[0]
    found = inspect(network, (1, SIDE, SIDE), functions=True)
    last = found.layers[-1]
    assert last.output[-2:] == answer.shape
    assert found.rows()[-1]["receptive_field_exact"]
    rows = [(row, answer.shape[1] // 2) for row in range(answer.shape[0])]
    for row, column in [*rows, *((answer.shape[0] // 2, c) for c in range(answer.shape[1]))]:
        (gradient,) = torch.autograd.grad(answer[row, column], x, retain_graph=True)
        places = (gradient[0, 0].abs() > 1e-9).nonzero()
        if not len(places):
            with pytest.raises(WrongUse, match="sees no pixel"):
                found.sees(last.name, row, column)
            continue
        (top, left), (bottom, right) = places.amin(0).tolist(), places.amax(0).tolist()
        assert found.sees(last.name, row, column) == (top, left, bottom + 1, right + 1), (
            row,
            column,
        )


def test_units_that_do_not_move_evenly_are_marked_as_such() -> None:
    found = inspect(NETS["nearest"], (1, SIDE, SIDE), functions=True)
    first, last = found.rows()
    assert (first["receptive_field_even"], last["receptive_field_even"]) == (True, False)
    assert (last["receptive_field"], last["jump"]) == ([3, 3], [1, 1])
    assert "~1" in str(found)
    unequal = inspect(NETS["bilinear"], (1, SIDE, SIDE), functions=True)
    assert unequal.rows()[-1]["receptive_field_least"] == [3, 3]
    assert "3..5" in str(unequal)
    assert "a..b: units see unequal fields" in str(unequal)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: F.grid_sample(y, torch.zeros(1, 4, 4, 2, device=y.device), align_corners=False),
        lambda y: F.unfold(y, 3),
        lambda y: y.reshape(1, 4, 6, 2, 6, 2).permute(0, 2, 4, 1, 3, 5),
    ],
)
def test_what_is_not_followed_unit_by_unit_is_a_bound(function: Any) -> None:
    found = inspect(Applied(function), (1, SIDE, SIDE), functions=True)
    assert not found.rows()[-1]["receptive_field_exact"]
    assert "<=25" in str(found)


def test_a_fully_connected_layer_sees_exactly_all_that_was_flattened() -> None:
    network = nn.Sequential(conv(), nn.Flatten(), nn.Linear(64, 2))
    flat, last = inspect(network, (1, 8, 8)).rows()[1:]
    assert (flat["receptive_field_exact"], last["receptive_field_exact"]) == (False, True)
    assert last["sees_all"]


def test_an_operator_that_nobody_knows_has_no_field() -> None:
    found = inspect(Applied(lambda y: torch.fft.fft2(y).real), (1, SIDE, SIDE), functions=True)
    assert found.layers[-1].field is None


def test_softmax_over_places_sees_them_all() -> None:
    found = inspect(Applied(lambda y: y.softmax(3)), (1, SIDE, SIDE), functions=True)
    assert [span.fixed for span in found.layers[-1].field.spans] == [False, True]  # type: ignore[union-attr]
