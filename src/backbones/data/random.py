"""Chance as a pure function of (seed, epoch, index).

Each number is a hash of its place, not the next one of a stream: any sample's numbers can be
computed alone, in any order, by any worker, and a resumed run sees what it would have seen.
The hash is splitmix64 (Steele, Lea & Flood 2014, Fast Splittable Pseudorandom Number Generators,
figure 17), written out so that no library's version changes what a seed means.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_Words = npt.NDArray[np.uint64]

_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_ORDER_SLOT = 0


def _mix(words: _Words) -> _Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _after(words: _Words, number: int) -> _Words:
    """The hash of each word and one more number."""
    return _mix(words + np.uint64((number + 1) * _GAMMA & _MASK))


def _words(seed: int, epoch: int, indices: Integers, slot: int) -> _Words:
    start = np.zeros(1, dtype=np.uint64)
    key = _after(_after(start, seed), epoch)
    each = _mix(key ^ _mix(indices.astype(np.uint64) + np.uint64(_GAMMA)))
    return _after(each, slot)


def uniform(seed: int, epoch: int, indices: Integers, slot: int) -> Floats:
    """One number in [0, 1) for each index.

    Args:
        seed: of the run, any integer.
        epoch: counted from 0.
        indices: positions in the split, int64 (N,).
        slot: which of a sample's numbers is meant, counted from 1.

    Example:
        >>> first = uniform(0, 0, np.arange(4), slot=1)
        >>> bool((first[2:] == uniform(0, 0, np.array([2, 3]), slot=1)).all())
        True
    """
    return (_words(seed, epoch, indices, slot) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed: int, epoch: int, indices: Integers, slot: int) -> Floats:
    """One number of the standard normal distribution for each index; uses `slot` and `slot + 1`.

    Reference: Box & Muller (1958), A Note on the Generation of Random Normal Deviates.
    """
    radius = np.sqrt(-2.0 * np.log1p(-uniform(seed, epoch, indices, slot)))
    cosine = np.cos(2.0 * np.pi * uniform(seed, epoch, indices, slot + 1))
    numbers: Floats = radius * cosine
    return numbers


def shuffled(seed: int, epoch: int, count: int) -> Integers:
    """The numbers 0 to count - 1 in an order that depends on the seed and the epoch alone."""
    words = _words(seed, epoch, np.arange(count, dtype=np.int64), _ORDER_SLOT)
    return np.argsort(words, kind="stable").astype(np.int64)


def shuffled_in_windows(
    seed: int, epoch: int, blocks: Integers, sizes: Integers, window: int
) -> Integers:
    """The numbers of images in an order that reads what lies together at about one time.

    Blocks are shuffled as wholes, and then the images of so many blocks in a row as fill a window;
    so whoever keeps two windows reads each block once. Where one window takes them all, the images
    are shuffled evenly.

    Args:
        seed, epoch: as of `shuffled`.
        blocks: the block of each image, from 0, int64 (N,).
        sizes: the bytes of each image, int64 (N,).
        window: bytes.
    """
    count = len(blocks)
    words = _words(seed, epoch, np.arange(count, dtype=np.int64), _ORDER_SLOT)
    if int(sizes.sum()) <= window:
        return np.argsort(words, kind="stable").astype(np.int64)
    bytes_of = np.bincount(blocks, weights=sizes).astype(np.int64)
    order = shuffled(seed, epoch, len(bytes_of))
    before = np.cumsum(bytes_of[order]) - bytes_of[order]
    window_of = np.empty(len(order), dtype=np.int64)
    window_of[order] = before // window
    return np.lexsort((words, window_of[blocks])).astype(np.int64)
