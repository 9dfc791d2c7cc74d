"""Write any data set as shards: `backbones data pack`.

Which image goes into which shard is decided before anything is written, so that a call that was
killed goes on with the shards that are missing, and writes the bytes that it would have written.
The manifest is renewed after every shard.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Literal

import numpy as np

from backbones.data import remote
from backbones.data.random import Integers
from backbones.data.sets import open_data
from backbones.data.shards.encoding import EncodedImage, encoded_image
from backbones.data.shards.finding import find_shards
from backbones.data.shards.manifest import Manifest, PackedShard, read_manifest
from backbones.data.shards.writing import (
    TAR_OVERHEAD,
    Packed,
    ShardWriter,
    write_parquet,
    write_tar,
)
from backbones.data.source import ArrayImages, DataSource, Split
from backbones.data.stores import is_address, plain
from backbones.errors import BadImage, WrongUse
from backbones.files import expanded, replacing
from backbones.progress import Progress
from backbones.text import name_bytes, to_json
from backbones.units import parse_bytes

ShardFormat = Literal["tar", "parquet"]

_VERSION = 1
_MEASURED = 200  # images, from whose mean size the number in a shard follows
_AHEAD = 8  # images a worker that wait to be written
_WRITERS: dict[str, ShardWriter] = {"tar": write_tar, "parquet": write_parquet}


def pack_data(
    where: str | Path,
    out: str | Path,
    *,
    format: ShardFormat = "tar",
    size: str | int = "256MB",
    resize: int | None = None,
    seed: int = 0,
    layout: str | None = None,
    label_pattern: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write a data set as shards, which `open_data` reads.

    The training images are shuffled, so that each shard is a fair sample; other splits keep their
    order. A call that was killed goes on where it was.

    Args:
        where: whatever `open_data` opens; its own splits are kept, and nothing is held out.
        out: a folder or an address.
        format: "tar" (WebDataset's layout) or "parquet" (that of Hugging Face's `datasets`).
        size: about how large a shard becomes ("256MB").
        resize: larger images are stored with this shorter side, px; None stores files as they are.
        seed: of the order.
        layout, label_pattern: as of `open_data`.
        workers: threads that read and encode; all cores by default.
        progress: called with (images done, images in all).

    Returns:
        what was written, and the images whose bytes could not be read.

    Raises:
        WrongUse: the folder holds other shards, or a size or format that is none.
        BadData, NotFound: as `open_data`.
        DownloadFailed: a store gives no answer.
        OSError: the folder cannot be written.
    """
    if format not in _WRITERS:
        raise WrongUse(f"format is {format!r}; expected {' or '.join(_WRITERS)}")
    if resize is not None and resize < 1:
        raise WrongUse(f"resize is {resize}; expected 1 pixel or more")
    source = open_data(
        where, val_fraction=0.0, seed=seed, layout=layout, label_pattern=label_pattern
    )
    work = _Packing(source, format, _bytes(size), resize, seed, workers or os.cpu_count() or 1)
    folder = str(out) if is_address(out) else str(expanded(out))
    manifest = _begun(folder, work)
    kept = {each.name: each for each in manifest.shards}
    done, total = 0, sum(map(len, source.splits.values()))
    for piece in work.pieces():
        if piece.name not in kept or not _is_there(folder, kept[piece.name]):
            told = None if progress is None else partial(_shifted, progress, done, total)
            manifest = _with(manifest, *_write(folder, work, piece, told))
            manifest.write(folder)
        done += len(piece.indices)
        if progress is not None:
            progress(done, total)
    images = sum(each.images for each in manifest.shards)
    manifest = replace(manifest, complete=True, images=images)
    manifest.write(folder)
    return manifest


@dataclass(frozen=True)
class _Piece:
    """The images of one shard.

    Args:
        name: of its file.
        split: that they are of.
        indices: their places in it, int64 (N,).
        first: the number of the first one in the order of the split.
    """

    name: str
    split: Split
    indices: Integers
    first: int


