"""Tables that name the pictures: in a folder, in each of its split folders, or on their own.

What forms and columns are understood stands in docs/data.md.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from backbones.data.sets import class_folders, lists
from backbones.data.sets.columns import (
    Columns,
    columns_by_name,
    columns_of,
    labels_of,
    path_column,
    splits_of,
)
from backbones.data.sets.listing import (
    count_of,
    is_picture_name,
    look,
    some,
    split_of,
    walk_pictures,
)
from backbones.data.sets.places import Places
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.sets.tables import SUFFIXES, Table, is_table_name, read_table
from backbones.data.source import DataSource
from backbones.errors import BadData

LOOKS_LIKE = "a table that names the pictures (.csv, .tsv, .json, .parquet: path,label[,split])"

_NOT_LABELS = re.compile(r"submission|readme|requirements|license", re.IGNORECASE)
_ABOUT = re.compile(r"[_\W]*(labels?|classes|annotations?|metadata|list|images?|df|set)$", re.I)


@dataclass(frozen=True)
class Listing:
    """A table, and where its pictures are.

    Args:
        table: the table.
        columns: which of its columns counts for what.
        find: the pictures that a cell may mean, below the folder that is read.
        split: of its rows, where they don't say it; empty where the table's place doesn't either.
    """

    table: Table
    columns: Columns
    find: Callable[[str], list[str]]
    split: str = ""


def recognise(folder: Path) -> bool:
    """Whether tables name the pictures, and say more than class folders around these do.

    Raises:
        BadData: what tables and folders say cannot be brought together.
    """
    listings = _listings(folder)
    if not listings:
        return False
    if not class_folders.recognise(folder):
        return True
    return not all(_describes(each, folder) for each in listings)


def looks_like_one(folder: Path) -> bool:
    """Whether a folder holds one table with the usual columns, whatever it names."""
    tables = list(_tables(folder))
    return len(tables) == 1 and columns_by_name(tables[0]) is not None


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read the tables of a folder, or of its split folders.

    Raises:
        BadData: there is none, or it cannot be used; see `read_manifest`.
    """
    listings = _listings(folder)
    if not listings:
        tables = list(_tables(folder))
        if len(tables) == 1:
            return read_manifest(tables[0].path, holdout)
        raise BadData(f"{folder} holds no table that names its pictures; expected path,label")
    splits = [each.split or "train" for each in listings]
    if len(set(splits)) < len(splits):
        names = [str(each.table.path.relative_to(folder)) for each in listings]
        raise BadData(
            f"{folder} holds several tables that name its pictures ({some(names)}); name the one"
            f" that is meant: {folder / names[0]}"
        )
    if len(listings) == 1 and not listings[0].split:
        listings = [_with_split(listings[0])]
    return _assembled(folder, listings, holdout, str(folder))


def read_manifest(path: Path, holdout: Holdout) -> DataSource:
    """Read one table of pictures.

    The columns are found by what they are called, in any order and case, and by which of them
    names pictures that are there. Paths count from the table's folder; below it, a picture is
    found by its name or its id alone, with or without the extension.

    Raises:
        BadData: no such columns, an empty cell, contradicting or doubtful labels, or pictures
            that are missing.
        MissingExtra: Parquet without pyarrow.
    """
    table = lists.read_list(path) if path.suffix.lower() == lists.SUFFIX else read_table(path)
    finder = _Finder(path.parent, "", walk_pictures(path.parent)[0])
    listing = _listing(table, finder)
    if listing is None:
        columns = columns_by_name(table)
        if columns is None:
            raise BadData(
                f"{path} has the columns {some(table.header, 8) or 'none'}; expected path and"
                " label, and perhaps split, in a header line"
            )
        listing = Listing(table, columns, finder.of(table.column(columns.path)))
    return _assembled(path.parent, [_with_split(listing)], holdout, str(path))


