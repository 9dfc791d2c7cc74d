"""Inception v2: the widths of Figure 5, the separable first convolution, the released start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from backbones.inspection.trace import count
from backbones.models import build, find_row, make
from backbones.nn.conv import SeparableNormAct


def on_meta(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    changed: Any = replace(row, **changes)  # type: ignore[type-var]
    with torch.device("meta"):
        return make(network_type, changed)


# Both from Figure 5: the sums of its entries, and its column of output sizes.
ENTRIES = [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]
OUTPUT_SIZES = [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024]


@pytest.mark.parametrize(
    ("name", "widths"), [("inception_v2", ENTRIES), ("inception_v2_slim", OUTPUT_SIZES)]
)
def test_modules_are_as_wide_as_the_figure_says(name: str, widths: list[int]) -> None:
    model = on_meta(name).eval()
    x = torch.empty(1, 3, 224, 224, device="meta")
    found = []
    for path, layer in model.features.named_children():
        x = layer(x)
        if path.startswith("inception"):
            found.append(x.shape[1])
    assert found == widths


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("inception_v2", 11_285_224, 2_032_600_064),
        ("inception_v2_slim", 11_194_984, 2_018_851_840),
    ],
)
def test_a_plain_first_convolution_is_the_other_reading_of_the_figure(
    name: str, params: int, macs: int
) -> None:
    model = on_meta(name, depth_multiplier=0)
    found = count(model)
    assert (found.params, found.macs) == (params, macs)
    assert "depth_multiplier" in [d.field for d in model.row.deviations]


def test_pooling_is_average_but_for_the_modules_of_stride_two_and_the_last() -> None:
    kinds = {
        path.split(".")[1]: type(layer).__name__
        for path, layer in on_meta("inception_v2").named_modules()
        if type(layer).__name__.endswith("Pool2d") and "inception" in path
    }
    maxima = [name for name, kind in kinds.items() if kind == "MaxPool2d"]
    assert len(kinds) == 10
    assert maxima == ["inception3c", "inception4e", "inception5b"]


def test_the_separable_convolution_filters_each_channel_and_then_mixes() -> None:
    layer = SeparableNormAct(2, 3, 7, depth_multiplier=4).double().eval()
    x = np.random.Generator(np.random.PCG64(0)).normal(size=(2, 9, 10))
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3)))
    filters = layer.depthwise.weight.detach().numpy()[:, 0]
    mix = layer.pointwise.weight.detach().numpy()[:, :, 0, 0]
    expected = np.empty((3, 5, 5))
    for row in range(5):
        for column in range(5):
            window = padded[:, 2 * row : 2 * row + 7, 2 * column : 2 * column + 7]
            filtered = [
                (filters[4 * channel + k] * window[channel]).sum()
                for channel in range(2)
                for k in range(4)
            ]
            expected[:, row, column] = np.maximum(mix @ filtered / np.sqrt(1 + 1e-3), 0)
    with torch.no_grad():
        found = layer(torch.tensor(x)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_first_convolution_has_the_2712_weights_of_googlenets_table() -> None:
    conv1 = on_meta("inception_v2").features.conv1
    assert conv1.depthwise.weight.numel() + conv1.pointwise.weight.numel() == 1176 + 1536


def test_the_start_is_the_released_networks() -> None:
    model: Any = build("inception_v2_slim", seed=0)
    left = 0.8796  # of a normal's standard deviation, cut at two of them
    expected = {
        "conv1.depthwise": 1.0,
        "conv1.pointwise": 1.0,
        "conv2_reduce.conv": 0.1,
        "inception4a.branch2.0.conv": 0.09,
        "inception3c.branch3.0.conv": 0.09,
        "inception5b.branch4.1.conv": 0.1,
        "inception4a.branch1.conv": (2.6 / 576) ** 0.5,
        "inception3c.branch2.1.conv": (2.6 / (128 * 9)) ** 0.5,
        "inception5b.branch3.2.conv": (2.6 / (224 * 9)) ** 0.5,
    }
    for path, std in expected.items():
        weight = model.features.get_submodule(path).weight
        assert weight.abs().max().item() <= 2 * std * (1 + 1e-6), path
        assert weight.std().item() == pytest.approx(left * std, rel=0.05), path
    assert not model.fc.bias.any()


def test_a_single_pixel_is_enough() -> None:
    model: Any = build("inception_v2_tiny", seed=0).eval()
    with torch.no_grad():
        assert model(torch.ones(1, 3, 1, 1)).isfinite().all()


def test_deviations_follow_the_fields() -> None:
    fields = {
        name: [d.field for d in find_row(name)[1].deviations]
        for name in ("inception_v2", "inception_v2_slim")
    }
    assert fields == {"inception_v2": ["modules"], "inception_v2_slim": ["modules", "dropout"]}
