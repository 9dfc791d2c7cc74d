"""Find pictures that are the same, or nearly: re-encoded, resized or brightened copies.

Two pictures are nearly the same when their difference hashes are at most 7 of 64 bits apart and
their 16 x 16 thumbnails correlate by 0.95 or more. On 1,399 photos of cats and dogs the one true
pair has 0.999 and the next pair 0.876, 23 bits apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

MAX_BITS = 7
MIN_CORRELATION = 0.95
MIN_CONTRAST = 2.0
"""Grey levels of standard deviation; blank pictures are like any other and are left out."""

# Two hashes at most 7 bits apart agree in at least one of their eight bytes.
_BANDS = 8
_LARGE = 50_000
_BLOCK = 2048
_POPCOUNT = np.array([bin(i).count("1") for i in range(256)], dtype=np.uint8)

Indices = npt.NDArray[np.int64]


def equal_groups(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of equal keys, two or more at a time.

    Example:
        >>> equal_groups(["a", "b", "a", "c"])
        [[0, 2]]
    """
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        found[key].append(i)
    return [group for group in found.values() if len(group) > 1]


def near_groups(hashes: Sequence[int], thumbnails: npt.NDArray[np.uint8]) -> list[list[int]]:
    """The positions of pictures that are nearly the same, joined where pairs share a picture.

    Args:
        hashes: N difference hashes of 64 bits.
        thumbnails: uint8 (N, 16, 16).

    Returns:
        Groups of two or more, each sorted, in the order of their first members.
    """
    if len(hashes) < 2:
        return []
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1)
    unit = flat / np.maximum(norms, 1e-6)[:, None]
    contrast = norms / np.sqrt(flat.shape[1]) >= MIN_CONTRAST
    parents = list(range(len(hashes)))
    for first, second in _candidates(np.array(hashes, dtype=np.uint64)):
        alike = np.einsum("ij,ij->i", unit[first], unit[second]) >= MIN_CORRELATION
        alike &= contrast[first] & contrast[second]
        for i, j in zip(first[alike].tolist(), second[alike].tolist(), strict=True):
            parents[_root(parents, j)] = _root(parents, i)
    return sorted(equal_groups(_root(parents, i) for i in range(len(parents))))


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of positions whose hashes are near; in large sets a sixteenth of the work is done.

    Pairs come in blocks, and a pair may come again from another band.
    """
    octets = hashes.view(np.uint8).reshape(len(hashes), _BANDS)
    large = len(hashes) > _LARGE
    for band in range(_BANDS):
        keys = octets[:, band].astype(np.int64)
        if large:  # then two neighbouring bytes must agree: copies are mostly nearer than 7 bits
            keys = keys * 256 + octets[:, (band + 1) % _BANDS]
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(order, edges):
            yield from _near_in(bucket, octets)


def _near_in(bucket: Indices, octets: npt.NDArray[np.uint8]) -> Iterator[tuple[Indices, Indices]]:
    for top in range(0, len(bucket), _BLOCK):
        rows = bucket[top : top + _BLOCK]
        for left in range(top, len(bucket), _BLOCK):
            columns = bucket[left : left + _BLOCK]
            bits = np.zeros((len(rows), len(columns)), dtype=np.uint8)
            for octet in range(_BANDS):
                bits += _POPCOUNT[octets[rows, octet][:, None] ^ octets[columns, octet][None, :]]
            near = bits <= MAX_BITS
            if top == left:
                near &= np.tri(len(rows), len(columns), -1, dtype=np.bool_).T
            first, second = np.nonzero(near)
            if len(first):
                yield rows[first], columns[second]
