"""What the images of a run are, file by file, so that a resume finds the ones that changed.

Sizes and times of change are noted of all files. Contents are too where they can be read in
seconds; then the times do not count, and a copy of the data is as good as the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.data.decoder_pool import usable_cores
from backbones.data.source import EncodedImages, Split
from backbones.errors import BadImage, WrongUse
from backbones.training.checkpoint import fingerprint, refuse_other_data

READ_AT_MOST = 8 << 30
"""Bytes of one split; more, and what is far away, are known by size and time of change alone."""
_DIGEST = 16
_LISTED = 3


@dataclass(frozen=True)
class ImageFingerprints:
    """What tells the images of a data set from any others.

    Args:
        splits: the fingerprint of each split by its name.
        files: what is known of each file.

    Shapes:
        `SPLIT.bytes` and `SPLIT.time_ns`: int64 (N,); `SPLIT.sha256`: uint8 (N, 16), the first
        half of each hash, missing where there is too much to read.
    """

    splits: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Tensor]


def describe_images(splits: Iterable[Split]) -> ImageFingerprints:
    """Look at every file of the splits; those in memory are known by their pixels."""
    known: dict[str, Any] = {}
    files: dict[str, Tensor] = {}
    for split in splits:
        known[split.name] = fingerprint(split)
        if isinstance(split.images, EncodedImages):
            found = _look_at_files(split.images)
            files |= {f"{split.name}.{name}": tensor for name, tensor in found.items()}
    return ImageFingerprints(known, files)


def refuse_other_images(then: ImageFingerprints, splits: Mapping[str, Split]) -> None:
    """A run goes on with the images that it began with, or not at all.

    Args:
        then: what `describe_images` said.
        splits: as they are now.

    Raises:
        WrongUse: names the first that differ.
    """
    if then.splits.keys() != splits.keys():
        raise WrongUse(
            f"the data is not what the run began with: it had the parts {', '.join(then.splits)},"
            f" and has {', '.join(splits)}; give the same data, or start a new run"
        )
    now = describe_images(splits.values())
    for name, split in splits.items():
        part = "training" if name == "train" else name
        refuse_other_data(then.splits[name], now.splits[name], part)
        if f"{name}.bytes" in then.files:
            _refuse_changed(then.files, now.files, split)


def _refuse_changed(then: Mapping[str, Tensor], now: Mapping[str, Tensor], split: Split) -> None:
    """Compare the contents where they are known, else sizes and times."""

    def differs(what: str) -> Tensor:
        before, after = then[f"{split.name}.{what}"], now[f"{split.name}.{what}"]
        return (before != after).reshape(len(split), -1).any(1)

    read = f"{split.name}.sha256" in then and f"{split.name}.sha256" in now
    changed = differs("bytes") | differs("sha256" if read else "time_ns")
    places = torch.nonzero(changed).flatten().tolist()
    if places:
        names = ", ".join(split.images.name(place) for place in places[:_LISTED])
        more = f" and {len(places) - _LISTED:,} more" if len(places) > _LISTED else ""
        how = "contents" if read else "sizes or times of change"
        keep = "" if read else " (a copy of so much data has to keep its times)"
        raise WrongUse(
            f"the data is not what the run began with: {len(places):,} of {len(split):,}"
            f" {split.name} images have other {how}: {names}{more}; put them back{keep}, or start"
            " a new run"
        )


def _look_at_files(images: EncodedImages) -> dict[str, Tensor]:
    status = np.array([_status(images, place) for place in range(len(images))], dtype=np.int64)
    sizes, times = (torch.from_numpy(column.copy()) for column in status.reshape(-1, 2).T)
    found = {"bytes": sizes, "time_ns": times}
    if images.near and int(sizes.clamp(min=0).sum()) <= READ_AT_MOST:
        images.expect(np.arange(len(images)))
        regular = (sizes >= 0).tolist()
        with ThreadPoolExecutor(usable_cores()) as pool:
            hashes = list(
                pool.map(
                    lambda place: _hash(images, place) if regular[place] else bytes(_DIGEST),
                    range(len(images)),
                )
            )
        found["sha256"] = _stack(hashes)
    return found


def _status(images: EncodedImages, place: int) -> tuple[int, int]:
    """Size and time of change; (-1, 0) of what is no file, or cannot be looked at."""
    size, changed, _ = images.status(place)
    return size, changed


def _hash(images: EncodedImages, place: int) -> bytes:
    """Of the file's contents; zeros where they cannot be read, which training says for itself."""
    try:
        return hashlib.sha256(images.data(place)).digest()[:_DIGEST]
    except BadImage:
        return bytes(_DIGEST)


def _stack(hashes: list[bytes]) -> Tensor:
    joined = np.frombuffer(b"".join(hashes), dtype=np.uint8)
    return torch.from_numpy(joined.reshape(-1, _DIGEST).copy())