@dataclass(frozen=True)
class _Packing:
    """What decides the bytes of all shards.

    Args:
        source: the images.
        format: a key of `_WRITERS`.
        size: of a shard, bytes.
        resize: px of the shorter side, or None.
        seed: of the order.
        workers: threads that encode; they decide nothing.
    """

    source: DataSource
    format: ShardFormat
    size: int
    resize: int | None
    seed: int
    workers: int

    def plan(self) -> str:
        """One hash over all that decides the shards; another one refuses to go on."""
        about = [_VERSION, self.format, self.size, self.resize, self.seed, self.source.classes]
        digest = hashlib.sha256(name_bytes(to_json(about)))
        for split in self.source.splits.values():
            digest.update(name_bytes(split.name))
            digest.update(split.labels.astype("<i8").tobytes())
            if isinstance(split.images, ArrayImages):
                digest.update(np.ascontiguousarray(split.images.array).data)
                continue
            for index, name in enumerate(split.images.names()):
                size, changed, _ = split.images.status(index)
                digest.update(name_bytes(f"{name}\0{size}\0{changed}\n"))
        return digest.hexdigest()

    def pieces(self) -> Iterator[_Piece]:
        """The shards, split by split."""
        for split in self.source.splits.values():
            if not len(split):
                continue
            order = np.arange(len(split))
            if split.name == "train":
                order = split.images.order(self.seed, 0)
            count = -(-len(split) // max(1, self.size // self._mean_bytes(split)))
            first = 0
            for number, indices in enumerate(np.array_split(order, count)):
                name = f"{split.name}-{number:06d}.tar"
                if self.format == "parquet":
                    name = f"{split.name}-{number:05d}-of-{count:05d}.parquet"
                yield _Piece(name, split, indices, first)
                first += len(indices)

    def images(self, piece: _Piece, left_out: list[tuple[str, str]]) -> Iterator[Packed]:
        """The images of a shard, encoded by several threads; what cannot be read is noted."""
        images = piece.split.images.take(piece.indices)
        if not isinstance(images, ArrayImages):
            images.expect(np.arange(len(images)))
        waiting: deque[Future[EncodedImage]] = deque()
        labels = piece.split.labels[piece.indices].tolist()
        with ThreadPoolExecutor(self.workers) as pool:
            for index, label in enumerate(labels):
                while len(waiting) < min(_AHEAD * self.workers, len(labels) - index):
                    asked = index + len(waiting)
                    waiting.append(pool.submit(encoded_image, images, asked, self.resize))
                try:
                    image = waiting.popleft().result()
                except BadImage as error:
                    left_out.append((images.name(index), str(error)))
                else:
                    yield Packed(piece.first + index, images.name(index), label, image)

    def _mean_bytes(self, split: Split) -> int:
        """What an image takes in a shard, from some that are spread over the split."""
        places = np.unique(np.linspace(0, len(split) - 1, _MEASURED).astype(np.int64))
        images = split.images.take(places)
        sizes = []
        for index in range(len(images)):
            try:
                sizes.append(len(encoded_image(images, index, self.resize).data))
            except BadImage:  # it will be named when its shard is written
                continue
        overhead = TAR_OVERHEAD if self.format == "tar" else 0
        return overhead + int(np.mean(sizes or [1]))


def _bytes(size: str | int) -> int:
    try:
        found = parse_bytes(size) if isinstance(size, str) else size
    except ValueError as error:
        raise WrongUse(f"the size of a shard: {error}") from None
    if found < 1:
        raise WrongUse(f"the size of a shard is {size}; expected 1 byte or more")
    return found


def _begun(folder: str, work: _Packing) -> Manifest:
    """The manifest of a call that was killed, or a new one.

    Raises:
        WrongUse: the folder holds other shards.
    """
    plan, manifest = work.plan(), read_manifest(folder)
    if manifest is not None and manifest.plan == plan:
        return manifest
    if manifest is not None or find_shards(folder).shards:
        raise WrongUse(
            f"{plain(folder)} holds shards of other data, or of other settings; name another"
            " folder, or remove it"
        )
    damaged = work.source.damaged
    manifest = Manifest(work.format, work.source.classes, plan, False, 0, (), damaged)
    manifest.write(folder)
    return manifest


def _is_there(folder: str, shard: PackedShard) -> bool:
    place = remote.below(folder, shard.name)
    return remote.exists(place) and remote.look(place).size == shard.bytes


def _with(manifest: Manifest, shard: PackedShard, left_out: Sequence[tuple[str, str]]) -> Manifest:
    others = [each for each in manifest.shards if each.name != shard.name]
    return replace(
        manifest,
        shards=tuple(sorted((*others, shard), key=lambda each: each.name)),
        left_out=tuple(dict.fromkeys((*manifest.left_out, *left_out))),
    )


def _write(
    folder: str, work: _Packing, piece: _Piece, told: Callable[[int], None] | None
) -> tuple[PackedShard, list[tuple[str, str]]]:
    left_out: list[tuple[str, str]] = []
    images = work.images(piece, left_out)
    with _file_for(remote.below(folder, piece.name)) as file:
        count = _WRITERS[work.format](file, _counted(images, told), work.source.classes)
        file.flush()
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return PackedShard(piece.name, piece.split.name, count, size, digest), left_out


def _counted(images: Iterator[Packed], told: Callable[[int], None] | None) -> Iterator[Packed]:
    for number, each in enumerate(images):
        yield each
        if told is not None:
            told(number)


def _shifted(progress: Progress, done: int, total: int, number: int) -> None:
    progress(done + number, total)


@contextmanager
def _file_for(place: str) -> Iterator[IO[bytes]]:
    """A file to fill, which stands at its place afterwards, whole; or not at all."""
    if not is_address(place):
        with replacing(Path(place)) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(suffix=".shard") as file:
        yield file
        file.flush()
        remote.put(Path(file.name), place)
