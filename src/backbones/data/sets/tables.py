"""Tables of any form, as a header and rows of text: CSV, TSV, JSON, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from backbones.data.sets.listing import is_image_name, split_of
from backbones.errors import BadData, MissingExtra
from backbones.signatures import what_is
from backbones.text import decoded, parse

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")

Row = Mapping[str, str]
Named = Mapping[str, Sequence[str]]
"""For a column of whole numbers, what they stand for."""


@dataclass(frozen=True)
class LabelTable:
    """What a file of labels holds.

    Args:
        path: of the file.
        header: the columns' names, in order.
        rows: a cell a column each, as text, without blanks around it.
        first: the number of the line that the first row stands in.
        named: see `Named`.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    first: int = 2
    named: Named = field(default_factory=dict)

    def column(self, name: str) -> list[str]:
        """One column's cells; empty ones where it holds no text."""
        return [row.get(name, "") for row in self.rows]


def is_table_name(name: str) -> bool:
    """Whether a file's extension is a table's."""
    return name.lower().endswith(SUFFIXES)


def is_sheet_name(name: str) -> bool:
    """Whether a file is a spreadsheet, which is not read."""
    return name.lower().endswith((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"))


def read_table(path: Path) -> LabelTable:
    """Read a table, whatever its form.

    Raises:
        BadData: it is none.
        MissingExtra: Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with path.open("rb") as file:
            return parquet_table(path, file)
    data = path.read_bytes()
    text = decoded(data, str(path))
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json(path, text, lines=suffix != ".json")
    table = separated(path, text)
    what = what_is(data) or ""
    if len(table.header) < 2 and what and not what.startswith("a text"):
        raise BadData(f"{path} is no table but {what}")
    return table


def separated(path: Path, text: str) -> LabelTable:
    """Read lines of cells between commas, semicolons or tabs, whichever the first has most of.

    Bars count where there is none of these. Spreadsheets write `sep=;` into a line of its own, and
    people write remarks that begin with `#`: both may stand before the header.
    """
    text, skipped, said = _without_preamble(text)
    first = text.partition("\n")[0]
    usual = max(",;\t", key=first.count)
    delimiter = said or (usual if usual in first or "|" not in first else "|")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise BadData(f"{path} is not a table with one row a line: {error}") from error
    header = tuple(cell.strip() for cell in lines[0]) if lines else ()
    # the first line is a row already
    bare = any(map(is_image_name, header))
    if bare:
        header = tuple(f"column {number}" for number in range(1, len(header) + 1))
    if twice := next((name for name in header if name and header.count(name) > 1), ""):
        raise BadData(f"{path} has two columns {twice!r}; give each another name")
    rows = []
    for line in lines[0 if bare else 1 :]:
        cells = [cell.strip() for cell in line] + [""] * (len(header) - len(line))
        rows.append(dict(zip(header, cells, strict=False)))
    while rows and not any(rows[-1].values()):
        rows.pop()
    return LabelTable(path, header, tuple(rows), first=skipped + (1 if bare else 2))


def _without_preamble(text: str) -> tuple[str, int, str]:
    """The lines of a table alone, the number of those before, and the separator that these say."""
    skipped, said = 0, ""
    while match := re.match(r"(?:# .*|#|\"?sep=(?P<mark>[,;|\t])\"?)(\r\n|\r|\n)", text):
        text, skipped, said = text[match.end() :], skipped + 1, match["mark"] or said
    return text, skipped, said


def _json(path: Path, text: str, *, lines: bool) -> LabelTable:
    loaded: Any
    if lines:
        loaded = [parse(line, "json", str(path)) for line in text.splitlines() if line.strip()]
    else:
        loaded = parse(text, "json", str(path))
    if isinstance(loaded, dict) and {"images", "annotations", "categories"} <= loaded.keys():
        raise BadData(
            f"{path} holds COCO's annotations, which are not read; give a table with a line for"
            " each image: path,label"
        )
    loaded = _listed(path, loaded)
    if not isinstance(loaded, list) or not all(isinstance(each, dict) for each in loaded):
        raise BadData(
            f"{path} is JSON, but no list of images; expected"
            ' [{"path": "1.jpg", "label": "cat"}, ...] or {"1.jpg": "cat", ...}'
        )
    header = tuple(dict.fromkeys(str(name) for each in loaded for name in each))
    rows = tuple({name: _cell(each.get(name)) for name in header} for each in loaded)
    return LabelTable(path, header, rows, first=1)


def _listed(path: Path, loaded: Any) -> Any:
    """The usual forms of JSON for labels as a list of objects; what is of another form, as it is.

    Raises:
        BadData: it holds the names of classes.
    """
    if isinstance(loaded, dict) and loaded:
        values = list(loaded.values())
        if all(each is None or isinstance(each, str | int) for each in values):
            if all(map(str.isdigit, loaded)) and len(set(values)) == len(values):
                raise BadData(f"{path} holds the names of classes, and no images")
            return [{"path": name, "label": label} for name, label in loaded.items()]
        if all(isinstance(each, dict) for each in values):  # {"1.jpg": {"label": "cat"}}
            return [{"path": name, **facts} for name, facts in loaded.items()]
        if all(isinstance(each, list) for each in values):
            return _in_lists(path, loaded)
    if isinstance(loaded, list) and loaded and all(map(_is_pair, loaded)):
        return [{"path": name, "label": label} for name, label in loaded]
    return loaded


def _in_lists(path: Path, lists: Mapping[str, list[Any]]) -> Any:
    """Lists by class (`{"cat": ["1.jpg"]}`), by split, or one of all images with a title."""
    of_names = all(isinstance(name, str) for each in lists.values() for name in each)
    splits = all(map(split_of, lists))
    if of_names and not splits:
        return [{"path": name, "label": key} for key, each in lists.items() for name in each]
    if len(lists) == 1 and not splits:
        return _listed(path, next(iter(lists.values())))
    rows = [_listed(path, each) for each in lists.values()]
    if splits and all(isinstance(row, dict) for each in rows for row in each):
        return [
            {"split": key, **row} for key, each in zip(lists, rows, strict=True) for row in each
        ]
    return lists


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], str | int)
    )


def parquet_table(path: Path, file: IO[bytes]) -> LabelTable:
    """The columns of a Parquet table that hold numbers or text.

    Args:
        path: what messages call it.
        file: open, to read and seek in.

    Raises:
        BadData: it is none.
        MissingExtra: without pyarrow.
    """
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "reading a Parquet manifest") from error
    try:
        schema = parquet.read_schema(file)
        plain = [
            name
            for name in schema.names
            if not types.is_nested(schema.field(name).type)
            and not types.is_binary(schema.field(name).type)
            and not types.is_large_binary(schema.field(name).type)
        ]
        file.seek(0)
        table = parquet.read_table(file, columns=plain)
    except (ArrowException, OSError) as error:
        raise BadData(f"{path} is not a readable Parquet table: {error}") from error
    rows = tuple({name: _cell(row[name]) for name in plain} for row in table.to_pylist())
    return LabelTable(path, tuple(schema.names), rows, named=_features(schema.metadata or {}))


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names of classes that Hugging Face's `datasets` writes into a schema."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            name: tuple(map(str, each["names"]))
            for name, each in features.items()
            if isinstance(each, dict) and isinstance(each.get("names"), list)
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return "|".join(map(str, value))  # several labels are told apart by it
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()
