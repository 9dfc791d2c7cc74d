"""The data as a recipe sees it: some of it held out, dealt out to folds, or limited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.data.folds import Folds, make_folds
from backbones.data.sets import open_data
from backbones.data.sets.splitting import Holdout
from backbones.data.source import DataSource, Split
from backbones.progress import Downloading
from backbones.training.recipe import Recipe


def open_for(
    recipe: Recipe, where: str | Path, *, downloading: Downloading | None = None
) -> DataSource:
    """The data as a recipe sees it: its validation images held out, its limit applied.

    Where the data has no "val" of its own, the recipe's share of the training images becomes
    one, chosen by its seed; so an evaluation later holds out the same images again. Where it has
    no "test" either, its share of that is held out too, and nothing is chosen by it. With `folds`,
    the recipe's `fold` is "val" whatever the data has.

    Args:
        recipe: whose `val_fraction`, `test_fraction`, `folds`, `fold`, `seed`, `limit` count, and
            what it says about where the labels come from.
        where: a folder, a manifest or a set name.
        downloading: download progress callback.

    Raises:
        NotFound: there is nothing of that name.
        BadData: it is no data set.
        WrongUse: a class has fewer images than there are folds.
    """
    if recipe.folds is not None:
        source = folds_for(recipe, where, downloading=downloading).held_out(recipe.fold)
        return _with_limit(source, recipe, ["test"])
    source = _opened(recipe, where, downloading)
    third = 0.0 if "test" in source.splits else recipe.test_fraction
    holdout = Holdout(recipe.val_fraction, recipe.seed, third)
    splits, notes = dict(source.splits), list(source.notes)
    train = splits.get("train")
    if train is not None and "val" not in splits and recipe.val_fraction > 0:
        parts = holdout.split(train, [train.images.name(i) for i in range(len(train))])
        splits = {**splits, **parts}
        notes.append(holdout.describe(parts))
    return _with_limit(replace(source, splits=splits, notes=tuple(notes)), recipe, list(splits))


def _opened(recipe: Recipe, where: str | Path, downloading: Downloading | None) -> DataSource:
    """The data, read as the recipe says, whole, without a split or a limit of ours."""
    return open_data(
        where,
        val_fraction=0.0,
        seed=recipe.seed,
        layout=recipe.layout,
        label_pattern=recipe.label_pattern,
        progress=downloading,
    )


def _with_limit(source: DataSource, recipe: Recipe, names: Sequence[str]) -> DataSource:
    """The data with no more images in the named splits than the recipe allows."""
    if recipe.limit is None:
        return source
    splits = {
        name: limited(split, recipe.limit, recipe.seed) if name in names else split
        for name, split in source.splits.items()
    }
    note = f"limit: at most {recipe.limit} images of each split"
    if recipe.folds:
        note = f"limit: at most {recipe.limit} images in all folds together"
    return replace(source, splits=splits, notes=(*source.notes, note))


def folds_for(
    recipe: Recipe, where: str | Path, *, downloading: Downloading | None = None
) -> Folds:
    """The folds that a recipe makes of a data set; its limit is shared out among them.

    Args:
        recipe: whose `folds`, `seed` and `limit` count.
        where: a folder, a manifest or a set name.
        downloading: download progress callback.

    Raises:
        NotFound, BadData, WrongUse: as `open_for`.
    """
    if recipe.folds is None:
        raise ValueError("the recipe has no folds")
    source = _opened(recipe, where, downloading)
    folds = make_folds(source, recipe.folds, recipe.seed)
    if recipe.limit is None:
        return folds
    return folds.thinned(recipe.limit, lambda split, most: limited(split, most, recipe.seed))


def limited(split: Split, limit: int, seed: int) -> Split:
    """Some images of a split, sampled by the seed, each class in its proportion."""
    return split if len(split) <= limit else split.take(sampled_places(split, limit, seed))


def sampled_places(split: Split, limit: int, seed: int) -> npt.NDArray[np.int64]:
    """The positions of these images, ascending; of all where there are no more than `limit`."""
    order = np.random.default_rng([seed, 0x11317]).permutation(len(split))
    # A stable sort by the place within the class takes one of each class, then the next of each.
    place = np.zeros(len(split))
    for label in np.unique(split.labels):
        members = order[split.labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    chosen = np.argsort(place, kind="stable")[:limit]
    return np.sort(chosen).astype(np.int64)
