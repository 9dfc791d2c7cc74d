"""Tables that name the images: in a folder, in each of its split folders, or on their own.

What forms and columns are understood stands in docs/en/know/data.md.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
    look,
    some,
    split_of,
    walk_images,
)
from backbones.data.sets.places import Finder, plain, split_in
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.sets.tables import SUFFIXES, LabelTable, is_table_name, read_table
from backbones.data.source import DataSource
from backbones.errors import BadData
from backbones.text import same_name

LOOKS_LIKE = "a table that names the images (.csv, .tsv, .json, .parquet: path,label[,split])"

_NOT_LABELS = re.compile(r"submission|readme|requirements|license", re.IGNORECASE)
_ASIDE = ("meta", "metadata", "annotations", "annotation", "labels", "lists", "splits", "csv")
_ABOUT = re.compile(r"[_\W]*(labels?|classes|annotations?|metadata|list|images?|df|set)$", re.I)


@dataclass(frozen=True)
class Listing:
    """A table, and where its images are.

    Args:
        table: the table.
        columns: which of its columns counts for what.
        find: the images that a cell may mean, below the folder that is read.
        split: of its rows, where they don't say it; empty where the table's place doesn't either.
    """

    table: LabelTable
    columns: Columns
    find: Callable[[str], list[str]]
    split: str = ""


def recognise(folder: Path) -> bool:
    """Whether tables name the images, and say more than class folders around these do.

    Raises:
        BadData: what tables and folders say cannot be brought together.
    """
    if not class_folders.recognise(folder):
        return bool(_listings(folder))
    try:
        return _says_more(folder, _listings(folder))
    except BadData as error:
        raise BadData(
            f"{error}; or, if the folders' names are the classes: --layout class-folders"
        ) from error


def _says_more(folder: Path, listings: Sequence[Listing]) -> bool:
    """Whether tables beside class folders tell more of the same; another thing is asked about.

    Raises:
        BadData: they are labels of their own, or may be; or they contradict some of the folders.
    """
    others = [each for each in listings if not _repeats(each)]
    if not others:
        return any(_adds_splits(each, folder) for each in listings)
    if not others[0].columns.named and not class_folders.doubt(folder):
        raise BadData(
            f"{others[0].table.path} may hold labels of the images ({others[0].columns}), and"
            " folders as well; call that column label"
        )
    labels = Counter(label for label in labels_of(others[0].table, others[0].columns) if label)
    kinds = [f"{name} {count:,}" for name, count in sorted(labels.items())]
    raise BadData(
        f"{others[0].table.path} names the images ({others[0].columns}: {some(kinds)}), which lie"
        " in folders of other names; if the table says what they are: --layout manifest"
    )


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
        raise BadData(f"{folder} holds no table that names its images; expected path,label")
    splits = [each.split or "train" for each in listings]
    if len(set(splits)) < len(splits):
        names = [str(each.table.path.relative_to(folder)) for each in listings]
        raise BadData(
            f"{folder} holds several tables that name its images ({some(names)}); name the one"
            f" that is meant: {folder / names[0]}"
        )
    if len(listings) == 1 and not listings[0].split:
        listings = [_with_split(listings[0])]
    return _assembled(folder, listings, holdout, str(folder))


def read_manifest(path: Path, holdout: Holdout) -> DataSource:
    """Read one table of images.

    The columns are found by what they are called, in any order and case, and by which of them
    names images that are there. Paths count from the table's folder; below it, an image is
    found by its name or its id alone, with or without the extension.

    Raises:
        BadData: no such columns, an empty cell, contradicting or doubtful labels, or images
            that are missing.
        MissingExtra: Parquet without pyarrow.
    """
    table = lists.read_list(path) if path.suffix.lower() == lists.SUFFIX else read_table(path)
    finder = Finder(path.parent, "", walk_images(path.parent)[0])
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


def _listings(folder: Path) -> list[Listing]:
    """The tables that name images below a folder; those that don't are of no account."""
    tables = list(_tables(folder))
    if not tables:
        return []
    paths = walk_images(folder)[0]
    found = []
    for table in tables:
        base = table.path.parent.relative_to(folder).as_posix()
        base = "" if base == "." or base.lower() in _ASIDE else base + "/"
        listing = _listing(table, Finder(folder, base, paths), _split_of_table(table.path, base))
        if listing is not None:
            found.append(listing)
    return found


def _tables(folder: Path) -> Iterator[LabelTable]:
    """Everything in a folder or its split folders that can be read as a table."""
    if lists.is_cub(folder):
        yield lists.read_cub(folder)
        return
    for place in _table_places(folder):
        for name in look(place).others:
            if _NOT_LABELS.search(name):
                continue
            try:
                if name.lower().endswith(lists.SUFFIX):
                    yield lists.read_list(place / name)
                elif is_table_name(name):
                    yield read_table(place / name)
            except BadData:
                if name.lower().endswith((".csv", ".tsv", ".parquet")):
                    raise  # text and JSON hold many things that are no tables


def _table_places(folder: Path) -> Iterator[Path]:
    """The folder, its split folders, and folders of nothing but tables."""
    yield folder
    yield from (folder / name for name in class_folders.split_folders(folder).values())
    yield from (folder / name for name in look(folder).folders if name.lower() in _ASIDE)


