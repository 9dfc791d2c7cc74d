"""Sizes and boxes against torchvision's own functions, pixels against Pillow's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones.data.geometry import (
    Box,
    Framing,
    centre_crop_box,
    cut_first,
    evaluation_framing,
    random_crop_box,
    random_crop_starts,
    random_resized_box,
    resized_size,
    shorter_px,
    tighten,
)
from backbones.data.render import cut_window, render, resize_pixels, with_channels

SIZES = [tuple(pair) for pair in np.random.default_rng(0).integers(1, 400, (150, 2)).tolist()]


@pytest.fixture(scope="module")
def transforms(torchvision: Any) -> Any:
    return torchvision.transforms


def noise(width: int, height: int, seed: int = 0, grain: int = 12) -> np.ndarray:
    """Soft shapes with some grain, as in photos."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), 3)).astype(np.int64)
    return (soft + rng.integers(-grain, grain + 1, soft.shape)).clip(0, 255).astype(np.uint8)


def test_resized_size_is_torchvisions(transforms: Any) -> None:
    for number, (width, height) in enumerate(SIZES):
        shorter = 1 + number % 40
        image = transforms.functional.resize(Image.new("L", (width, height)), shorter)
        assert resized_size(width, height, shorter) == image.size


def test_centre_crop_is_torchvisions_and_pads_with_black(transforms: Any) -> None:
    for number, (width, height) in enumerate(SIZES):
        size = 1 + 3 * number
        pixels = noise(width, height, number)
        expected = transforms.functional.center_crop(Image.fromarray(pixels), [size, size])
        found = cut_window(pixels, centre_crop_box(width, height, size))
        np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_pixels_are_within_two_levels_of_torchvisions(
    transforms: Any, interpolation: str
) -> None:
    mode = transforms.InterpolationMode(interpolation)
    for width, height in [(s[0] + 20, s[1] + 20) for s in SIZES[:25]]:
        pixels = noise(width, height)
        image = transforms.functional.resize(Image.fromarray(pixels), 80, mode)
        expected = np.asarray(transforms.functional.center_crop(image, [64, 64]))
        found = render(pixels, evaluation_framing(width, height, 80, 64), interpolation)
        difference = np.abs(found.astype(int) - expected.astype(int))
        assert difference.max() <= 2
        if height < 1.6 * width:  # Pillow 13 resizes taller images top to bottom first
            assert difference.mean() <= 0.03


def test_nearest_takes_the_pixels_that_pillow_takes() -> None:
    pixels = noise(57, 43)
    expected = Image.fromarray(pixels).resize((20, 31), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_pixels(pixels, 20, 31, "nearest"), np.asarray(expected))


def test_random_crop_reaches_every_place_equally_often() -> None:
    shares = (np.arange(9000) + 0.5) / 9000
    starts, counts = np.unique(random_crop_starts(32, 32, 4, shares), return_counts=True)
    assert starts.tolist() == list(range(-4, 5))
    assert set(counts.tolist()) == {1000}
    box = random_crop_box(40, 32, 32, 0, 0.999999, 0.5)
    assert box == Box(8, 0, 32, 32)


def test_random_crop_of_a_smaller_image_is_the_centre_crop() -> None:
    assert random_crop_box(20, 50, 32, 0, 0.9, 0.0) == Box(-6, 0, 32, 32)
    assert random_crop_box(20, 20, 32, 4, 0.9, 0.0) == centre_crop_box(20, 20, 32)


def test_random_resized_box_rounds_and_falls_back_as_torchvision(transforms: Any) -> None:
    chooser = transforms.RandomResizedCrop
    for width, height in [(1000, 20), (20, 1000), (300, 299), (7, 500), (500, 1)]:
        top, left, box_h, box_w = chooser.get_params(
            Image.new("L", (width, height)), scale=(9.0, 9.0), ratio=(3 / 4, 4 / 3)
        )
        found = random_resized_box((width, height), [9.0] * 10, [1.0] * 10, (3 / 4, 4 / 3), (0, 0))
        assert found == Box(left, top, box_w, box_h)
    # 0.25 * 400 * 300 = 30000 = 200 x 150 at the aspect 4/3
    box = random_resized_box((400, 300), [2.0, 0.25], [1.0, 4 / 3], (3 / 4, 4 / 3), (0.5, 0.999))
    assert box == Box(100, 150, 200, 150)


def test_a_tightened_framing_shows_nearly_the_same_image() -> None:
    rng = np.random.default_rng(1)
    tightened = 0
    differences = []
    for seed in range(20):
        width, height = rng.integers(300, 700, 2).tolist()
        resized = resized_size(width, height, int(rng.integers(256, 513)))
        window = random_crop_box(*resized, 160, 0, rng.random(), rng.random())
        framing = Framing(Box(0, 0, width, height), resized, window)
        tight = tighten(framing)
        pixels = noise(width, height, seed, grain=2)
        tightened += tight != framing
        whole, part = (render(pixels, each, "bilinear").astype(int) for each in (framing, tight))
        assert whole.shape == part.shape == (160, 160, 3)
        differences.append(np.abs(whole - part).mean())
    assert tightened >= 15
    assert np.mean(differences) < 0.4  # 3.2 with boxes that are merely rounded
    assert max(differences) < 1.5


def test_an_endless_strip_is_cut_before_it_is_resized() -> None:
    framing = evaluation_framing(1, 40_000, 256, 224)
    assert framing.resized[0] * framing.resized[1] > 2_000_000_000
    cut = cut_first(framing)
    assert cut.resized[0] <= 256
    assert cut.resized[1] < 300
    pixels = np.full((40_000, 1, 3), 7, dtype=np.uint8)
    np.testing.assert_array_equal(render(pixels, framing, "bilinear"), np.full((224, 224, 3), 7))


def test_shorter_px_keeps_the_cut_from_being_enlarged() -> None:
    box = Framing(Box(0, 0, 600, 500), (224, 224), Box(0, 0, 224, 224))
    assert shorter_px(3000, 2000, box) == 896  # 224 / 500 of 2000: the box's height decides
    assert shorter_px(500, 375, evaluation_framing(500, 375, 256, 224)) == 256


def test_grey_is_pillows_formula_and_colour_from_grey_repeats_it() -> None:
    pixels = noise(30, 20)
    red, green, blue = (pixels[:, :, channel].astype(int) for channel in range(3))
    expected = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16
    grey = with_channels(pixels, 1)
    np.testing.assert_array_equal(grey[:, :, 0], expected)
    assert with_channels(grey, 3).shape == (20, 30, 3)
    np.testing.assert_array_equal(with_channels(grey, 3)[:, :, 2], grey[:, :, 0])
