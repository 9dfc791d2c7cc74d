"""The resize as matrices is the resize that every verb does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.data.finish import normalised
from backbones.data.geometry import evaluation_framing
from backbones.data.render import render
from backbones.exporting.crop import CentreCrop, Normalise
from backbones.spec import InputSpec

# height, width, resize, size: smaller, larger, odd, cut, padded with black, and not resized at all
SIZES = [
    *((375, 500, 256, 224), (500, 333, 256, 224), (40, 61, 256, 224), (1000, 701, 64, 57)),
    *((28, 28, 28, 33), (217, 101, 87, 86), (224, 224, 224, 224), (9, 300, 32, 32), (1, 1, 8, 8)),
]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_the_crop_is_ours_within_a_grey_level(size, interpolation) -> None:
    height, width, resize, px = size
    spec = InputSpec(px, resize, interpolation=interpolation)
    images = np.random.default_rng(height).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    framing = evaluation_framing(width, height, resize, px)
    ours = np.stack([render(each, framing, interpolation) for each in images]).astype(int)
    found = CentreCrop(spec)(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()
    apart = np.abs(found - ours)
    assert apart.max() <= (0 if interpolation == "nearest" else 1)
    # on noise: a value half way between two levels goes where the last bit of its sum tells it to
    assert (apart > 0).mean() < 1 / 32


def test_without_antialiasing_the_test_would_fail() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 500, 500, 3), dtype=np.uint8)
    ours = render(images[0], evaluation_framing(500, 500, 64, 64), "bilinear").astype(int)
    small = torch.nn.functional.interpolate(
        torch.from_numpy(images).permute(0, 3, 1, 2).float(), (64, 64), mode="bilinear"
    )
    assert np.abs(small[0].permute(1, 2, 0).numpy() - ours).max() > 50


def test_normalising_inside_is_normalising_outside() -> None:
    spec = InputSpec(8, 8)
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    inside = Normalise(spec)(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    torch.testing.assert_close(inside, normalised(pixels, spec).contiguous())
