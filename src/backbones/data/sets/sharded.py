"""Labelled images in shards, as a data set: tar shards and Parquet tables, here or elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backbones.data.random import Integers
from backbones.data.remote import Stored, below, exists, read
from backbones.data.sets.listing import count_of, some, split_of
from backbones.data.sets.lists import NAMES_FILES
from backbones.data.sets.splitting import Holdout, ordered
from backbones.data.shards import tar
from backbones.data.shards.finding import Found, find_shards
from backbones.data.shards.images import ShardImages, Shards
from backbones.data.shards.index import Words, indexes_of
from backbones.data.shards.manifest import Manifest, read_manifest, refuse_missing
from backbones.data.shards.parquet import image_column
from backbones.data.source import DataSource, Split
from backbones.data.stores import plain
from backbones.errors import BadData
from backbones.progress import Downloading
from backbones.text import decoded, same_name

LOOKS_LIKE_TAR = "tar shards (train-000000.tar with 17.jpg and 17.cls in it)"
LOOKS_LIKE_PARQUET = "Parquet tables that hold the images (train-00000-of-00002.parquet)"

_PART = re.compile(r"([_.-]?\d|-of-)*(-[0-9a-f]{16})?$")
_CAPTIONS = 2  # images a class, below which labels from .txt are no classes
_SPLITS = ("train", "val", "test")


def recognise_tar(folder: Path) -> bool:
    """Whether there are tar files with images in them, here or in folders for splits."""
    return any(_is(shard, ".tar") and tar.holds_images(shard) for shard in _shards(folder))


def recognise_parquet(folder: Path) -> bool:
    """Whether there are tables with images in them, here or in folders for splits."""
    unreadable: BadData | None = None
    for shard in _shards(folder):
        try:
            if _is(shard, ".parquet") and image_column(shard):
                return True
        except BadData as error:  # its neighbours may tell what it is
            unreadable = error
    if unreadable is not None:
        raise unreadable
    return False


def read_tar(folder: Path, holdout: Holdout) -> DataSource:
    """Read the tar shards of a folder; see `read_shards`."""
    return _read(_of_kind(find_shards(folder), ".tar"), str(folder), holdout)


def read_parquet(folder: Path, holdout: Holdout) -> DataSource:
    """Read the Parquet tables of a folder; see `read_shards`."""
    return _read(_of_kind(find_shards(folder), ".parquet"), str(folder), holdout)


def holds_images(path: Path) -> bool:
    """Whether a file of this machine is a shard."""
    (shard,) = find_shards(path).shards
    return tar.holds_images(shard) if _is(shard, ".tar") else bool(image_column(shard))


def read_shards(
    where: str | Path, holdout: Holdout, progress: Downloading | None = None
) -> DataSource:
    """Read what the shards that a name means hold, and their labels.

    `train-*.tar`, `validation-*` and `test-*` are splits, and so are folders called so. Where the
    labels are numbers, the manifest or a list beside the shards (`classes.txt`) names the classes.

    Args:
        where: as of `find_shards`.
        holdout: how to split, where there is only "train".
        progress: called with (name, bytes, bytes) as each shard's index is known.

    Raises:
        NotFound: no such shards.
        BadData: no labels, or too few; or shards that a manifest lists are missing.
        DownloadFailed: a store gives no answer.
        MissingExtra: without pyarrow, fsspec or s3fs, where they are needed.
    """
    found = find_shards(where)
    if _of_kind(found, ".tar").shards and _of_kind(found, ".parquet").shards:
        raise BadData(
            f"{plain(where)} holds tar shards and Parquet tables; name those that you want by a"
            " pattern (train-*.tar)"
        )
    return _read(found, str(where), holdout, progress)


def _of_kind(found: Found, kind: str) -> Found:
    chosen = tuple(shard for shard in found.shards if _is(shard, kind))
    return Found(found.folder, chosen, found.whole)


def _read(
    found: Found, where: str, holdout: Holdout, progress: Downloading | None = None
) -> DataSource:
    if not found.shards:
        raise BadData(
            f"{plain(where)} holds no shards; expected {LOOKS_LIKE_TAR} or {LOOKS_LIKE_PARQUET}"
        )
    manifest = read_manifest(found.folder)
    if manifest is not None and found.whole:
        refuse_missing(found, manifest)
    shards = Shards(found, indexes_of(found.shards, progress))
    kind = "tar" if _is(found.shards[0], ".tar") else "parquet"
    return _assembled(where, kind, shards, manifest, holdout)


def _assembled(
    where: str, kind: str, shards: Shards, manifest: Manifest | None, holdout: Holdout
) -> DataSource:
    thing = "tar shard" if kind == "tar" else "Parquet table"
    notes = [f"images and labels from {count_of(len(shards.indexes), thing)}"]
    texts = _merged([index.labels for index in shards.indexes])
    if len(shards) and (texts.rows < 0).all() and kind == "tar":
        texts = _folder_names(shards)
        notes.append("classes are the folders in the shards")
    classes, labels = _classes(shards, texts, manifest)
    if without := np.flatnonzero(labels < 0).tolist():
        notes.append(f"{count_of(len(without), 'row')} without a label left out")
    damaged = tuple(each for index in shards.indexes for each in index.damaged)
    if damaged:
        said = some([f"{name} ({reason})" for name, reason in damaged], 3)
        notes.append(f"{count_of(len(damaged), 'damaged record')} left out: {said}")
    if len(classes) < 2:
        why = next((index.unlabelled for index in shards.indexes if index.unlabelled), "")
        few = f"{count_of(len(classes), 'class')} ({some(classes) or 'no labels'})"
        raise BadData(
            why
            or f"{plain(where)} holds {few}; telling images apart takes two or more."
            f" {'; '.join(notes)}"
        )
    numbers = _split_numbers(shards)
    splits: dict[str, Split] = {}
    for number, name in enumerate(_SPLITS):
        rows = np.flatnonzero((numbers == number) & (labels >= 0))
        if len(rows):
            splits[name] = Split(name, classes, labels[rows], ShardImages(shards, rows))
    if list(splits) == ["train"] and holdout.val_fraction > 0:
        train = splits["train"]
        splits = holdout.split(train, [train.images.name(i) for i in range(len(train))])
        notes.append(holdout.describe(splits))
    return DataSource(kind, plain(where), classes, splits, tuple(notes), damaged)


def _merged(columns: Sequence[Words]) -> Words:
    """Columns one behind the other, with one list of words."""
    numbers: dict[str, int] = {}
    rows = [np.empty(0, dtype=np.int64)]
    for column in columns:
        new = [numbers.setdefault(same_name(word), len(numbers)) for word in column.words]
        rows.append(np.array([*new, -1], dtype=np.int64)[column.rows])
    return Words(tuple(numbers), np.concatenate(rows))


def _folder_names(shards: Shards) -> Words:
    names = (name for index in shards.indexes for name in index.names)
    return Words.of([same_name(name.rpartition("/")[0].rpartition("/")[2]) for name in names])


def _classes(
    shards: Shards, texts: Words, manifest: Manifest | None
) -> tuple[tuple[str, ...], Integers]:
    """The class names, and each record's label; -1 without one.

    Raises:
        BadData: captions, or numbers that a list of classes has no names for.
    """
    words = texts.words
    listed = manifest.classes if manifest else _listed_classes(shards.found.folder)
    numbers = all(word.isascii() and word.isdigit() for word in words)
    if words and listed and numbers and not set(words) <= set(listed):
        if (highest := max(map(int, words))) >= len(listed):
            raise BadData(
                f"{plain(shards.found.folder)} has the label {highest}, and names of"
                f" {count_of(len(listed), 'class')} only, from 0 on"
            )
        words = tuple(listed[int(word)] for word in words)
    labelled = int((texts.rows >= 0).sum())
    if len(words) > 50 and labelled < _CAPTIONS * len(words):
        raise BadData(
            f"{plain(shards.found.folder)} has {len(words):,} different labels for"
            f" {labelled:,} images ({some(words, 2)}); expected the names of classes"
        )
    classes = tuple(listed) if listed and set(words) <= set(listed) else ordered(set(words))
    place = {name: number for number, name in enumerate(classes)}
    label_of = np.array([*(place[word] for word in words), -1], dtype=np.int64)
    return classes, label_of[texts.rows]


def _listed_classes(folder: str) -> tuple[str, ...]:
    """The names in a list of classes beside the shards; none where there is no such list."""
    for name in NAMES_FILES:
        if exists(place := below(folder, name)):
            lines = decoded(read(place), plain(place)).splitlines()
            return tuple(same_name(line.strip()) for line in lines if line.strip())
    return ()


def _split_numbers(shards: Shards) -> Integers:
    """The place of each record's split in train, val, test."""
    parts = [np.empty(0, dtype=np.int64)]
    several = len(shards.indexes) > 1
    for shard, index in zip(shards.found.shards, shards.indexes, strict=True):
        usual = _split_by_name(shards.found.name(shard)) if several else "train"
        words = np.array([*map(_SPLITS.index, index.splits.words), _SPLITS.index(usual)])
        parts.append(words[index.splits.rows])
    return np.concatenate(parts)


def _split_by_name(name: str) -> str:
    folder, _, last = name.rpartition("/")
    stem = _PART.sub("", last.rpartition(".")[0])
    return split_of(stem) or split_of(folder.rpartition("/")[2]) or "train"


def _shards(folder: Path) -> tuple[Stored, ...]:
    return find_shards(folder).shards


def _is(shard: Stored, kind: str) -> bool:
    return shard.name.lower().endswith(kind)
