"""Draw what a data check found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.classifier.thumbnails import thumbnails
from backbones.data.findings import Check
from backbones.data.sets import open_data
from backbones.data.sets.listing import walk_images
from backbones.data.source import FileImages, Split
from backbones.errors import BadData
from backbones.files import expanded, write_atomic
from backbones.report.data_page import Strip, Thumbnail, data_page
from backbones.text import raw_bytes

_PX = 260  # twice what is shown
_A_CLASS = 8
_CLASSES = 100
_ODD = 24  # of each kind
_GROUPS = 40
_A_GROUP = 8


def write_data_page(
    found: Check, path: Path, *, layout: str | None = None, label_pattern: str | None = None
) -> Path:
    """Write a page of a checked data set: sampled images of each class, odd ones, copies.

    Args:
        found: what `check_data` returned.
        path: of the HTML file.
        layout, label_pattern: as `check_data` was given them.

    Returns:
        the path.
    """
    splits = _splits(found, layout, label_pattern)
    odd, twice = _odd(found), _twice(found)
    shown = _Thumbnails(splits, [name for _, names in (*odd, *twice) for name in names])
    sections = [
        ("Odd images", [shown.strip(title, names, _ODD) for title, names in odd if names]),
        ("More than once", [shown.strip(title, names, _A_GROUP) for title, names in twice]),
        ("Classes", list(_classes(splits))),
    ]
    said = "no problems" if found.ok else "; ".join(found.problems)
    notes = [f"{found.files:,} images, {found.readable:,} of them readable: {said}."]
    notes += [f"{remark}." for remark in found.remarks]
    if len(found.classes) > _CLASSES:
        notes.append(f"The first {_CLASSES} of {len(found.classes):,} classes are shown.")
    page = data_page(sections, title=f"{found.where} ({found.kind})", notes=notes)
    write_atomic(path, raw_bytes(page))
    return path


def _splits(found: Check, layout: str | None, label_pattern: str | None) -> Sequence[Split]:
    try:
        source = open_data(
            found.where, val_fraction=0.0, layout=layout, label_pattern=label_pattern
        )
    except BadData:  # no labels: a problem that the check has told
        root = expanded(found.where)
        paths = tuple(walk_images(root)[0])
        labels = np.zeros(len(paths), np.int64)
        return (Split("images", ("no class",), labels, FileImages(root, paths)),)
    return tuple(source.splits.values())


def _odd(found: Check) -> list[tuple[str, Sequence[str]]]:
    """Kinds of odd images, each with their names."""
    return [
        ("cannot be decoded", [each.path for each in found.unreadable]),
        ("under two labels", [name for each in found.conflicts for name in each.paths]),
        ("of one colour", found.blank),
        ("nearly black", found.nearly_black),
        ("far smaller than the others", found.small),
        ("over three times as long as wide", found.elongated),
        ("wrong extension", [each.path for each in found.wrong_extensions]),
    ]


def _twice(found: Check) -> list[tuple[str, Sequence[str]]]:
    """Groups of copies: those that cross splits first."""
    leaks = [
        ("in train and in another split", [*each.train, *each.held_out]) for each in found.leaks
    ]
    equal = [("equal files", list(names)) for names in found.exact_duplicates]
    near = [("look the same", list(names)) for names in found.near_duplicates]
    seen: set[frozenset[str]] = set()
    groups: list[tuple[str, Sequence[str]]] = []
    for title, names in [*leaks, *equal, *near]:
        if frozenset(names) not in seen:
            seen.add(frozenset(names))
            groups.append((title, names))
    return groups[:_GROUPS]


@dataclass(frozen=True)
class _Place:
    """Where an image is."""

    split: Split
    index: int

    @property
    def label(self) -> str:
        return f"{self.split.name}: {self.split.classes[self.split.labels[self.index]]}"


class _Thumbnails:
    """Small copies of the images that are listed by name."""

    def __init__(self, splits: Sequence[Split], names: Iterable[str]) -> None:
        wanted = set(names)
        self._places: Mapping[str, _Place] = {
            name: _Place(split, index)
            for split in reversed(splits)
            for index in range(len(split))
            if (name := split.images.name(index)) in wanted
        }

    def strip(self, title: str, names: Sequence[str], most: int) -> Strip:
        """The first images of these names; they are decoded now."""
        places = [self._places[name] for name in names[:most] if name in self._places]
        note = f"{most} of {len(names):,}" if len(names) > most else ""
        return Strip(title, note, tuple(map(_thumbnail, places)))


def _thumbnail(place: _Place) -> Thumbnail:
    [made] = thumbnails(place.split, [place.index], _PX)
    name = f"{place.split.images.name(place.index)} ({place.label})"
    if isinstance(made, str):
        return Thumbnail(f"{name}: {made}", None)
    return Thumbnail(name, made)


def _classes(splits: Sequence[Split]) -> Iterator[Strip]:
    """For each class some images, spread evenly over the first split that has any."""
    for number, name in enumerate(splits[0].classes[:_CLASSES]):
        places = [np.flatnonzero(split.labels == number) for split in splits]
        counts = [f"{s.name} {len(own):,}" for s, own in zip(splits, places, strict=True)]
        split, own = next(
            (pair for pair in zip(splits, places, strict=True) if len(pair[1])), (splits[0], [])
        )
        few = np.linspace(0, len(own) - 1, min(_A_CLASS, len(own))).astype(int)
        chosen = [int(own[place]) for place in few]
        made = zip(chosen, thumbnails(split, chosen, _PX), strict=True)
        images = [
            Thumbnail(split.images.name(place), None if isinstance(pixels, str) else pixels)
            for place, pixels in made
        ]
        yield Strip(name, ", ".join(counts), tuple(images))
