"""What one shard holds: names, places and labels of its images, read once and kept.

The index of a shard lies in the cache folder. It is built again when the shard's size or tag (the
store's, or the time of change) is another one, or when the file is not whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backbones.data.random import Integers
from backbones.data.remote import Stored
from backbones.data.stores import is_address
from backbones.download import cache_folder
from backbones.errors import BadData
from backbones.files import write_atomic
from backbones.progress import Downloading
from backbones.text import name_bytes

VERSION = 1
READERS = 8
"""Shards or parts of shards that are fetched at a time."""
SUFFIXES = (".tar", ".parquet")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    """A column of text: each row is one of a few words.

    Args:
        words: the different ones.
        rows: for each row the number of its word, int64 (N,); -1 where it has none.
    """

    words: tuple[str, ...]
    rows: Integers

    @classmethod
    def of(cls, cells: Sequence[str]) -> Words:
        """The column that these cells make; empty ones have no word."""
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(cell, len(numbers)) if cell else -1 for cell in cells]
        return cls(tuple(numbers), np.array(rows, dtype=np.int64))


@dataclass(frozen=True)
class ShardIndex:
    """What one shard holds.

    Args:
        names: of the images, as the shard calls them.
        starts: where each begins, int64 (N,): a byte of a tar, a row of a Parquet row group.
        sizes: bytes of each, int64 (N,); of Parquet the mean of its row group.
        blocks: which part of the shard each lies in, int64 (N,), ascending: of a Parquet table its
            row group. A part is read as a whole where it is far away.
        labels: of each image, as the shard has them.
        splits: of each image, where the shard says; "" where it does not.
        damaged: (name, reason) of what could not be read; such an index is not kept.
        column: the column of a Parquet table that holds the images.
        unlabelled: why there are no labels; empty where that is not known, or there are some.
    """

    names: tuple[str, ...]
    starts: Integers
    sizes: Integers
    blocks: Integers
    labels: Words
    splits: Words
    damaged: tuple[tuple[str, str], ...] = ()
    column: str = ""
    unlabelled: str = ""


def damaged_shard(name: str, reason: str) -> ShardIndex:
    """The index of a shard of which nothing can be read."""
    none = np.empty(0, dtype=np.int64)
    return ShardIndex((), none, none, none, Words.of(()), Words.of(()), ((name, reason),))


def indexes_of(
    shards: Sequence[Stored], progress: Downloading | None = None
) -> tuple[ShardIndex, ...]:
    """The indexes of shards; those that are not in the cache are built, several at a time.

    Args:
        shards: their files.
        progress: called with (name, bytes, bytes) as each is known.

    Raises:
        BadData: a shard of no kind that is read.
        DownloadFailed: a store gives no answer.
        MissingExtra: Parquet without pyarrow.
    """

    found: list[ShardIndex] = []
    with ThreadPoolExecutor(READERS) as pool:
        for shard, index in zip(shards, pool.map(index_of, shards), strict=True):
            found.append(index)
            if progress is not None:
                progress(shard.name, shard.size, shard.size)
    return tuple(found)


def index_of(shard: Stored) -> ShardIndex:
    """The index of one shard, from the cache or built now."""
    path, key = _cached_at(shard), f"{VERSION} {shard.size} {shard.tag}"
    index = _loaded(path, key)
    if index is None:
        index = _reader_of(shard)(shard)
        if index.damaged:  # it may be mended by then
            return index
        try:
            write_atomic(path, _saved(index, key))
        except OSError as error:
            _log.warning("the index of %s could not be kept: %s", shard.name, error)
    return index


def _reader_of(shard: Stored) -> Callable[[Stored], ShardIndex]:
    if shard.name.lower().endswith(".tar"):
        from backbones.data.shards.tar import read_index
    elif shard.name.lower().endswith(".parquet"):
        from backbones.data.shards.parquet import read_index
    else:
        raise BadData(f"{shard.name} is no shard that is read; expected {' or '.join(SUFFIXES)}")
    return read_index


def _cached_at(shard: Stored) -> Path:
    place = shard.place if is_address(shard.place) else str(Path(shard.place).resolve())
    name = hashlib.sha256(name_bytes(place)).hexdigest()[:24]
    return cache_folder() / "shards" / f"{name}.index"


def _saved(index: ShardIndex, key: str) -> bytes:
    from safetensors.numpy import save

    tensors: dict[str, npt.NDArray[Any]] = {
        "names": np.frombuffer(name_bytes("\0".join(index.names)), dtype=np.uint8),
        "starts": index.starts,
        "sizes": index.sizes,
        "blocks": index.blocks,
        "labels": index.labels.rows,
        "splits": index.splits.rows,
    }
    about = {
        "key": key,
        "labels": index.labels.words,
        "splits": index.splits.words,
        "column": index.column,
        "unlabelled": index.unlabelled,
        "crc32": _checksum(tensors),
    }
    data: bytes = save(tensors, {"about": json.dumps(about)})
    return data


def _loaded(path: Path, key: str) -> ShardIndex | None:
    """The index in a file; None where there is none, or it is damaged or of another content."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about: dict[str, Any] = json.loads(file.metadata()["about"])
            found = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if about["key"] != key or about["crc32"] != _checksum(found):
            return None
        joined = found["names"].tobytes().decode("utf-8", "surrogatepass")
        return ShardIndex(
            names=tuple(joined.split("\0")) if len(found["starts"]) else (),
            starts=found["starts"],
            sizes=found["sizes"],
            blocks=found["blocks"],
            labels=Words(tuple(about["labels"]), found["labels"]),
            splits=Words(tuple(about["splits"]), found["splits"]),
            column=about["column"],
            unlabelled=about["unlabelled"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def _checksum(arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    value = 0
    for name in sorted(arrays):
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), value)
    return value
