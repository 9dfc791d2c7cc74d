"""What lies beside packed shards: how many images each has, its bytes and its SHA-256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from backbones.data.ranges import open_ranges
from backbones.data.remote import Stored, below, read, write
from backbones.data.shards.finding import MANIFEST, Found, find_shards
from backbones.data.stores import plain
from backbones.errors import BadData, NotFound
from backbones.records import fitting
from backbones.text import to_json

_PIECE_BYTES = 4 * 2**20


@dataclass(frozen=True)
class PackedShard:
    """One shard that was written.

    Args:
        name: of its file.
        split: that its images belong to.
        images: how many it holds.
        bytes: of the file.
        sha256: of the file, in hexadecimal.
    """

    name: str
    split: str
    images: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `pack_data` has written so far.

    Args:
        format: "tar" or "parquet".
        classes: in the order of the labels.
        plan: tells whether another call would write the same shards.
        complete: whether all shards are there.
        images: how many the shards hold in all.
        shards: in order.
        left_out: images whose bytes could not be read: name and reason.
    """

    format: str
    classes: tuple[str, ...]
    plan: str
    complete: bool
    images: int
    shards: tuple[PackedShard, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def write(self, folder: str) -> None:
        """Put it beside the shards, in one step."""
        write(below(folder, MANIFEST), (to_json(asdict(self), indent=2) + "\n").encode())


def read_manifest(folder: str) -> Manifest | None:
    """The manifest of a folder of shards; None where there is none.

    Raises:
        BadData: a file of that name that is something else, or damaged.
    """
    place = below(folder, MANIFEST)
    try:
        data = read(place)
    except NotFound:
        return None
    try:
        values = json.loads(data)
    except ValueError as error:
        raise BadData(f"{plain(place)} is not JSON ({error}); pack the data again") from error
    return fitting(values, Manifest, plain(place))


def refuse_missing(found: Found, manifest: Manifest) -> None:
    """Raise BadData where the shards of a folder are not those that its manifest lists."""
    there = {each.name: each for each in found.shards}
    if missing := [each.name for each in manifest.shards if each.name not in there]:
        raise BadData(
            f"{plain(found.folder)} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more shards" if len(missing) > 1 else "")
            + f", which its {MANIFEST} lists; copy what is missing, or name the shards that you"
            " want by a pattern"
        )
    if not manifest.complete:
        raise BadData(
            f"{plain(found.folder)} is not packed to its end; give the same command again, and it"
            " goes on"
        )


def changed_shards(where: str | Path) -> list[str]:
    """A sentence about each shard that is not what was written; reads them all.

    Raises:
        DownloadFailed: a store gives no answer.
    """
    found = find_shards(where)
    manifest = read_manifest(found.folder)
    written = {each.name: each for each in manifest.shards} if manifest else {}
    said = []
    for shard in found.shards:
        known = written.get(shard.name)
        if known is None:
            continue
        if shard.size != known.bytes:
            said.append(f"{shard.name} has {shard.size:,} bytes, {MANIFEST} says {known.bytes:,}")
        elif sha256_of(shard) != known.sha256:
            said.append(f"{shard.name} was changed: its SHA-256 is not that of {MANIFEST}")
    return said


def sha256_of(shard: Stored) -> str:
    """The SHA-256 of a file, here or at an address."""
    digest = hashlib.sha256()
    with open_ranges(shard) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
