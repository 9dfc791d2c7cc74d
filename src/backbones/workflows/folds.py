"""Train one network a fold, so that every training image is held out exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from backbones.data.folds import Folds
from backbones.errors import WrongUse
from backbones.launch import launch
from backbones.progress import Callbacks
from backbones.training.checkpoint import fingerprint, refuse_other_data, refuse_other_recipe
from backbones.training.data import folds_for
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.recipe import Recipe
from backbones.workflows.beginning import begin_or_resume
from backbones.workflows.fold_figures import FoldsFinished, measure_fold, summarize_folds
from backbones.workflows.request import data_again, free_folder, lasting_data, resolved_with
from backbones.workflows.run import TrainingRun


class FoldsTraining:
    """The runs of all folds: `run()`, or iterate over it, and over each run that it gives.

    Args:
        path: of the folder, which is made when the training starts.
        recipe: with its number of folds.
        open_folder: makes the folder, or gives the one that is gone on with.
        kept: the folds that are finished.
        data: where the images are.
        callbacks: to call while a fold's run is prepared.

    Attributes:
        kept: folds that were finished before, and are not trained again.
        finished: what came of it, once all runs were iterated over.

    Example:
        >>> import tempfile
        >>> from backbones import train_folds
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     training = train_folds("digits", folds=2, smoke_run=True, out=folder)
        ...     for run in training:
        ...         for record in run:
        ...             pass
        ...     len(training.finished.folds), training.finished.out_of_fold.num_samples
        (2, 32)
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        open_folder: Callable[[], FoldsFolder],
        data: str | Path,
        *,
        kept: tuple[int, ...] = (),
        callbacks: Callbacks,
    ) -> None:
        self.folder, self.recipe, self.kept = path, recipe, kept
        self.num_folds = recipe.folds or 0
        self.finished: FoldsFinished | None = None
        self._open, self._data = open_folder, data
        self._folds: FoldsFolder | None = None
        self._callbacks = callbacks

    def __repr__(self) -> str:
        what = f"FoldsTraining({self.num_folds} folds of {self.recipe.model}, {self.folder}): "
        if self._folds is None:
            return what + "not started; call .run(), or iterate over it and over each run"
        return what + ("under way" if self.finished is None else "finished")

    def __iter__(self) -> Iterator[TrainingRun]:
        if self._folds is None:
            self._folds = self._open()
        folds = self._folds
        with folds.lock:
            for fold in range(1, self.num_folds + 1):
                if folds.measured(fold):
                    continue
                run = self._run_of(fold, folds.run(fold))
                yield run
                if run.finished is None:
                    raise WrongUse(f"fold {fold} was not trained to its end; iterate over its run")
                folds.note(measure_fold(fold, run))
            self.finished = summarize_folds(folds, self._data)

    def run(self) -> FoldsFinished:
        """Train all folds to the end.

        Raises:
            TrainingStopped, Interrupted: as a run.
        """
        for each in self:
            each.run()
        assert self.finished is not None
        return self.finished

    def _run_of(self, fold: int, path: Path) -> TrainingRun:
        """A fold's run, as far as it has come."""
        chosen = self.recipe.model_copy(update={"fold": fold})
        run = begin_or_resume(path, chosen, self._data, self._callbacks)
        if _sampling(run.recipe) != _sampling(chosen):
            raise WrongUse(f"{path} is another run than fold {fold} of {self.folder}; move it")
        return run


def begin_folds(
    chosen: Recipe, data: str | Path, out: str | Path | None, callbacks: Callbacks
) -> FoldsTraining:
    """The runs of a recipe that has folds; arguments and errors as of `train_folds`."""
    _refuse_several_processes()
    if chosen.folds is None:
        raise WrongUse("the recipe has no folds; say how many, such as folds=5")
    if chosen.fold is not None:
        raise WrongUse(f"the recipe is for fold {chosen.fold} alone; call train, or set fold=none")
    path = free_folder(data, f"{chosen.model}-{chosen.folds}folds") if out is None else Path(out)
    RunFolder.refuse_taken(path)
    FoldsFolder.refuse_taken(path)
    folds = folds_for(chosen, data, downloading=callbacks.downloading)
    resolved_with(chosen, data)  # what does not fit is told before anything is written
    known, where = _fingerprint(folds), lasting_data(data)
    images = describe_images([folds.pool])
    make = partial(FoldsFolder.create, path, recipe=chosen, data=known, where=where, images=images)
    return FoldsTraining(path, chosen, make, data, callbacks=callbacks)


def _refuse_several_processes() -> None:
    if launch().size > 1:
        raise WrongUse(
            f"{launch().size} processes were started, and folds are trained by one: start it"
            " without torchrun, or one fold with it: --set fold=1"
        )


def continue_folds(path: Path, data: str | Path | None, callbacks: Callbacks) -> FoldsTraining:
    """Go on with the folds of a folder; arguments and errors as of `resume_folds`."""
    _refuse_several_processes()
    opened = FoldsFolder.open(path)
    opened.lock.refuse_held()
    where = data_again(opened.facts["where"], data, folder=path)
    folds = folds_for(opened.recipe, where, downloading=callbacks.downloading)
    refuse_other_data(opened.facts["data"], _fingerprint(folds))
    start = opened.start()
    refuse_other_recipe(start.recipe, opened.recipe, path / "recipe.json")
    refuse_other_images(start.images, {folds.pool.name: folds.pool})
    kept = tuple(n for n in range(1, opened.num_folds + 1) if opened.measured(n))
    return FoldsTraining(path, opened.recipe, lambda: opened, where, kept=kept, callbacks=callbacks)


def _sampling(recipe: Recipe) -> tuple[Any, ...]:
    """What decides which images a run holds out."""
    return recipe.folds, recipe.fold, recipe.seed, recipe.limit


def _fingerprint(folds: Folds) -> dict[str, Any]:
    return {"drawn_from": list(folds.sources), **fingerprint(folds.pool)}
