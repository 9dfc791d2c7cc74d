"""Views of many images, put together into batches of one size; large ones taken apart.

The memory of an evaluation depends on the batch size and on the network's side, never on how large
an image is or how far its sides differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from backbones.data.geometry import Box
from backbones.data.render import Pixels
from backbones.spec import InputSpec

DENSE_PIXELS = 2**20
"""The most pixels of one image that a network sees at once. A larger view is scored in parts,
each a tile that a border of padding surrounds, and every place of the map counts once."""

_STRIDE = 32  # of every network whose images are that large, or a divisor of it
_BATCHES_WAITING = 4


@dataclass(frozen=True)
class Part:
    """A view of the images of a block, or a tile of it.

    Args:
        block: the block's number.
        view: its number in the images' plan.
        pixels: uint8 (n, h, w, C).
        dense: whether the network's head is read as convolutions on it.
        geometry: whose plan it is.
    """

    block: int
    view: int
    pixels: Pixels
    dense: bool
    geometry: InputSpec


def tiles(width: int, height: int, size: int, limit: int = DENSE_PIXELS) -> tuple[Box, ...]:
    """Where the tiles of a view lie that is scored densely.

    Neighbours overlap by the network's side less one step of its map, so that together they have
    the places of the whole view, each once.

    Args:
        width, height: of the view, px.
        size: side of the square that the network sees, px.
        limit: pixels of a tile.

    Example:
        >>> tiles(682, 512, 224)
        (Box(left=0, top=0, width=682, height=512),)
        >>> [box.left for box in tiles(4000, 224, 224, limit=224 * 1000)]
        [0, 800, 1600, 2400, 3200]
    """
    if width * height <= limit:
        return (Box(0, 0, width, height),)
    # the shorter side whole, if that leaves room for a few steps along the longer one
    shorter = min(width, height)
    one = shorter if shorter * (size + _STRIDE) <= limit else math.isqrt(limit)
    down, across = (one, limit // one) if height <= width else (limit // one, one)
    return tuple(
        Box(left, top, wide, high)
        for top, high in _stretches(height, down, size)
        for left, wide in _stretches(width, across, size)
    )


def _stretches(length: int, most: int, size: int) -> list[tuple[int, int]]:
    if length <= most:
        return [(0, length)]
    places = max(1, (max(most, size) - size) // _STRIDE + 1)
    step = places * _STRIDE
    last = (length - size) // _STRIDE * _STRIDE  # where the last place begins
    found = []
    for start in range(0, last + 1, step):
        stop = length if start + step > last else start + step - _STRIDE + size
        found.append((start, stop - start))
    return found


_Kind = tuple[InputSpec, bool, tuple[int, ...]]  # of parts that may share a batch


@dataclass
class Packer:
    """Collects parts of one size until they fill a batch.

    Args:
        pixels: in a batch; a part that has more is a batch by itself.
    """

    pixels: int
    _waiting: dict[_Kind, list[Part]] = field(default_factory=dict)
    _held: Counter[_Kind] = field(default_factory=Counter)  # pixels

    def add(self, part: Part) -> Iterator[list[Part]]:
        """Take a part; gives the batches that are full now, or that have to make room."""
        key = (part.geometry, part.dense, part.pixels.shape[1:])
        self._waiting.setdefault(key, []).append(part)
        self._held[key] += _pixels_of(part)
        if self._held[key] + _pixels_of(part) // len(part.pixels) > self.pixels:
            yield self._take(key)
        while self._held.total() > _BATCHES_WAITING * self.pixels:
            yield self._take(self._held.most_common(1)[0][0])

    def rest(self) -> Iterator[list[Part]]:
        """What is left at the end."""
        while self._waiting:
            yield self._take(next(iter(self._waiting)))

    def _take(self, key: _Kind) -> list[Part]:
        del self._held[key]
        return self._waiting.pop(key)


def _pixels_of(part: Part) -> int:
    count, height, width, _ = part.pixels.shape
    return int(count) * int(height) * int(width)
