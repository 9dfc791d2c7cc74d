"""Open and check pictures; hold some of them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backbones.data.sets import open_data
from backbones.data.sets.splitting import Holdout
from backbones.data.source import DataSource, Split

if TYPE_CHECKING:
    from backbones.data.check import Check
    from backbones.training.recipe import Recipe

__all__ = ["Downloading", "Progress", "check_data", "open_data", "open_for"]

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""

Downloading = Callable[[str, int, int | None], None]
"""Called with (file name, bytes done, bytes in all or None) while a named set is fetched."""


def check_data(
    where: str | Path, *, workers: int | None = None, progress: Progress | None = None
) -> Check:
    """Look at every picture of a data set: sizes, classes, broken files, duplicates, leaks.

    Args:
        where: a folder, a manifest or a set name.
        workers: that decode side by side; all cores where None.
        progress: called with (pictures done, pictures in all).

    Raises:
        NotFound: there is nothing of that name.
        BadData: it is no data set.
    """
    from backbones.data.check import check

    return check(where, workers=workers, progress=progress)


def open_for(
    recipe: Recipe, where: str | Path, *, downloading: Downloading | None = None
) -> DataSource:
    """The data as a recipe sees it: its validation pictures held out, its limit applied.

    Where the data has no "val" of its own, the recipe's share of the training pictures becomes
    one, chosen by its seed; so an evaluation later holds out the same pictures again.

    Args:
        recipe: whose `val_fraction`, `seed` and `limit` count.
        where: a folder, a manifest or a set name.
        downloading: hears of a download, where the set has to be fetched first.

    Raises:
        NotFound: there is nothing of that name.
        BadData: it is no data set.
    """
    source = open_data(
        where, val_fraction=recipe.val_fraction, seed=recipe.seed, progress=downloading
    )
    holdout = Holdout(recipe.val_fraction, recipe.seed)
    splits, notes = dict(source.splits), list(source.notes)
    train = splits.get("train")
    if train is not None and "val" not in splits and recipe.val_fraction > 0:
        parts = holdout.split(train, [train.pictures.name(i) for i in range(len(train))])
        splits = {**splits, **parts}
        notes.append(holdout.describe(parts))
    if recipe.limit is not None:
        splits = {name: _limited(split, recipe) for name, split in splits.items()}
        notes.append(f"limit: at most {recipe.limit} pictures of each split")
    return replace(source, splits=splits, notes=tuple(notes))


def _limited(split: Split, recipe: Recipe) -> Split:
    """Some pictures of a split, drawn by the seed, each class in its proportion."""
    if recipe.limit is None or len(split) <= recipe.limit:
        return split
    order = np.random.default_rng([recipe.seed, 0x11317]).permutation(len(split))
    # A stable sort by the place within the class takes one of each class, then the next of each.
    place = np.zeros(len(split))
    for label in np.unique(split.labels):
        members = order[split.labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    chosen = np.argsort(place, kind="stable")[: recipe.limit]
    return split.take(np.sort(chosen))
