"""Begin a training run in a folder of its own, or go on with one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from backbones.compute import choose_device, shared_device
from backbones.data.source import DataSource
from backbones.errors import WrongUse
from backbones.launch import launch
from backbones.progress import Callbacks
from backbones.ranks import current, note_run, noted_run
from backbones.training.checkpoint import refuse_other_recipe
from backbones.training.data import open_for
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.followed import FollowedFolder
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.recipe import Recipe
from backbones.weights.opening import refuse_folds
from backbones.weights.sealed import tensors_sha256
from backbones.workflows.request import data_again, free_folder, lasting_data, resolved_with
from backbones.workflows.run import TrainingRun
from backbones.workflows.setup import TrainingSetup, set_up

_NO_CALLBACKS = Callbacks()


def begin_run(
    chosen: Recipe,
    data: str | Path,
    out: str | Path | None = None,
    callbacks: Callbacks = _NO_CALLBACKS,
) -> TrainingRun:
    """A new run of a recipe in a folder of its own; arguments and errors as of `train`."""
    if chosen.folds and not chosen.fold:
        raise WrongUse(
            f"the recipe trains {chosen.folds} networks, one a fold; call train_folds for all of"
            " them, or set fold to the one that is wanted"
        )
    ranks = current()
    if (begun := _begun_before(out)) is not None:
        return resume_run(begun, None, callbacks)
    path = Path(out) if out is not None else free_folder(data, chosen.model)
    path = Path(ranks.of_first(str(path)))
    resolved, source = resolved_with(chosen, data, callbacks.downloading)
    if ranks.first:
        RunFolder.refuse_taken(path)
        FoldsFolder.refuse_taken(path)
    setup = set_up(resolved, source, fresh=True, progress=callbacks.progress)
    make = partial(_new_folder, path, resolved, setup, lasting_data(data))
    return TrainingRun(path, resolved, setup, make, resume=False)


def _begun_before(out: str | Path | None) -> Path | None:
    """The run of this very command, where `torchrun --max-restarts` started it anew."""
    noted = noted_run()
    if noted is None and launch().restarts and not launch().has_store and out is not None:
        noted = str(out)
    return Path(noted) if noted is not None and Path(noted, "run.json").exists() else None


def _new_folder(path: Path, recipe: Recipe, setup: TrainingSetup, where: str) -> RunFolder:
    """The folder of a run that is ready to begin, with all that a resume is compared with."""
    if not setup.ranks.first:
        return FollowedFolder(path, recipe, {})
    images = describe_images(setup.source.splits.values())
    run = RunFolder.create(
        path,
        recipe=recipe,
        data=images.splits["train"],
        where=where,
        images=images,
        weights=tensors_sha256(setup.network.state_dict()),
        probe=None if setup.probe is None else setup.probe.to_json(),
    )
    if setup.probe is not None:
        run.start_notes += (setup.probe.describe(),)
    note_run(str(path.absolute()))
    return run


def resume_run(
    path: Path,
    data: str | Path | None = None,
    callbacks: Callbacks = _NO_CALLBACKS,
    device: str | None = None,
) -> TrainingRun:
    """Go on with a run; arguments and errors as of `resume`."""
    refuse_folds(path)
    folder = (RunFolder if current().first else FollowedFolder).open(path)
    device = shared_device(folder.recipe.device if device is None else choose_device(device))
    folder.recipe = folder.recipe.model_copy(update={"device": device})
    folder.lock.refuse_held()  # before the data is looked at, which can take minutes
    where = data_again(folder.facts["where"], data, folder=path)
    source = open_for(folder.recipe, where, downloading=callbacks.downloading)
    setup = _taken_up(folder, source, callbacks)
    note_run(str(path.absolute()))
    return TrainingRun(path, folder.recipe, setup, lambda: folder, resume=True)


def _taken_up(folder: RunFolder, source: DataSource, callbacks: Callbacks) -> TrainingSetup:
    """Everything to go on with a run with, if it is what the run began with."""
    start = folder.start()
    refuse_other_recipe(start.recipe, folder.recipe, folder.path / "recipe.json")
    if start.images.splits and current().first:
        refuse_other_images(start.images, source.splits)
    # The first weights count only where no checkpoint was written yet.
    fresh = not folder.checkpoint_path.exists()
    setup = set_up(folder.recipe, source, fresh=fresh, progress=callbacks.progress)
    if (
        fresh
        and setup.ranks.first
        and start.weights not in ("", tensors_sha256(setup.network.state_dict()))
    ):
        setup.close()
        raise WrongUse(
            f"{folder.path} has no checkpoint yet, and the first weights are not those that the"
            " run began with: their file changed, or another version of torch samples others; begin"
            f" again with backbones train DATA --out {folder.path}"
        )
    return setup


def begin_or_resume(
    path: Path, chosen: Recipe, data: str | Path, callbacks: Callbacks = _NO_CALLBACKS
) -> TrainingRun:
    """The run in a folder, as far as it has come; a new one of the recipe where there is none."""
    if (path / "run.json").exists():
        return resume_run(path, data, callbacks)
    return begin_run(chosen, data, path, callbacks)
