"""Train a network on images, from scratch or from weights; go on where a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from backbones.progress import Callbacks, Downloading, Progress
from backbones.training.recipe import Recipe
from backbones.workflows.beginning import begin_run, resume_run
from backbones.workflows.folds import FoldsTraining, begin_folds, continue_folds
from backbones.workflows.rates import FoundRate, find_rate
from backbones.workflows.request import (
    RecipeOptions,
    TrainingOptions,
    TrainingRequest,
    resolved_with,
)
from backbones.workflows.run import TrainingRun

__all__ = [
    "choose_recipe",
    "find_learning_rate",
    "resume",
    "resume_folds",
    "train",
    "train_folds",
]


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
    **options: Unpack[TrainingOptions],
) -> TrainingRun:
    """Train a network: `.run()` does it, or iterate over the result to see how it goes.

    Args:
        data: a folder, a manifest or a set name.
        model: a variant; the recipe's own where None.
        recipe: name, file or what `choose_recipe` gave; where None, "digits" and "fashion" for the
            sets of these names, "finetune" with weights, "scratch" with a model alone; without any
            of these, "finetune" from weights that are here or can be fetched, else a recipe and a
            network to learn from scratch with, and a line says which and why.
        settings: `field=value` each, on top of the recipe.
        layout, label_pattern: as of `open_data`; the recipe keeps them.
        weights: id of weights, bundle, run folder or weight file to start from.
        init_from: id of weights, bundle or run folder of another network, some layers of which
            are taken over by the paper's names: the recipe's `init_layers`, or all that fit.
        out: the run folder; `runs/<data>-<model>` where None, with a number if that exists.
        smoke_run: a tiny run of the same kind, to see that everything fits together.
        progress: progress callback of the cache, while it is built.
        downloading: download progress callback.
        epochs, lr, batch_size, image_size (px), seed, device, precision, threads: the usual
            settings by short names; "auto" and None leave them to the recipe.

    Raises:
        NotFound: no such data, network, recipe or weights.
        DownloadFailed: the set or the weights cannot be fetched.
        RecipeError: a setting that does not fit.
        BadData, BadWeights: what is there cannot be used.
        WrongUse: the run folder holds a run already.
        Busy: another process writes to the run folder; raised by the iteration too.
        OutOfMemory: raised by the iteration; says which batch would fit.
    """
    chosen = TrainingRequest.of(data, {**options, "downloading": downloading}).chosen()
    return begin_run(chosen, data, out, Callbacks(progress, downloading))


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """Go on with a run exactly where its last checkpoint left it; iterate to do it.

    A run that was killed anywhere and resumed ends in the same weights, bit for bit, as one that
    was not: on the same CPU with the same number of threads, or on a GPU of the same kind, where
    the recipe is `deterministic`. Elsewhere a note says what is other than it was. The folder is
    locked while the result is iterated over: a run has one writer.

    Args:
        run: its folder.
        data: where the data is now, if it was moved.
        device: to go on with another one than the run began on, such as "cpu" where its GPU is
            gone; the last bits may differ then.
        progress, downloading: as of `train`.

    Raises:
        NotFound: the folder holds no run, or the data is gone.
        WrongUse: the recipe or an image is not what the run began with.
        BadWeights: a file of the run is damaged.
        Busy: another process writes to the folder; raised by the iteration too.
    """
    return resume_run(Path(run), data, Callbacks(progress, downloading), device)


def train_folds(
    data: str | Path,
    *,
    folds: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
    **options: Unpack[TrainingOptions],
) -> FoldsTraining:
    """Train one network a fold: `.run()`, or iterate over the result, and over each run in it.

    The training images ("train", and "val" where the data has one) are dealt out to as many
    stratified folds by the recipe's seed. Each network learns from all folds but one, and its best
    weights are chosen by that one. A "test" part of the data is never in a fold.

    Args:
        data: a folder, a manifest or a set name.
        folds: how many, 2 or more; what the recipe says where None.
        out: the folder for all runs; `runs/<data>-<model>-<K>folds` where None.
        progress, downloading, options: as of `train`.

    Raises:
        WrongUse: no number of folds, too few images of a class, or `out` holds a run already.
        Busy: another process writes to `out`; raised by the iteration too.
        NotFound, DownloadFailed, RecipeError, BadData, BadWeights: as `train`.
    """
    if folds is not None:
        options["settings"] = [*(options.get("settings") or ()), f"folds={folds}"]
    chosen = TrainingRequest.of(data, {**options, "downloading": downloading}).chosen()
    return begin_folds(chosen, data, out, Callbacks(progress, downloading))


def resume_folds(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> FoldsTraining:
    """Go on with the folds: finished ones are kept, a broken one goes on exactly where it was.

    Args:
        folder: that `train_folds` made.
        data: where the data is now, if it was moved.
        progress, downloading: as of `train`.

    Raises:
        NotFound: it is no such folder, or the data is gone.
        WrongUse: the data is not what the folds were sampled from.
        Busy: another process writes to the folder; raised by the iteration too.
    """
    return continue_folds(Path(folder), data, Callbacks(progress, downloading))


def choose_recipe(
    data: str | Path,
    *,
    downloading: Downloading | None = None,
    **options: Unpack[TrainingOptions],
) -> Recipe:
    """The recipe that `train` would follow; arguments and errors as of `train`.

    Example:
        >>> choose_recipe("digits", settings=["folds=5"]).trains_folds
        True
    """
    return TrainingRequest.of(data, {**options, "downloading": downloading}).chosen()


def find_learning_rate(
    data: str | Path,
    *,
    rates: tuple[float, float] = (1e-6, 10.0),
    steps: int = 100,
    seed: int | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
    **options: Unpack[RecipeOptions],
) -> FoundRate:
    """Train a copy for some steps while the learning rate rises, and read a rate off the loss.

    Args:
        data, seed, downloading: as of `train`.
        rates: the first and the last learning rate.
        steps: optimiser steps, at least 10.
        progress: progress callback of the steps.
        options: model, recipe, settings, layout, label_pattern, weights, batch_size, image_size,
            device, precision and threads, as of `train`.

    Raises:
        NotFound: no such data, network, recipe or weights.
        RecipeError, BadData, WrongUse: as of `train`, and where the loss tells nothing.

    Example:
        >>> found = find_learning_rate("digits", settings=["limit=200"], steps=40)
        >>> found.test.suggestion is not None
        True
    """
    request = TrainingRequest.of(data, {**options, "seed": seed, "downloading": downloading})
    resolved, source = resolved_with(request.chosen(), data, downloading)
    return find_rate(resolved, source, rates, steps, progress)