def _listing(table: LabelTable, finder: Finder, split: str = "") -> Listing | None:
    finds = {
        name: finder.of([row.get(name, "") for row in table.rows], split) for name in table.header
    }
    path = path_column(table, lambda column, cell: bool(finds[column](cell)))
    if not path:
        return None
    try:
        columns = columns_of(table, path)
    except BadData:
        column = _said_by_folders(table, path, finds[path])
        if not column:
            raise
        columns = Columns(path, (column,))
    return Listing(table, columns, finds[path], split) if columns else None


def _said_by_folders(table: LabelTable, path: str, find: Callable[[str], list[str]]) -> str:
    """The column that names one of the folders that each image lies in; else nothing."""
    folders = [{part for each in find(row[path]) for part in each.split("/")} for row in table.rows]
    return next(
        (
            name
            for name in table.header
            if name != path
            and all(row[name] in held for row, held in zip(table.rows, folders, strict=True))
        ),
        "",
    )


def _split_of_table(path: Path, base: str) -> str:
    """The split that a table's folder or name says, or nothing."""
    stem, before = path.name.lower(), ""
    for suffix in (*SUFFIXES, lists.SUFFIX):
        stem = stem.removesuffix(suffix)
    while stem != before:
        before, stem = stem, _ABOUT.sub("", stem)
    return split_in(base + "x") or split_of(stem) or ""


def _repeats(listing: Listing) -> bool:
    """Whether a table says of its images what their folders say.

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
        same_name(label).casefold() in (same_name(part).casefold() for part in parts)
        for parts, label in pairs
    )
    inner = {(parts[-1] if parts else "", label) for parts, label in pairs}
    one_to_one = len(inner) == len({one for one, _ in inner}) == len({two for _, two in inner}) > 1
    if agreeing < len(pairs) and 2 * agreeing >= len(pairs) and not one_to_one:
        raise BadData(
            f"{listing.table.path} says of {agreeing:,} images what their folders say, and of"
            f" {len(pairs) - agreeing:,} something else; say which counts: --layout manifest"
        )
    return one_to_one or agreeing == len(pairs)


def _adds_splits(listing: Listing, folder: Path) -> bool:
    """Whether a table tells splits, where folders do not."""
    own = set(splits_of(listing.table, listing.columns, "train"))
    return len(own) > 1 and len(class_folders.split_folders(folder)) < 2


def _with_split(listing: Listing) -> Listing:
    """The listing of a table that stands alone; its images' folders may name their splits."""
    cells = listing.table.column(listing.columns.path)
    if listing.columns.split or listing.split not in ("", "train"):
        return listing
    found = {split_in(each[0]) for each in map(listing.find, cells) if len(each) == 1}
    by_folder = "train" in found and len(found) > 1 and "" not in found
    return Listing(listing.table, listing.columns, listing.find, "*" if by_folder else "train")


@dataclass
class _Listed:
    """The images of all tables, as they are put together."""

    found: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"train": {}, "val": {}, "test": {}}
    )
    repeated: int = 0
    unlabelled: int = 0

    def add(self, listing: Listing) -> None:
        """Take the rows of one table in."""
        table, columns = listing.table, listing.columns
        labels = [same_name(label) for label in labels_of(table, columns)]
        splits = splits_of(table, columns, listing.split or "train")
        missing: list[str] = []
        for number, (row, label) in enumerate(zip(table.rows, labels, strict=True), table.first):
            cell, split = row[columns.path], splits[number - table.first]
            here = listing.find(cell) if cell else []
            if split == "*":
                split = split_in(here[0]) if here else "train"
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
            self._put(f"{table.path} line {number}", here[0] if here else plain(cell), label, split)
            if not here:
                missing.append(cell)
        if missing:
            raise BadData(
                f"{table.path} lists {count_of(len(missing), 'file')} of {len(table.rows):,} that"
                f" do not exist ({some([each[:60] for each in missing])}), with or without an"
                f" extension; paths count from {table.path.parent}"
            )

    def _put(self, where: str, image: str, label: str, split: str) -> None:
        for other, pairs in self.found.items():
            before = pairs.get(image)
            if before is not None and before != label:
                raise BadData(
                    f"{where} calls {image} {label!r}, an earlier line {before!r};"
                    " an image has one label"
                )
            if before is not None and other != split:
                raise BadData(
                    f"{where} puts {image} into {split}, an earlier line into {other};"
                    " an image is in one split"
                )
            self.repeated += before is not None
        self.found[split][image] = label


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
    unnamed = len(walk_images(root)[0]) - sum(map(len, listed.found.values()))
    if unnamed > listed.unlabelled:
        left = count_of(unnamed - listed.unlabelled, "image")
        notes.append(f"{left} left out that no line names")
    splits = {split: list(pairs.items()) for split, pairs in listed.found.items() if pairs}
    known = {label for _, label in splits.get("train", ())}
    for split, pairs in splits.items():
        if known and (strange := sorted({label for _, label in pairs} - known)):
            raise BadData(
                f"the classes of train and {split} in {where} differ:"
                f" {split} alone has {some(strange)}; correct the label column"
            )
    return assemble("manifest", root, splits, holdout, notes, where=where)
