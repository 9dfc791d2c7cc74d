"""Train a network on pictures, from nothing or from weights; go on where a run stopped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from backbones.api.networks import create
from backbones.api.starting import (
    chosen_recipe,
    data_again,
    free_folder,
    lasting_data,
    resolved_with,
)
from backbones.api.training_run import Finished, TrainingRun, Workshop, evaluation_batch
from backbones.data.pipeline import Pipeline
from backbones.data.source import DataSource
from backbones.download import cache_folder
from backbones.errors import WrongUse
from backbones.progress import Downloading, Progress
from backbones.training.checkpoint import refuse_other_recipe
from backbones.training.data import open_for
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.lone import refuse_batches_of_one
from backbones.training.recipe import Recipe
from backbones.training.rehearsal import refuse_other_shapes, refuse_unfit
from backbones.training.resolve import input_spec
from backbones.training.settings import with_reading
from backbones.training.transplant import TakenLayer, transplant
from backbones.weights.opening import open_bundle, refuse_folds
from backbones.weights.sealed import tensors_sha256

__all__ = ["Finished", "TrainingRun", "begin_run", "resume", "train"]


def train(
    data: str | Path,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    layout: str | None = None,
    label_pattern: str | None = None,
    weights: str | Path | None = None,
    init_from: str | Path | None = None,
    out: str | Path | None = None,
    smoke_run: bool = False,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """Train a network: `.run()` does it, or iterate over the result to see how it goes.

    Args:
        data: a folder, a manifest or a set name.
        model: a variant; the recipe's own where None.
        recipe: name or file; where None, "digits" and "fashion" for the sets of these names,
            "finetune" with weights, and "scratch" without.
        settings: `field=value` each, on top of the recipe.
        layout, label_pattern: as of `open_data`; the recipe keeps them.
        weights: id of weights, bundle, run folder or weight file to start from.
        init_from: id of weights, bundle or run folder of another network, some layers of which
            are taken over by the paper's names: the recipe's `init_layers`, or all that fit.
        out: the run folder; `runs/<data>-<model>` where None, with a number if that exists.
        smoke_run: a tiny run of the same kind, to see that everything fits together.
        progress: hears of the cache while it is built.
        downloading: hears of a download, where the set or the weights have to be fetched first.

    Raises:
        NotFound: no such data, network, recipe or weights.
        DownloadFailed: the set or the weights cannot be fetched.
        RecipeError: a setting that does not fit.
        BadData, BadWeights: what is there cannot be used.
        WrongUse: the run folder holds a run already.
        Busy: another process writes to the run folder; raised by the iteration too.
        OutOfMemory: raised by the iteration; says which batch would fit.
    """
    chosen = chosen_recipe(
        data,
        model=model,
        recipe=recipe,
        settings=with_reading(settings, layout, label_pattern),
        weights=weights,
        init_from=init_from,
        smoke_run=smoke_run,
    )
    return begin_run(chosen, data, out, progress=progress, downloading=downloading)


def begin_run(
    chosen: Recipe,
    data: str | Path,
    out: str | Path | None,
    *,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """A new run of a recipe in a folder of its own; iterate over the result to train.

    Args:
        chosen: what `chosen_recipe` gave; with its fold, where it has folds.
        data: a folder, a manifest or a set name.
        out, progress, downloading: as of `train`.

    Raises:
        WrongUse: the folder holds a run already; and what `train` raises.
        Busy: another process writes to it.
    """
    if chosen.folds and not chosen.fold:
        raise WrongUse(
            f"the recipe trains {chosen.folds} networks, one a fold; call train_folds for all of"
            " them, or set fold to the one that is wanted"
        )
    path = Path(out) if out is not None else free_folder(data, chosen.model)
    resolved, source = resolved_with(chosen, data, downloading=downloading)
    RunFolder.refuse_taken(path)
    FoldsFolder.refuse_taken(path)
    workshop = set_up(resolved, source, fresh=True, progress=progress)
    make = partial(new_folder, path, resolved, workshop, where=lasting_data(data))
    return TrainingRun(path, resolved, workshop, make, resume=False)


def new_folder(path: Path, recipe: Recipe, workshop: Workshop, *, where: str) -> RunFolder:
    """The folder of a run that is ready to begin, with all that a resume is compared with.

    Args:
        path: of the folder.
        recipe: resolved.
        workshop: with the first weights.
        where: the data, as a resume from another folder will find it.

    Raises:
        WrongUse: the folder holds a run already.
        Busy: another process writes to it.
    """
    images = describe_images(workshop.source.splits.values())
    return RunFolder.create(
        path,
        recipe=recipe,
        data=images.splits["train"],
        where=where,
        images=images,
        weights=tensors_sha256(workshop.network.state_dict()),
    )


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """Go on with a run exactly where its last checkpoint left it; iterate to do it.

    A run that was killed anywhere and resumed ends in the same weights, bit for bit, as one that
    was not: on the same machine, with the same number of threads. Elsewhere a note says what is
    other than it was. The folder is locked while the result is iterated over: a run has one writer.

    Args:
        run: its folder.
        data: where the data is now, if it was moved.
        progress: hears of the cache while it is built.
        downloading: hears of a download, where the set has to be fetched first.

    Raises:
        NotFound: the folder holds no run, or the data is gone.
        WrongUse: the recipe or an image is not what the run began with.
        BadWeights: a file of the run is damaged.
        Busy: another process writes to the folder; raised by the iteration too.
    """
    refuse_folds(Path(run))
    folder = RunFolder.open(Path(run))
    folder.lock.refuse_held()  # before the data is looked at, which can take minutes
    where = data_again(folder.facts["where"], data, folder=folder.path)
    source = open_for(folder.recipe, where, downloading=downloading)
    workshop = taken_up(folder, source, progress=progress)
    return TrainingRun(folder.path, folder.recipe, workshop, lambda: folder, resume=True)


def taken_up(folder: RunFolder, source: DataSource, *, progress: Progress | None) -> Workshop:
    """Everything to go on with a run with, if it is what the run began with.

    Raises:
        WrongUse: the recipe, an image or the first weights are others.
    """
    start = folder.start()
    refuse_other_recipe(start.recipe, folder.recipe, folder.path / "recipe.json")
    if start.images.splits:
        refuse_other_images(start.images, source.splits)
    # The first weights count only where no checkpoint was written yet.
    fresh = not folder.checkpoint_path.exists()
    workshop = set_up(folder.recipe, source, fresh=fresh, progress=progress)
    if fresh and start.weights not in ("", tensors_sha256(workshop.network.state_dict())):
        workshop.close()
        raise WrongUse(
            f"{folder.path} has no checkpoint yet, and the first weights are not those that the"
            " run began with: their file changed, or another version of torch draws others; begin"
            f" again with backbones train DATA --out {folder.path}"
        )
    return workshop


def set_up(
    recipe: Recipe, source: DataSource, *, fresh: bool, progress: Progress | None
) -> Workshop:
    """Make the network and the pipelines of a resolved recipe; with its first weights if fresh.

    Raises:
        RecipeError: the recipe does not fit the network or the data.
        BadData, BadWeights: there is nothing to train on, or the first weights do not fit.
    """
    spec = input_spec(recipe)
    pipeline = partial(
        Pipeline,
        spec=spec,
        seed=recipe.seed,
        workers=recipe.workers,
        cache=cache_folder() / "decoded" if recipe.cache else None,
        progress=progress,
    )
    batches = pipeline(source.split("train"), batch_size=recipe.batch_size, augment=recipe.augment)
    held_out = source.splits.get("val", source.splits.get("test"))
    watched = None
    if held_out is not None:
        watched = pipeline(held_out, batch_size=evaluation_batch(spec))
    refuse_other_shapes(recipe, spec, len(source.classes))
    network = create(
        recipe.model,
        num_classes=len(source.classes),
        in_channels=spec.channels,
        weights=recipe.weights if fresh else None,
        seed=recipe.seed,
    )
    if recipe.batch_size == 1:
        refuse_batches_of_one(network.train(), spec)
    taken = _take_over(recipe, source, network) if fresh else ()
    refuse_unfit(recipe, network, batches)
    workshop = Workshop(source, network, batches, watched, taken)
    if recipe.cache:
        for each in (batches, watched):
            if each is not None:
                each.prepare()  # now, while the caller shows how far it is
    return workshop


def _take_over(recipe: Recipe, source: DataSource, network: nn.Module) -> tuple[TakenLayer, ...]:
    """Copy what the recipe takes from a trained network, where it takes something."""
    if recipe.init_from is None:
        return ()
    bundle = open_bundle(recipe.init_from)
    return transplant(
        bundle.build(),
        network,
        recipe.init_layers,
        same_classes=tuple(bundle.classes) == tuple(source.classes),
    )
