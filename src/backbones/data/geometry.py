"""Where the pixels of a crop come from: torchvision's integer geometry, to the pixel.

A crop that is off by half a pixel changes 3 % of a network's answers, so every size and offset
here is rounded as torchvision rounds it. All functions are pure and know nothing of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from backbones.data.random import Floats, Integers

_REACH = 16
"""How far outside of the window an edge may lie, px of the resized image."""


class Box(NamedTuple):
    """A rectangle in pixels; left and top may be negative, which means padding."""

    left: int
    top: int
    width: int
    height: int


class Framing(NamedTuple):
    """How an image becomes a square: `cut` out of it, `resized` to (width, height), and the
    `window` of that which the network sees. What the window shows outside is black."""

    cut: Box
    resized: tuple[int, int]
    window: Box


def resized_size(width: int, height: int, shorter_px: int) -> tuple[int, int]:
    """The size of an image after its shorter side was resized; the longer side is rounded down.

    Args:
        width, height: of the image, px.
        shorter_px: the shorter side afterwards.

    Example:
        >>> resized_size(500, 375, 256)
        (341, 256)
    """
    if width <= height:
        return shorter_px, int(shorter_px * height / width)
    return int(shorter_px * width / height), shorter_px


def centre_crop_box(width: int, height: int, size: int) -> Box:
    """The central square; where the image is smaller, the box begins outside of it.

    Example:
        >>> centre_crop_box(341, 256, 224)
        Box(left=58, top=16, width=224, height=224)
        >>> centre_crop_box(28, 28, 33)
        Box(left=-2, top=-2, width=33, height=33)
    """
    return Box(_centred(width, size), _centred(height, size), size, size)


def _centred(length: int, size: int) -> int:
    if size > length:
        return -((size - length) // 2)
    return round((length - size) / 2.0)  # half to even, as Python and torchvision do


def random_crop_box(width: int, height: int, size: int, pad: int, x: float, y: float) -> Box:
    """A square anywhere in the image with `pad` black pixels around it.

    Args:
        width, height: of the image, px.
        size: side of the square, px.
        pad: black pixels on each side.
        x, y: two numbers in [0, 1) that choose the place; every place is equally likely.

    A side that is smaller than the square even with its padding is centred, as in
    `centre_crop_box`.
    """
    left = random_crop_starts(width, size, pad, np.array([x]))
    top = random_crop_starts(height, size, pad, np.array([y]))
    return Box(int(left[0]), int(top[0]), size, size)


def random_crop_starts(length: int, size: int, pad: int, shares: Floats) -> Integers:
    """Where the crops of many images of one size begin, along one side.

    Args:
        length: of the images' side, px.
        size, pad: as in `random_crop_box`.
        shares: numbers in [0, 1), (N,).
    """
    room = length + 2 * pad - size
    if room < 0:
        return np.full(len(shares), _centred(length, size), dtype=np.int64)
    return np.floor(shares * (room + 1)).astype(np.int64) - pad


def random_resized_box(
    size: tuple[int, int],
    areas: Sequence[float],
    aspects: Sequence[float],
    limits: tuple[float, float],
    place: tuple[float, float],
) -> Box:
    """The first of several boxes that fits into the image.

    Where none does: the largest central box whose aspect is within the limits.

    Args:
        size: width and height of the image, px.
        areas: of each candidate, as a share of the image's area.
        aspects: width over height of each candidate.
        limits: smallest and largest aspect.
        place: two numbers in [0, 1) that choose left and top.

    Reference: Szegedy et al. (2015), Going Deeper with Convolutions, section 6; the rounding and
    what happens when nothing fits are torchvision's.
    """
    width, height = size
    for area, aspect in zip(areas, aspects, strict=True):
        target = area * width * height
        box_w, box_h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < box_w <= width and 0 < box_h <= height:
            left = math.floor(place[0] * (width - box_w + 1))
            return Box(left, math.floor(place[1] * (height - box_h + 1)), box_w, box_h)
    box_w, box_h = width, height
    if width / height < limits[0]:
        box_h = max(1, round(width / limits[0]))
    elif width / height > limits[1]:
        box_w = max(1, round(height * limits[1]))
    return Box((width - box_w) // 2, (height - box_h) // 2, box_w, box_h)


def visible_part(window: Box, width: int, height: int) -> Box:
    """What of a window lies inside an image of this size; at least one pixel each way."""
    left, top = max(0, window.left), max(0, window.top)
    right = min(width, window.left + window.width)
    bottom = min(height, window.top + window.height)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def evaluation_framing(width: int, height: int, resize: int, size: int) -> Framing:
    """Resize the shorter side, then cut out the centre: what every checkpoint was scored with."""
    resized = resized_size(width, height, resize)
    return Framing(Box(0, 0, width, height), resized, centre_crop_box(*resized, size))


def source_box(framing: Framing) -> tuple[float, float, float, float]:
    """Where the window lies on the source: left, top, width and height, px of the source.

    Example:
        >>> source_box(evaluation_framing(500, 400, 256, 224))
        (75.0, 25.0, 350.0, 350.0)
    """
    cut, (width, height), window = framing
    across, down = cut.width / width, cut.height / height
    return (
        cut.left + window.left * across,
        cut.top + window.top * down,
        window.width * across,
        window.height * down,
    )


def tighten(framing: Framing) -> Framing:
    """Resize only what the window shows, from a box of the source in whole pixels.

    The box's edges are put where whole pixels of the source and of the resized image nearly
    meet, so that the geometry shifts by a few hundredths of a pixel only. That is for training
    alone all the same. The framing stays as it is where the resized image has at most twice
    the window's pixels (little to save), or is more than twice the source's size.
    """
    cut, (width, height), window = framing
    if window == (0, 0, width, height):
        return framing
    seen = visible_part(window, width, height)
    enlarged = width > 2 * cut.width or height > 2 * cut.height
    if enlarged or width * height <= 2 * seen.width * seen.height:
        return framing
    return cut_first(framing)


def cut_first(framing: Framing) -> Framing:
    """The framing of `tighten`, without its conditions."""
    cut, (width, height), window = framing
    seen = visible_part(window, width, height)
    across = _span(seen.left, seen.left + seen.width, width, cut.width)
    down = _span(seen.top, seen.top + seen.height, height, cut.height)
    return Framing(
        Box(cut.left + across[2], cut.top + down[2], across[3], down[3]),
        (across[1], down[1]),
        Box(window.left - across[0], window.top - down[0], window.width, window.height),
    )


def shorter_px(width: int, height: int, framing: Framing) -> int:
    """How many px of an image's shorter side are enough for the cut not to be enlarged."""
    cut, (wide, high), _ = framing
    share = max(wide / cut.width, high / cut.height)
    return max(1, math.ceil(min(width, height) * share))


def _span(first: int, last: int, resized: int, source: int) -> tuple[int, int, int, int]:
    """Start and length of a stretch of the resized side that holds `first` to `last`, and of the
    stretch of the source side that it is resized from."""
    scale = source / resized

    def misfit(edge: int) -> float:
        return abs(edge * scale - round(edge * scale))

    # one more pixel at least, for the neighbours that the resize mixes in
    start = min(range(max(0, first - _REACH), max(0, first - 1) + 1), key=misfit)
    stop = min(range(min(resized, last + 1), min(resized, last + _REACH) + 1), key=misfit)
    source_start = min(source - 1, round(start * scale))
    source_stop = max(source_start + 1, min(source, round(stop * scale)))
    return start, stop - start, source_start, source_stop - source_start
