"""A table of pictures: CSV, TSV or Parquet with the columns path, label and perhaps split."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from backbones.data.sets.listing import count_of, look, some, split_of
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.source import DataSource
from backbones.errors import BadData, MissingExtra

LOOKS_LIKE = "a manifest: a .csv, .tsv or .parquet with the columns path,label[,split]"
SUFFIXES = (".csv", ".tsv", ".parquet")

_WORDS = {
    "path": "path file filename file_name filepath file_path image image_path img picture",
    "label": "label class category target class_name label_name classname",
    "split": "split subset set partition",
}

Rows = Sequence[Mapping[str, str]]


def recognise(folder: Path) -> bool:
    """Whether the folder holds exactly one table that has a path and a label column."""
    return len(_tables(folder)) == 1


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read the one manifest that lies in a folder; see `read_manifest`."""
    return read_manifest(_tables(folder)[0], holdout)


def read_manifest(path: Path, holdout: Holdout) -> DataSource:
    """Read a table of pictures.

    The columns are found by their names, in any order and case, and may be called by their
    usual other names (`filename`, `image`, `class`, `category`, `subset`). Paths count from the
    manifest's folder.

    Raises:
        BadData: no such columns, an empty cell, contradicting labels, or files that are missing.
        MissingExtra: Parquet without pyarrow.
    """
    header, rows = _table(path)
    columns = _columns(header)
    if "path" not in columns or "label" not in columns:
        raise BadData(
            f"{path} has the columns {some(header, 8) or 'none'};"
            " expected path and label, and perhaps split, in a header line"
        )
    notes: list[str] = []
    listed = _listed(path, rows, columns, notes)
    _files_exist(path, listed)
    known = {label for _, label in listed.get("train", ())}
    for split, pairs in listed.items():
        if known and (strange := sorted({label for _, label in pairs} - known)):
            raise BadData(
                f"the classes of train and {split} in {path} differ:"
                f" {split} alone has {some(strange)}; correct the label column"
            )
    return assemble("manifest", path.parent, listed, holdout, notes, where=str(path))


def _tables(folder: Path) -> list[Path]:
    paths = [folder / name for name in look(folder).others if name.lower().endswith(SUFFIXES)]
    return [path for path in paths if _is_manifest(path)]


def _is_manifest(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return True  # its header cannot be read without pyarrow; reading says what is wrong
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            columns = _columns(next(csv.reader([lines.readline()], delimiter=_delimiter(path)), []))
    except (OSError, ValueError, csv.Error):
        return False
    return "path" in columns and "label" in columns


def _columns(header: Sequence[str]) -> dict[str, str]:
    """Which column plays which part; the first that fits, in the order of the usual names."""
    lower = {name.strip().lower(): name for name in reversed(header)}
    return {
        part: lower[next(word for word in words.split() if word in lower)]
        for part, words in _WORDS.items()
        if any(word in lower for word in words.split())
    }


def _table(path: Path) -> tuple[list[str], Rows]:
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, delimiter=_delimiter(path), restval="")
            return list(reader.fieldnames or []), list(reader)
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise BadData(f"{path} is not a table with one row a line: {error}") from error


def _delimiter(path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    return max(",;\t", key=header.count)


def _parquet(path: Path) -> tuple[list[str], Rows]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "reading a Parquet manifest") from error
    try:
        header = list(parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=list(_columns(header).values()))
    except (ArrowException, OSError) as error:
        raise BadData(f"{path} is not a readable Parquet table: {error}") from error
    rows = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in table.to_pylist()
    ]
    return header, rows


def _listed(
    path: Path, rows: Rows, columns: Mapping[str, str], notes: list[str]
) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, dict[str, str]] = {"train": {}, "val": {}, "test": {}}
    repeated = unlabelled = 0
    for number, row in enumerate(rows, 2):  # line 1 is the header
        picture = (row[columns["path"]] or "").strip().replace("\\", "/")
        label = (row[columns["label"]] or "").strip()
        split = _row_split(path, number, row, columns)
        if split == "test" and picture and not label:
            unlabelled += 1
            continue
        if not picture or not label:
            what = "path" if not picture else "label"
            raise BadData(f"{path} line {number} has no {what}; fill it in or remove the line")
        before = found[split].setdefault(picture, label)
        if before != label:
            raise BadData(
                f"{path} line {number} calls {picture} {label!r}, an earlier line {before!r};"
                " a picture has one label"
            )
        repeated += 1
    repeated -= sum(map(len, found.values()))
    if repeated:
        notes.append(f"{count_of(repeated, 'repeated line')} counted once")
    if unlabelled:
        notes.append(f"{count_of(unlabelled, 'test line')} without a label left out")
    return {split: list(pairs.items()) for split, pairs in found.items() if pairs}


def _row_split(path: Path, number: int, row: Mapping[str, str], columns: Mapping[str, str]) -> str:
    word = (row[columns["split"]] or "") if "split" in columns else "train"
    split = split_of(word)
    if split is None:
        raise BadData(f"{path} line {number} has the split {word!r}; expected train, val or test")
    return split


def _files_exist(path: Path, listed: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    pictures = [picture for rows in listed.values() for picture, _ in rows]
    missing = [picture for picture in pictures if not os.path.lexists(path.parent / picture)]
    if missing:
        raise BadData(
            f"{path} lists {count_of(len(missing), 'file')} of {len(pictures):,} that do not exist"
            f" ({some(missing)}); paths count from {path.parent}"
        )
