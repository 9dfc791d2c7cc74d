"""Stratified folds: parts of the training images, each of which is held out once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from backbones.data.source import ArrayImages, DataSource, Images, Split
from backbones.errors import BadData, WrongUse
from backbones.text import name_bytes

POOLED = ("train", "val")
"""The parts that folds are made of; "test" is never one of them."""

Thin = Callable[[Split, int], Split]
"""Keeps at most so many images of a split."""


def fold_numbers(
    labels: npt.NDArray[np.int64], names: Sequence[str], num_folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """The fold of every image, 1 to `num_folds`.

    The images of a class are put in the order of a hash of the seed and their names, and dealt
    out one to each fold in turn, the next class going on where the last one ended. So the folds
    differ by at most one image in each class, and by at most one in all; and neither the order
    of the listing nor the machine matters.

    Args:
        labels: of the images, at least `num_folds` of each class.
        names: of the images, which stay the same wherever the set is stored.
        num_folds: 2 or more.
        seed: which images come together.

    Shapes:
        labels (N,), N names -> (N,).

    Example:
        >>> found = fold_numbers(np.array([0, 0, 0, 1, 1, 1]), list("abcdef"), 3, seed=0)
        >>> sorted(found[:3].tolist()), sorted(found[3:].tolist())
        ([1, 2, 3], [1, 2, 3])
    """
    keys = [hashlib.sha256(name_bytes(f"folds\n{seed}\n{name}")).digest() for name in names]
    order = sorted(range(len(names)), key=lambda place: (int(labels[place]), keys[place]))
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[order] = np.arange(len(names)) % num_folds + 1
    return numbers


@dataclass(frozen=True)
class Folds:
    """All training images of a data set, and the fold that each is in.

    Args:
        source: the data set, as it is stored.
        pool: its "train" and "val" in one split, in their order.
        numbers: the fold of each image of the pool.
        num_folds: how many there are.
        seed: they were made by.
    """

    source: DataSource
    pool: Split
    numbers: npt.NDArray[np.int64]
    num_folds: int
    seed: int

    def thinned(self, limit: int, thin: Thin) -> Folds:
        """The same folds with at most `limit` images in all, shared out evenly.

        An image keeps its fold: what a fold of a limited run learns from is never held out in
        that fold of the whole data.

        Args:
            limit: at least `num_folds`.
            thin: chooses the images of one fold.
        """
        kept: list[npt.NDArray[np.int64]] = []
        for fold in range(1, self.num_folds + 1):
            places = np.flatnonzero(self.numbers == fold)
            # A split of places stands for the images, so that the choice can be read back.
            marks = ArrayImages(np.zeros((len(places), 1, 1, 1), np.uint8), "place", places)
            whole = Split("val", self.pool.classes, self.pool.labels[places], marks)
            share = limit // self.num_folds + (fold <= limit % self.num_folds)
            chosen = thin(whole, share).images
            assert isinstance(chosen, ArrayImages)
            kept.append(chosen.numbers)
        chosen_places = np.sort(np.concatenate(kept))
        pool = self.pool.take(chosen_places)
        return replace(self, pool=pool, numbers=self.numbers[chosen_places])

    def places(self, fold: int) -> npt.NDArray[np.int64]:
        """Where in the pool the images of a fold are, ascending."""
        return np.flatnonzero(self.numbers == fold)

    def held_out(self, fold: int | None) -> DataSource:
        """The data set with one fold as "val" and the others as "train".

        Args:
            fold: 1 to `num_folds`; None holds nothing out.
        """
        splits = {"train": self.pool}
        said = f"{len(self.pool):,} images of {' and '.join(self.sources)}"
        if fold is None:
            note = f"{self.num_folds} folds by seed {self.seed} from {said}"
        else:
            splits = {
                "train": self.pool.take(np.flatnonzero(self.numbers != fold), "train"),
                "val": self.pool.take(self.places(fold), "val"),
            }
            note = (
                f"fold {fold} of {self.num_folds}, by seed {self.seed}:"
                f" {len(splits['val']):,} of {said} held out as val"
            )
        others = {name: each for name, each in self.source.splits.items() if name not in POOLED}
        notes = (*self.source.notes, note)
        return replace(self.source, splits={**splits, **others}, notes=notes)

    @property
    def sources(self) -> tuple[str, ...]:
        """The parts of the data set that the pool is made of."""
        return tuple(name for name in POOLED if name in self.source.splits)


def make_folds(source: DataSource, num_folds: int, seed: int) -> Folds:
    """Deal the training images of a data set out to folds.

    Args:
        source: opened so that nothing is held out of "train" but what the set itself holds out.
        num_folds: 2 or more.
        seed: which images come together.

    Raises:
        BadData: there are no training images, or those of "val" have another size in memory.
        WrongUse: a class has fewer images than there are folds.
    """
    pool = _pooled(source)
    counts = np.bincount(pool.labels, minlength=len(pool.classes))
    fewest = int(counts.argmin())
    if counts[fewest] < num_folds:
        raise WrongUse(
            f"class {pool.classes[fewest]!r} has {counts[fewest]} training images in"
            f" {source.where}, too few for {num_folds} folds; expected at least one for each fold:"
            " ask for fewer folds, or add images"
        )
    names = [pool.images.name(place) for place in range(len(pool))]
    return Folds(source, pool, fold_numbers(pool.labels, names, num_folds, seed), num_folds, seed)


def _pooled(source: DataSource) -> Split:
    """ "train" and "val" in one split."""
    parts = [source.splits[name] for name in POOLED if name in source.splits]
    if not parts or "train" not in source.splits:
        raise BadData(f"{source.where} has no training images to make folds of")
    if len(parts) == 1:
        return parts[0]
    labels = np.concatenate([part.labels for part in parts])
    images = _joined(source.where, [part.images for part in parts])
    return Split("train", source.classes, labels, images)


def _joined(where: str, parts: Sequence[Images]) -> Images:
    """The images of several splits of one data set, one after the other."""
    joined = parts[0].joined(parts[1:])
    if joined is not None:
        return joined
    raise BadData(
        f"the train and val images of {where} are stored differently, so that no folds can be"
        " made of both; expected files below one folder, or arrays of one size"
    )
