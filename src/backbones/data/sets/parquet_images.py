"""Parquet tables that hold the images themselves, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbones.data.sets.columns import columns_of, labels_of, splits_of
from backbones.data.sets.listing import count_of, look, some, split_of
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.sets.tables import read_table
from backbones.data.source import DataSource, RowImages
from backbones.errors import BadData, BadImage, MissingExtra

LOOKS_LIKE = "Parquet tables that hold the images (train-00000-of-00002.parquet)"

_LARGEST_BYTES = 8 * 2**30  # the encoded images of all tables are kept in memory
_PART = re.compile(r"([_.-]?\d|-of-)*(-[0-9a-f]{16})?$")


def recognise(folder: Path) -> bool:
    """Whether there are tables with images in them, here or in a folder `data`."""
    return any(image_column(path) for path in _tables(folder))


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read such tables; `train-*.parquet`, `validation-*` and `test-*` are splits.

    Raises:
        BadData: no images or no labels in them, or more than memory should hold.
        MissingExtra: without pyarrow.
    """
    paths = [path for path in _tables(folder) if image_column(path)]
    if not paths:
        raise BadData(f"{folder} holds no Parquet table with images in it")
    return read_tables(folder, paths, holdout, str(folder))


def read_tables(root: Path, paths: Sequence[Path], holdout: Holdout, where: str) -> DataSource:
    """Read tables with images in them.

    Args:
        root: the folder that their names count from.
        paths: of the tables.
        holdout: how to split, where there is only "train".
        where: what was opened.

    Raises:
        BadData: as `read`.
    """
    listed: dict[str, list[tuple[str, str]]] = {}
    cells: dict[str, Any] = {}
    without = size = 0
    for path in paths:
        table = read_table(path)
        column = image_column(path)
        columns = columns_of(table, column)
        if columns is None:
            raise BadData(
                f"{path} holds images (column {column}) and no label; its columns are"
                f" {some(table.header, 8)} (lists and structures are no labels)"
            )
        usual = (split_of(_PART.sub("", path.stem)) or "train") if len(paths) > 1 else "train"
        splits, labels = splits_of(table, columns, usual), labels_of(table, columns)
        name = path.relative_to(root).as_posix()
        images = _images(path, column)
        size += images.nbytes
        if size > _LARGEST_BYTES:
            raise BadData(
                f"{where} holds more than {_LARGEST_BYTES // 2**30} GiB of images in Parquet"
                " tables; export them to files"
            )
        cells[name] = images
        for row, (split, label) in enumerate(zip(splits, labels, strict=True)):
            if label and label != "-1":  # what `datasets` puts where there is no label
                listed.setdefault(split, []).append((f"{name}#{row}", label))
            else:
                without += 1
    notes = [f"images and labels from {count_of(len(paths), 'Parquet table')}"]
    if without:
        notes.append(f"{count_of(without, 'row')} without a label left out")
    order: list[str] = [split for split in ("train", "val", "test") if split in listed]
    found = {split: listed[split] for split in order}
    source = assemble("parquet", root, found, holdout, notes, where=where)

    def read_row(place: str) -> bytes:
        table, _, row = place.rpartition("#")
        return encoded_bytes(cells[table][int(row)].as_py())

    parts = {
        name: replace(split, images=RowImages(root, tuple(_names(split)), read_row))
        for name, split in source.splits.items()
    }
    return replace(source, splits=parts)


def image_column(path: Path) -> str:
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
        schema = parquet.read_schema(path)
    except (ArrowException, OSError) as error:
        raise BadData(f"{path} is not a readable Parquet table: {error}") from error
    for field in schema:
        kind = field.type
        if types.is_struct(kind):
            inner = [each.type for each in kind if each.name == "bytes"]
            kind = inner[0] if inner else kind
        if types.is_binary(kind) or types.is_large_binary(kind):
            return str(field.name)
    return ""


def _names(split: Any) -> Iterator[str]:
    return (split.images.name(index) for index in range(len(split)))


def _tables(folder: Path) -> list[Path]:
    places = [folder, folder / "data"] if (folder / "data").is_dir() else [folder]
    return [
        place / name
        for place in places
        for name in look(place).others
        if name.lower().endswith(".parquet")
    ]


def _images(path: Path, column: str) -> Any:
    from pyarrow import ArrowException, parquet

    try:
        return parquet.read_table(path, columns=[column]).column(0).combine_chunks()
    except (ArrowException, OSError) as error:
        raise BadData(f"{path} is not a readable Parquet table: {error}") from error


def encoded_bytes(cell: Any) -> bytes:
    """The image file that a cell holds.

    Raises:
        BadImage: it holds none.
    """
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise BadImage("the table holds no bytes for it")
    return data
