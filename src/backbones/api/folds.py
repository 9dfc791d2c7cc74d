"""Train one network a fold, so that every training picture is held out exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backbones.api.folds_measured import FoldFigures, FoldsFinished, measured, summed_up
from backbones.api.starting import (
    chosen_recipe,
    data_again,
    free_folder,
    lasting_data,
    resolved_with,
)
from backbones.api.training import begin_run, resume
from backbones.api.training_run import TrainingRun
from backbones.data.folds import Folds
from backbones.errors import WrongUse
from backbones.progress import Downloading, Progress
from backbones.training.checkpoint import fingerprint, refuse_other_data, refuse_other_recipe
from backbones.training.data import folds_for
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.recipe import Recipe
from backbones.training.settings import with_reading

__all__ = [
    "FoldFigures",
    "FoldsFinished",
    "FoldsTraining",
    "asks_for_folds",
    "begin_folds",
    "resume_folds",
    "train_folds",
]


class FoldsTraining:
    """The runs of all folds: `run()`, or iterate over it, and over each run that it gives.

    Args:
        path: of the folder, which is made when the training starts.
        recipe: with its number of folds.
        open_folder: makes the folder, or gives the one that is gone on with.
        kept: the folds that are finished.
        data: where the pictures are.
        progress, downloading: as of `train`.

    Attributes:
        kept: folds that were finished before, and are not trained again.
        finished: what came of it, once all runs were iterated over.

    Example:
        >>> import tempfile
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
        progress: Progress | None = None,
        downloading: Downloading | None = None,
    ) -> None:
        self.folder, self.recipe, self.kept = path, recipe, kept
        self.num_folds = recipe.folds or 0
        self.finished: FoldsFinished | None = None
        self._open, self._data = open_folder, data
        self._folds: FoldsFolder | None = None
        self._progress, self._downloading = progress, downloading

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
                folds.note(measured(fold, run))
            self.finished = summed_up(folds, self._data)

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
        hears = (self._progress, self._downloading)
        chosen = self.recipe.model_copy(update={"fold": fold})
        if (path / "run.json").exists():
            run = resume(path, data=self._data, progress=hears[0], downloading=hears[1])
            if _drawing(run.recipe) != _drawing(chosen):
                raise WrongUse(f"{path} is another run than fold {fold} of {self.folder}; move it")
            return run
        return begin_run(chosen, self._data, path, progress=hears[0], downloading=hears[1])


def train_folds(
    data: str | Path,
    *,
    folds: int | None = None,
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
) -> FoldsTraining:
    """Train one network a fold: `.run()`, or iterate over the result, and over each run in it.

    The training pictures ("train", and "val" where the data has one) are dealt out to as many
    stratified folds by the recipe's seed. Each network learns from all folds but one, and its best
    weights are chosen by that one. A "test" part of the data is never in a fold.

    Args:
        data: a folder, a manifest or a set name.
        folds: how many, 2 or more; what the recipe says where None.
        out: the folder for all runs; `runs/<data>-<model>-<K>folds` where None.
        model, recipe, settings, layout, label_pattern, weights, init_from, smoke_run, progress,
            downloading: as of `train`.

    Raises:
        WrongUse: no number of folds, too few pictures of a class, or `out` holds a run already.
        Busy: another process writes to `out`; raised by the iteration too.
        NotFound, DownloadFailed, RecipeError, BadData, BadWeights: as `train`.
    """
    chosen = chosen_recipe(
        data,
        model=model,
        recipe=recipe,
        settings=with_reading(
            [*settings, *([] if folds is None else [f"folds={folds}"])], layout, label_pattern
        ),
        weights=weights,
        init_from=init_from,
        smoke_run=smoke_run,
    )
    return begin_folds(chosen, data, out, progress=progress, downloading=downloading)


def begin_folds(
    chosen: Recipe,
    data: str | Path,
    out: str | Path | None,
    *,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> FoldsTraining:
    """The runs of a recipe that has folds; iterate over the result to train.

    Args:
        chosen: what `chosen_recipe` gave.
        data, out, progress, downloading: as of `train_folds`.

    Raises:
        WrongUse, Busy, NotFound, DownloadFailed, BadData: as `train_folds`.
    """
    if chosen.folds is None:
        raise WrongUse("the recipe has no folds; say how many, such as folds=5")
    if chosen.fold is not None:
        raise WrongUse(f"the recipe is for fold {chosen.fold} alone; call train, or set fold=none")
    path = free_folder(data, f"{chosen.model}-{chosen.folds}folds") if out is None else Path(out)
    RunFolder.refuse_taken(path)
    FoldsFolder.refuse_taken(path)
    drawn = folds_for(chosen, data, downloading=downloading)
    resolved_with(chosen, data)  # what does not fit is told before anything is written
    known, where = _fingerprint(drawn), lasting_data(data)
    images = describe_images([drawn.pool])
    make = partial(FoldsFolder.create, path, recipe=chosen, data=known, where=where, images=images)
    return FoldsTraining(path, chosen, make, data, progress=progress, downloading=downloading)


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
        WrongUse: the data is not what the folds were drawn from.
        Busy: another process writes to the folder; raised by the iteration too.
    """
    opened = FoldsFolder.open(Path(folder))
    opened.lock.refuse_held()
    where = data_again(opened.facts["where"], data, folder=opened.path)
    drawn = folds_for(opened.recipe, where, downloading=downloading)
    refuse_other_data(opened.facts["data"], _fingerprint(drawn))
    start = opened.start()
    refuse_other_recipe(start.recipe, opened.recipe, opened.path / "recipe.json")
    refuse_other_images(start.images, {drawn.pool.name: drawn.pool})
    return FoldsTraining(
        opened.path,
        opened.recipe,
        lambda: opened,
        where,
        kept=tuple(n for n in range(1, opened.num_folds + 1) if opened.measured(n)),
        progress=progress,
        downloading=downloading,
    )


def asks_for_folds(recipe: Recipe) -> bool:
    """Whether the recipe trains a network for every fold, rather than one."""
    return recipe.folds is not None and recipe.fold is None


def _drawing(recipe: Recipe) -> tuple[Any, ...]:
    """What decides which pictures a run holds out."""
    return recipe.folds, recipe.fold, recipe.seed, recipe.limit


def _fingerprint(drawn: Folds) -> dict[str, Any]:
    return {"drawn_from": list(drawn.drawn_from), **fingerprint(drawn.pool)}
