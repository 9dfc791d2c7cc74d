"""The images in shards, by number: read where they lie, or fetched a block at a time."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from backbones.data.files import MAX_FILE_BYTES, refuse_large
from backbones.data.random import Integers, shuffled_in_windows
from backbones.data.remote import Stored, look, read
from backbones.data.shards.blocks import BlockReader
from backbones.data.shards.finding import Found
from backbones.data.shards.index import ShardIndex
from backbones.data.source import EncodedImages, Images
from backbones.data.stores import is_address, plain
from backbones.errors import BadData, BadImage, NotFound
from backbones.text import name_bytes

WINDOW_BYTES = 256 * 2**20
"""Images are shuffled within so much of the data, in shuffled order; it is never changed, for the
order of a run that goes on depends on it."""
_GAP_BYTES = 256 * 2**10  # images between which no more lies are fetched together


class Shards:
    """All shards of a data set, and their records one after the other.

    Args:
        found: the shards.
        indexes: what each holds.
    """

    def __init__(self, found: Found, indexes: Sequence[ShardIndex]) -> None:
        self.found, self.indexes = found, tuple(indexes)
        counts = np.array([len(index.names) for index in indexes], dtype=np.int64)
        self.first = np.cumsum(counts) - counts
        self.shard = np.repeat(np.arange(len(counts)), counts)
        self.starts = _joined(index.starts for index in indexes)
        self.sizes = _joined(index.sizes for index in indexes)
        blocks, before = [], 0
        for index in indexes:
            blocks.append(index.blocks + before)
            before += 1 + int(index.blocks.max(initial=-1))
        self.blocks = _joined(blocks)

    def __len__(self) -> int:
        return len(self.shard)

    def file(self, row: int) -> Stored:
        """The shard that a record lies in."""
        return self.found.shards[int(self.shard[row])]

    def name(self, row: int) -> str:
        """`SHARD/MEMBER` of a tar, `SHARD#ROW` of a Parquet table."""
        number = int(self.shard[row])
        index = self.indexes[number]
        mark = "#" if index.column else "/"
        shard = self.found.name(self.found.shards[number])
        return f"{shard}{mark}{index.names[row - self.first[number]]}"

    def lies_open(self, row: int) -> bool:
        """Whether a record is a piece of a file of this machine."""
        number = int(self.shard[row])
        return not self.indexes[number].column and not is_address(self.found.shards[number].place)

    def piece(self, row: int) -> bytes:
        """The bytes of a record that `lies_open`.

        Raises:
            BadData: its shard was changed since its index was made.
            BadImage: they cannot be read.
        """
        shard, start, size = self.file(row), int(self.starts[row]), int(self.sizes[row])
        refuse_large(size, MAX_FILE_BYTES)
        try:
            with open(shard.place, "rb", buffering=0) as file:
                facts = os.fstat(file.fileno())
                if (facts.st_size, str(facts.st_mtime_ns)) != (shard.size, shard.tag):
                    raise _changed(shard)
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror or error}") from error

    def block(self, rows: Integers) -> Mapping[int, bytes | BadImage]:
        """The images of some records of one block, which are read together."""
        number = int(self.shard[rows[0]])
        shard, index = self.found.shards[number], self.indexes[number]
        try:
            if not is_address(shard.place) and look(shard.place) != shard:
                raise _changed(shard)
            if index.column:
                from backbones.data.shards.parquet import read_rows

                group = int(index.blocks[rows[0] - self.first[number]])
                inside = self.starts[rows].tolist()
                cells = read_rows(shard, index.column, group, inside)
                return dict(zip(rows.tolist(), cells, strict=True))
            return self._pieces(shard, rows)
        except NotFound as error:
            raise BadData(f"{error}: it was there when its index was made") from None

    def _pieces(self, shard: Stored, rows: Integers) -> Mapping[int, bytes | BadImage]:
        large = self.sizes[rows] > MAX_FILE_BYTES
        found: dict[int, bytes | BadImage] = {
            row: BadImage(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
            for row in rows[large].tolist()
        }
        rows = rows[~large]
        starts, ends = self.starts[rows], self.starts[rows] + self.sizes[rows]
        parts = np.split(
            np.arange(len(rows)), 1 + np.flatnonzero(starts[1:] - ends[:-1] > _GAP_BYTES)
        )
        for part in parts if len(rows) else ():
            first, last = int(starts[part[0]]), int(ends[part[-1]])
            data = memoryview(read(shard.place, first, last))
            for i in part.tolist():
                found[int(rows[i])] = bytes(data[starts[i] - first : ends[i] - first])
        return found


@dataclass(frozen=True, eq=False)
class ShardImages(EncodedImages):
    """Some images of a set of shards.

    Args:
        shards: that they lie in.
        rows: the number of each image's record, int64 (N,).
    """

    shards: Shards
    rows: Integers

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def place(self) -> str:
        """The folder that the names count from, without credentials."""
        return plain(self.shards.found.folder)

    @property
    def near(self) -> bool:
        """Whether the shards lie on this machine."""
        return not is_address(self.shards.found.folder)

    def name(self, index: int) -> str:
        """What messages call the image."""
        return self.shards.name(int(self.rows[index]))

    def data(self, index: int) -> bytes:
        """What the image's file would hold."""
        row = int(self.rows[index])
        if self.shards.lies_open(row):
            return self.shards.piece(row)
        data = self._blocks.get(row)
        if isinstance(data, BadImage):
            raise BadImage(str(data))
        return data

    def num_bytes(self, index: int) -> int:
        """Of a record of a local tar; others come with their block."""
        row = int(self.rows[index])
        return int(self.shards.sizes[row]) if self.shards.lies_open(row) else 0

    def status(self, index: int) -> tuple[int, int, int]:
        """Bytes, a number for the shard's tag, and where in it the image lies."""
        row = int(self.rows[index])
        tag = zlib.crc32(name_bytes(self.shards.file(row).tag))
        return int(self.shards.sizes[row]), tag, int(self.shards.starts[row])

    def take(self, indices: npt.NDArray[np.int64]) -> Self:
        """The images at `indices`, in that order."""
        return type(self)(self.shards, self.rows[indices])

    def joined(self, others: Sequence[Images]) -> Self | None:
        """These images and others of the same shards behind them."""
        rows = [self.rows]
        for other in others:
            if not isinstance(other, ShardImages) or other.shards is not self.shards:
                return None
            rows.append(other.rows)
        return type(self)(self.shards, np.concatenate(rows))

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """Shuffled by block and within a window, so that each block is read once."""
        blocks, sizes = self.shards.blocks[self.rows], self.shards.sizes[self.rows]
        _, numbers = np.unique(blocks, return_inverse=True)
        return shuffled_in_windows(seed, epoch, numbers, sizes, WINDOW_BYTES)

    def expect(self, indices: npt.NDArray[np.int64]) -> None:
        """Fetch the blocks of these images ahead of their reading, in this order."""
        rows = self.rows[indices]
        self._blocks.expect(rows[~self._open[self.shards.shard[rows]]])

    @cached_property
    def _open(self) -> npt.NDArray[np.bool_]:
        """Which shards are files of this machine whose pieces are read one by one."""
        pairs = zip(self.shards.indexes, self.shards.found.shards, strict=True)
        return np.array([not index.column and not is_address(at.place) for index, at in pairs])

    @cached_property
    def _blocks(self) -> BlockReader:
        return BlockReader(self.shards.block, self.rows, self.shards.blocks, self.shards.sizes)


def _changed(shard: Stored) -> BadData:
    return BadData(
        f"{plain(shard.place)} was changed while it was in use; start again, for its images lie"
        " elsewhere now"
    )


def _joined(parts: Iterable[Integers]) -> Integers:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