class _Finder:
    """Finds the pictures below a folder by what a table calls them.

    Args:
        root: the folder that is read.
        base: where the table lies below it, with a slash behind; or nothing.
        paths: of all pictures below the root.
    """

    def __init__(self, root: Path, base: str, paths: Sequence[str]) -> None:
        self._root, self._base = root, base
        self._paths = [path for path in paths if path.startswith(base)]
        self._known = frozenset(self._paths)

    @cached_property
    def _places(self) -> Places:
        return Places(self._paths)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {path.casefold(): path for path in self._paths}

    def of(self, cells: Sequence[str], split: str = "") -> Callable[[str], list[str]]:
        """How to find what a column names; see `Listing.find`."""
        sample = [cell for cell in cells[:: max(1, len(cells) // 50)] if cell]
        depth = max((_plain(cell).count("/") for cell in sample), default=0)
        for skip in range(depth + 1):  # the paths may count from a folder above
            if 2 * sum(bool(self._exact(cell, skip)) for cell in sample) >= len(sample):
                return lambda cell: self._find(cell, skip, split)
        return lambda cell: self._find(cell, 0, split)

    def _find(self, cell: str, skip: int, split: str) -> list[str]:
        name = _plain(cell).lstrip("./")
        found = self._exact(cell, skip) or self._places.find(name)
        if not found and is_picture_name(name):  # .JPG for .jpg, or .png for .jpg
            found = self._places.find(os.path.splitext(name)[0])
        if len(found) > 1:  # train/1.jpg and test/1.jpg
            inside = [path for path in found if _split_in(path) == (split or "train")]
            return inside if len(inside) == 1 else found
        return found

    def _exact(self, cell: str, skip: int) -> list[str]:
        parts = _plain(cell).split("/")
        if skip and len(parts) <= skip:
            return []
        path = posixpath.normpath(self._base + "/".join(parts[skip:]))
        if path in self._known:
            return [path]
        if other := self._folded.get(path.casefold()):
            return [other]
        whole = self._root / path
        return [path] if os.path.lexists(whole) and not os.path.isdir(whole) else []


def _plain(cell: str) -> str:
    return posixpath.normpath(cell.replace("\\", "/"))


def _split_in(path: str) -> str:
    """The split that a path's folders name, or nothing."""
    return next(filter(None, map(split_of, path.split("/")[:-1])), "")


def _listings(folder: Path) -> list[Listing]:
    """The tables that name pictures below a folder; those that don't are of no account."""
    tables = list(_tables(folder))
    if not tables:
        return []
    paths = walk_pictures(folder)[0]
    found = []
    for table in tables:
        base = table.path.parent.relative_to(folder).as_posix()
        base = "" if base == "." else base + "/"
        listing = _listing(table, _Finder(folder, base, paths), _split_of_table(table.path, base))
        if listing is not None:
            found.append(listing)
    return found


def _tables(folder: Path) -> Iterator[Table]:
    """Everything in a folder or its split folders that can be read as a table."""
    if lists.is_cub(folder):
        yield lists.read_cub(folder)
        return
    for place in (
        folder,
        *(folder / name for name in class_folders.split_folders(folder).values()),
    ):
        for name in look(place).others:
            if _NOT_LABELS.search(name):
                continue
            if name.lower().endswith(lists.SUFFIX):
                yield lists.read_list(place / name)
            elif is_table_name(name):
                try:
                    yield read_table(place / name)
                except BadData:
                    if not name.lower().endswith((".json", ".jsonl", ".ndjson")):
                        raise  # JSON holds many things that are no tables


def _listing(table: Table, finder: _Finder, split: str = "") -> Listing | None:
    finds = {
        name: finder.of([row.get(name, "") for row in table.rows], split) for name in table.header
    }
    path = path_column(table, lambda column, cell: bool(finds[column](cell)))
    columns = columns_of(table, path) if path else None
    return Listing(table, columns, finds[path], split) if columns else None


def _split_of_table(path: Path, base: str) -> str:
    """The split that a table's folder or name says, or nothing."""
    stem, before = path.name.lower(), ""
    for suffix in (*SUFFIXES, lists.SUFFIX):
        stem = stem.removesuffix(suffix)
    while stem != before:
        before, stem = stem, _ABOUT.sub("", stem)
    return _split_in(base + "x") or split_of(stem) or ""


def _describes(listing: Listing, folder: Path) -> bool:
    """Whether a table says of its pictures what their folders say, and no more.

    Raises:
        BadData: it does of most of them.
    """
    labels = labels_of(listing.table, listing.columns)
    cells = listing.table.column(listing.columns.path)
    pairs = []
    for cell, label in zip(cells, labels, strict=True):
        if label and len(found := listing.find(cell)) == 1:
            pairs.append((found[0].split("/")[:-1], label))
    agreeing = sum(
        label.casefold() in [part.casefold() for part in parts] for parts, label in pairs
    )
    inner = {(parts[-1] if parts else "", label) for parts, label in pairs}
    one_to_one = len(inner) == len({one for one, _ in inner}) == len({two for _, two in inner}) > 1
    if agreeing < len(pairs) and 2 * agreeing >= len(pairs) and not one_to_one:
        raise BadData(
            f"{listing.table.path} says of {agreeing:,} pictures what their folders say, and of"
            f" {len(pairs) - agreeing:,} something else; say which counts: --layout manifest or"
            " --layout class-folders"
        )
    own = set(splits_of(listing.table, listing.columns, "train"))
    if len(own) > 1 and len(class_folders.split_folders(folder)) < 2:
        return False
    return one_to_one or agreeing == len(pairs)


def _with_split(listing: Listing) -> Listing:
    """The listing of a table that stands alone; its pictures' folders may name their splits."""
    cells = listing.table.column(listing.columns.path)
    if listing.columns.split or listing.split not in ("", "train"):
        return listing
    found = {_split_in(each[0]) for each in map(listing.find, cells) if len(each) == 1}
    by_folder = "train" in found and len(found) > 1 and "" not in found
    return Listing(listing.table, listing.columns, listing.find, "*" if by_folder else "train")


@dataclass
class _Listed:
    """The pictures of all tables, as they are put together."""

    found: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"train": {}, "val": {}, "test": {}}
    )
    repeated: int = 0
    unlabelled: int = 0

    def add(self, listing: Listing) -> None:
        """Take the rows of one table in."""
        table, columns = listing.table, listing.columns
        labels = labels_of(table, columns)
        splits = splits_of(table, columns, listing.split or "train")
        missing: list[str] = []
        for number, (row, label) in enumerate(zip(table.rows, labels, strict=True), table.first):
            cell, split = row[columns.path], splits[number - table.first]
            here = listing.find(cell) if cell else []
            if split == "*":
                split = _split_in(here[0]) if here else "train"
            if split == "test" and cell and not label:
                self.unlabelled += 1
                continue
            if not cell or not label:
                what = "path" if not cell else "label"
                raise BadData(
                    f"{table.path} line {number} has no {what}; fill it in or remove the line"
                )
            if len(here) > 1:
                raise BadData(f"{table.path} line {number}: {cell} may be {some(here)}")
            self._put(
                f"{table.path} line {number}", here[0] if here else _plain(cell), label, split
            )
            if not here:
                missing.append(cell)
        if missing:
            raise BadData(
                f"{table.path} lists {count_of(len(missing), 'file')} of {len(table.rows):,} that"
                f" do not exist ({some([each[:60] for each in missing])}), with or without an"
                f" extension; paths count from {table.path.parent}"
            )

    def _put(self, where: str, picture: str, label: str, split: str) -> None:
        for other, pairs in self.found.items():
            before = pairs.get(picture)
            if before is not None and before != label:
                raise BadData(
                    f"{where} calls {picture} {label!r}, an earlier line {before!r};"
                    " a picture has one label"
                )
            if before is not None and other != split:
                raise BadData(
                    f"{where} puts {picture} into {split}, an earlier line into {other};"
                    " a picture is in one split"
                )
            self.repeated += before is not None
        self.found[split][picture] = label


def _assembled(root: Path, listings: Sequence[Listing], holdout: Holdout, where: str) -> DataSource:
    listed = _Listed()
    for each in listings:
        listed.add(each)
    named = [os.path.relpath(each.table.path, root) for each in listings]
    notes = [f"labels from {some(named)} ({listings[0].columns})"]
    if listed.repeated:
        notes.append(f"{count_of(listed.repeated, 'repeated line')} counted once")
    if listed.unlabelled:
        notes.append(f"{count_of(listed.unlabelled, 'test line')} without a label left out")
    splits = {split: list(pairs.items()) for split, pairs in listed.found.items() if pairs}
    known = {label for _, label in splits.get("train", ())}
    for split, pairs in splits.items():
        if known and (strange := sorted({label for _, label in pairs} - known)):
            raise BadData(
                f"the classes of train and {split} in {where} differ:"
                f" {split} alone has {some(strange)}; correct the label column"
            )
    return assemble("manifest", root, splits, holdout, notes, where=where)
