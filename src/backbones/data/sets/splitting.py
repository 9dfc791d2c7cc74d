"""How images become labels and splits, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.data.sets.listing import count_of, some
from backbones.data.source import DataSource, FileImages, Split
from backbones.errors import BadData
from backbones.text import name_bytes, same_name

FEWEST_FOR_THREE = 5  # images of a class: three to learn from, one for each other part


@dataclass(frozen=True)
class Holdout:
    """How a set without a held-out part of its own is split.

    Args:
        val_fraction: the share of each class that becomes "val", 0 to below 1.
        seed: which images they are.
        test_fraction: the share of each class that becomes "test" besides, 0 to below 1.
    """

    val_fraction: float = 0.1
    seed: int = 0
    test_fraction: float = 0.0

    def choose(self, labels: npt.NDArray[np.int64], names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Mark the images that are held out, class by class.

        Each image's place is decided by a hash of the seed and its own name. So neither the
        order of the listing nor the machine matters, and adding an image moves hardly any other.
        A class of two or more gives at least one image and keeps at least one.

        Args:
            labels: int64 (N,).
            names: N names, which stay the same wherever the set is stored.
        """
        held = np.zeros(len(labels), dtype=np.bool_)
        if self.val_fraction <= 0:
            return held
        for members in self._dealt(labels, names):
            held[members[: _share(len(members), self.val_fraction)]] = True
        return held

    def choose_test(
        self, labels: npt.NDArray[np.int64], names: Sequence[str]
    ) -> npt.NDArray[np.bool_]:
        """Mark the images of "test": those after the ones of `choose`, one a class or more.

        None where a class has fewer than five images: too few for three parts.

        Args:
            labels, names: as of `choose`; of all images.
        """
        held = np.zeros(len(labels), dtype=np.bool_)
        dealt = list(self._dealt(labels, names))
        if self.test_fraction > 0 and min(map(len, dealt), default=0) >= FEWEST_FOR_THREE:
            for members in dealt:
                first = _share(len(members), self.val_fraction)
                held[members[first : first + _share(len(members), self.test_fraction)]] = True
        return held

    def _dealt(self, labels: npt.NDArray[np.int64], names: Sequence[str]) -> Iterator[list[int]]:
        """Each class's places, in the order in which they are held out."""
        keys = [hashlib.sha256(name_bytes(f"{self.seed}\n{name}")).digest() for name in names]
        for label in np.unique(labels):
            yield sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: keys[i])

    def split(self, whole: Split, names: Sequence[str], name: str = "val") -> dict[str, Split]:
        """Part "train" from what is held out, both in the order of `whole`."""
        held = self.choose(whole.labels, names)
        tested = self.choose_test(whole.labels, names)
        parts = {"train": whole.take(np.flatnonzero(~(held | tested)), "train")}
        for part, chosen in ((name, held), ("test", tested)):
            if chosen.any():
                parts[part] = whole.take(np.flatnonzero(chosen), part)
        return parts

    def describe(self, parts: Mapping[str, Split], name: str = "val") -> str:
        """The note that says what was done."""
        total = sum(map(len, parts.values()))
        if name not in parts:
            return f"nothing held out as {name}: each class has one image only"
        whole = np.bincount(np.concatenate([part.labels for part in parts.values()]))
        held = np.bincount(parts[name].labels, minlength=len(whole))
        asked = f"{100 * self.val_fraction:g} % of each class"
        if (held != [round(number * self.val_fraction) for number in whole.tolist()]).any():
            asked = f"{100 * held.sum() / total:.3g} %: {asked}, but at least one held out and"
            asked += " one kept"
        if alone := int((whole == 1).sum()):
            asked += f"; {count_of(alone, 'class')} of one image not in {name}"
        third = ""
        if self.test_fraction > 0:
            third = (
                f"; {len(parts['test']):,} more as test"
                if "test" in parts
                else (f"; no test part, as a class has fewer than {FEWEST_FOR_THREE} images")
            )
        return (
            f"split by seed {self.seed}: {held.sum():,} of {total:,} images held out as {name}"
            f" ({asked}){third}"
        )


def _share(count: int, fraction: float) -> int:
    """How many of a class are held out: one or more, and not all."""
    return min(max(1, round(count * fraction)), count - 1)


Listed = Mapping[str, Sequence[tuple[str, str]]]
"""For each split, its images as (path, class name)."""


def assemble(
    kind: str, root: Path, listed: Listed, holdout: Holdout, notes: Iterable[str], where: str = ""
) -> DataSource:
    """Make a source of images in files.

    Class names are sorted; where all of them are whole numbers, by their value. Where there is
    only "train", "val" is split off it; a set to evaluate on may lack "train".

    Args:
        kind: the layout that was recognised.
        root: the folder that the paths are relative to.
        listed: the images.
        holdout: how to split, where there is only "train".
        notes: what a person should know about how it was read.
        where: what was opened, if it is not the root.

    Raises:
        BadData: there are fewer than two classes.
    """
    where = where or str(root)
    # A class is one, whichever system wrote its name.
    listed = {
        split: [(path, same_name(label)) for path, label in rows] for split, rows in listed.items()
    }
    classes = ordered({name for rows in listed.values() for _, name in rows})
    if len(classes) < 2:
        raise BadData(
            f"{where} holds {count_of(len(classes), 'class')} ({some(classes) or 'no images'});"
            " telling images apart takes two or more"
        )
    numbers = {name: i for i, name in enumerate(classes)}
    splits: dict[str, Split] = {}
    for name, rows in listed.items():
        chosen = sorted(rows, key=lambda row: (numbers[row[1]], row[0]))
        labels = np.array([numbers[label] for _, label in chosen], dtype=np.int64)
        images = FileImages(root, tuple(path for path, _ in chosen))
        splits[name] = Split(name, classes, labels, images)
    said = list(notes)
    if list(splits) == ["train"] and holdout.val_fraction > 0:
        splits = holdout.split(splits["train"], splits["train"].images.paths)  # type: ignore[union-attr]
        said.append(holdout.describe(splits))
    return DataSource(kind, where, classes, splits, tuple(said))


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the order of their labels: by value where all are numbers, else by name.

    Example:
        >>> ordered(["10", "9", "0"]), ordered(["10", "9", "cat"])
        (('0', '9', '10'), ('10', '9', 'cat'))
    """
    listed = list(names)
    if all(name.isascii() and name.isdigit() for name in listed):
        return tuple(sorted(listed, key=lambda name: (int(name), name)))
    return tuple(sorted(listed))


def same_classes(where: str, classes: Mapping[str, Iterable[str]]) -> None:
    """Refuse splits whose class lists differ.

    Args:
        where: what the message calls the set.
        classes: for each split, its class names; the first split sets the standard.

    Raises:
        BadData: they differ; the message shows how.
    """
    (first, standard), *rest = classes.items()
    expected = set(standard)
    for name, listed in rest:
        found = set(listed)
        if found == expected:
            continue
        said = []
        if missing := sorted(expected - found):
            said.append(f"{name} lacks {some(missing)}")
        if extra := sorted(found - expected):
            said.append(f"{name} alone has {some(extra)}")
        raise BadData(
            f"the classes of {first} and {name} in {where} differ: {'; '.join(said)}"
            f" ({first} has {count_of(len(expected), 'class')}, {name} {len(found):,});"
            " rename, add or remove the folders so that they match"
        )
