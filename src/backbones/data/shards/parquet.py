"""Parquet tables that hold the images themselves, as Hugging Face's `datasets` writes them.

The column of the images is a structure of `bytes` and `path`, or the bytes alone. Numbers of
classes get the names that stand in the file's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from backbones.data.ranges import open_ranges
from backbones.data.remote import Stored
from backbones.data.sets.columns import columns_of, labels_of, splits_of
from backbones.data.sets.listing import some
from backbones.data.sets.tables import LabelTable, parquet_table
from backbones.data.shards.index import ShardIndex, Words, damaged_shard
from backbones.errors import BadData, BadImage, MissingExtra


def read_index(shard: Stored) -> ShardIndex:
    """Read all columns of a table but the images.

    Raises:
        DownloadFailed: its store gives no answer.
        MissingExtra: without pyarrow.
    """
    try:
        column = image_column(shard)
        with open_ranges(shard) as file:
            table = parquet_table(Path(shard.name), file)
            groups = _groups(file, column)
    except BadData as error:
        return damaged_shard(shard.name, str(error))
    counts, sizes = (np.array(each, dtype=np.int64) for each in zip(*groups, strict=True))
    if not column:
        counts = counts[:0]
    labels, splits, why = _labels(table, column)
    return ShardIndex(
        names=tuple(map(str, range(counts.sum()))),
        starts=np.concatenate([np.empty(0, dtype=np.int64), *map(np.arange, counts)]),
        sizes=np.repeat(sizes[: len(counts)] // np.maximum(1, counts), counts),
        blocks=np.repeat(np.arange(len(counts)), counts),
        labels=Words.of(labels[: counts.sum()]),
        splits=Words.of(splits[: counts.sum()]),
        column=column,
        unlabelled=why if column else "",
    )


def _labels(table: LabelTable, column: str) -> tuple[list[str], list[str], str]:
    """Each row's label and split, and why there are none."""
    none = [""] * len(table.rows)
    try:
        columns = columns_of(table, column)
        if columns is None:
            why = (
                f"{table.path} holds images (column {column}) and no label; its columns are"
                f" {some(table.header, 8)} (lists and structures are no labels)"
            )
            return none, none, why
        # -1 is what `datasets` puts where there is no label
        labels = ["" if label == "-1" else label for label in labels_of(table, columns)]
        return labels, splits_of(table, columns, ""), ""
    except BadData as error:
        return none, none, str(error)


def _groups(file: IO[bytes], column: str) -> list[tuple[int, int]]:
    """Rows of each row group, and the bytes that its images take in the file."""
    from pyarrow import parquet

    file.seek(0)
    about = parquet.ParquetFile(file).metadata
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    return [
        (group.num_rows, sum(part.total_compressed_size for part in _parts(group, column)))
        for group in groups
    ]


def image_column(shard: Stored | Path) -> str:
    """The column of a Parquet table that holds images; empty where there is none.

    Raises:
        BadData: it is no such table.
        MissingExtra: without pyarrow.
    """
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "reading a Parquet table") from error
    try:
        with shard.open("rb") if isinstance(shard, Path) else open_ranges(shard) as file:
            schema = parquet.read_schema(file)
    except (ArrowException, OSError) as error:
        raise BadData(f"{shard.name} is not a readable Parquet table: {error}") from error
    for field in schema:
        kind = field.type
        if types.is_struct(kind):
            inner = [each.type for each in kind if each.name == "bytes"]
            kind = inner[0] if inner else kind
        if types.is_binary(kind) or types.is_large_binary(kind):
            return str(field.name)
    return ""


def read_rows(
    shard: Stored, column: str, group: int, rows: Iterable[int]
) -> list[bytes | BadImage]:
    """The encoded images of some rows of one row group, which is read as a whole.

    Raises:
        DownloadFailed: the store gives no answer.
        NotFound: the shard is gone.
    """
    from pyarrow import ArrowException, parquet, types

    try:
        about = _about(shard)
        parts = _parts(about.row_group(group), column)
        begin = min(part.dictionary_page_offset or part.data_page_offset for part in parts)
        end = begin + sum(part.total_compressed_size for part in parts)
        with open_ranges(shard, (begin, end)) as file:
            table = parquet.ParquetFile(file, metadata=about, page_checksum_verification=True)
            cells = table.read_row_group(group, columns=[column]).column(0).combine_chunks()
    except (ArrowException, OSError) as error:
        reason = f"row group {group} of {shard.name} is damaged: {' '.join(str(error).split())}"
        return [BadImage(reason) for _ in rows]
    if types.is_struct(cells.type):
        cells = cells.field("bytes")
    return [_bytes_or_why(cells[row].as_py()) for row in rows]


def encoded_bytes(cell: Any) -> bytes:
    """The image file that a cell holds.

    Raises:
        BadImage: it holds none.
    """
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise BadImage("the table holds no bytes for it")
    return data


def _bytes_or_why(cell: Any) -> bytes | BadImage:
    try:
        return encoded_bytes(cell)
    except BadImage as error:
        return error


@lru_cache(maxsize=256)
def _about(shard: Stored) -> Any:
    """What a table says of its row groups."""
    from pyarrow import parquet

    with open_ranges(shard) as file:
        return parquet.read_metadata(file)


def _parts(group: Any, column: str) -> list[Any]:
    """The pieces of a row group that the images lie in."""
    parts = (group.column(i) for i in range(group.num_columns))
    return [part for part in parts if part.path_in_schema.partition(".")[0] == column]
