"""Train one network a fold, so that every training picture is held out exactly once."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.api.data import Downloading, Progress, folds_for, open_for
from backbones.api.evaluation import write_evaluation
from backbones.api.starting import (
    chosen_recipe,
    data_again,
    free_folder,
    lasting_data,
    resolved_with,
)
from backbones.api.training import begin_run, resume
from backbones.api.training_run import TrainingRun, evaluation_batch
from backbones.api.weights import find_bundle, open_bundle
from backbones.data.folds import Folds
from backbones.data.source import Split
from backbones.errors import WrongUse
from backbones.labels import shown
from backbones.metrics import Interval, Report, Skipped, measure
from backbones.protocols.answering import Asking, answer
from backbones.protocols.run import Evaluation, Member, evaluate_together
from backbones.protocols.table import find_protocol
from backbones.training.checkpoint import fingerprint, refuse_other_data
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.out_of_fold import NAME, Held, in_order, read_held, scores_of, write_held
from backbones.training.recipe import Recipe
from backbones.weights.bundle import Bundle, read_bundle

__all__ = [
    "FoldFigures",
    "FoldsFinished",
    "FoldsTraining",
    "asks_for_folds",
    "begin_folds",
    "resume_folds",
    "train_folds",
]


@dataclass(frozen=True)
class FoldFigures:
    """What one fold's network made of the pictures that it never saw.

    Args:
        fold: counted from 1.
        num_pictures: that were held out and could be read.
        num_skipped: that could not be read.
        top1_error_percent: of the kept weights.
        top1_interval_percent: its 95 % Wilson interval.
        loss: mean negative log-likelihood of the true class, in nats.
        best_epoch: that the kept weights are of.
        last_top1_error_percent: of the weights at the last evaluation, which nobody chose.
    """

    fold: int
    num_pictures: int
    num_skipped: int
    top1_error_percent: float
    top1_interval_percent: Interval
    loss: float
    best_epoch: int
    last_top1_error_percent: float

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FoldFigures:
        """Read what folds.json holds."""
        interval = Interval(**values["top1_interval_percent"])
        return cls(**{**values, "top1_interval_percent": interval})


@dataclass(frozen=True)
class FoldsFinished:
    """What all folds end with.

    Args:
        folds: one entry a fold.
        out_of_fold: over all pictures, each answered by the network that never saw it.
        last_top1_error_percent: over all pictures too, of the weights at the last evaluation.
        test: of all networks together on the data's own "test"; None where it has none.
        files: that were written.
    """

    folds: tuple[FoldFigures, ...]
    out_of_fold: Report
    last_top1_error_percent: float
    test: Evaluation | None
    files: tuple[Path, ...]

    def spread(self, figure: str) -> tuple[float, float]:
        """Mean and sample standard deviation of a figure over the folds."""
        values = [float(getattr(each, figure)) for each in self.folds]
        return statistics.fmean(values), statistics.stdev(values)


class FoldsTraining:
    """The runs of all folds; iterate over it, and over each run that it gives.

    Args:
        folder: of the folds.
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
        folder: FoldsFolder,
        data: str | Path,
        *,
        progress: Progress | None = None,
        downloading: Downloading | None = None,
    ) -> None:
        self.folder = folder.path
        self.recipe = folder.recipe
        self.num_folds = folder.num_folds
        self.kept = tuple(n for n in range(1, folder.num_folds + 1) if folder.measured(n))
        self.finished: FoldsFinished | None = None
        self._folds, self._data = folder, data
        self._progress, self._downloading = progress, downloading

    def __iter__(self) -> Iterator[TrainingRun]:
        with self._folds.lock:
            for fold in range(1, self.num_folds + 1):
                if self._folds.measured(fold):
                    continue
                run = self._run(fold)
                yield run
                if run.finished is None:
                    raise WrongUse(f"fold {fold} was not trained to its end; iterate over its run")
                self._folds.note(_measure(fold, run))
            self.finished = _sum_up(self._folds, self._data)

    def _run(self, fold: int) -> TrainingRun:
        """A fold's run, as far as it has come."""
        path, hears = self._folds.run(fold), (self._progress, self._downloading)
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
    weights: str | Path | None = None,
    init_from: str | Path | None = None,
    out: str | Path | None = None,
    smoke_run: bool = False,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> FoldsTraining:
    """Train one network a fold; iterate over the result, and over each run in it, to do it.

    The training pictures ("train", and "val" where the data has one) are dealt out to as many
    stratified folds by the recipe's seed. Each network learns from all folds but one, and its best
    weights are chosen by that one. A "test" part of the data is never in a fold.

    Args:
        data: a folder, a manifest or a set name.
        folds: how many, 2 or more; what the recipe says where None.
        out: the folder for all runs; `runs/<data>-<model>-<K>folds` where None.
        model, recipe, settings, weights, init_from, smoke_run, progress, downloading: as of
            `train`.

    Raises:
        WrongUse: no number of folds, too few pictures of a class, or `out` holds a run already.
        Busy: another process writes to `out`; raised by the iteration too.
        NotFound, DownloadFailed, RecipeError, BadData, BadWeights: as `train`.
    """
    chosen = chosen_recipe(
        data,
        model=model,
        recipe=recipe,
        settings=[*settings, *([] if folds is None else [f"folds={folds}"])],
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
    folder = FoldsFolder.create(
        path, recipe=chosen, data=_fingerprint(drawn), where=lasting_data(data)
    )
    return FoldsTraining(folder, data, progress=progress, downloading=downloading)


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
    return FoldsTraining(opened, where, progress=progress, downloading=downloading)


def asks_for_folds(recipe: Recipe) -> bool:
    """Whether the recipe trains a network for every fold, rather than one."""
    return recipe.folds is not None and recipe.fold is None


def _drawing(recipe: Recipe) -> tuple[Any, ...]:
    """What decides which pictures a run holds out."""
    return recipe.folds, recipe.fold, recipe.seed, recipe.limit


def _fingerprint(drawn: Folds) -> dict[str, Any]:
    return {"drawn_from": list(drawn.drawn_from), **fingerprint(drawn.pool)}


def _measure(fold: int, run: TrainingRun) -> dict[str, Any]:
    """Put the fold's own pictures to its kept network; the answers go into the run folder."""
    held_out = run.source.split("val")
    kept = read_bundle(find_bundle(run.folder))
    asking = Asking(find_protocol("single"), evaluation_batch(kept.spec))
    found = answer(kept.build(), held_out, kept.spec, asking)
    rows = _held(held_out, found.log_probabilities, found.indices, fold)
    write_held(run.folder / NAME, rows, kept.classes)
    report = _report(rows, kept, found.skipped)
    return asdict(
        FoldFigures(
            fold,
            report.num_samples,
            report.num_skipped,
            report.top1_error_percent,
            report.top1_interval_percent,
            report.loss,
            int(kept.metrics["epoch"]),
            _last_error(run.folder),
        )
    )


def _held(split: Split, scores: Any, indices: Any, fold: int) -> list[Held]:
    """A row for every picture of the split."""
    shares = dict(zip(indices.tolist(), np.exp(scores.astype(np.float64)).tolist(), strict=True))
    return [
        Held(
            split.pictures.name(place),
            split.classes[label],
            fold,
            tuple(shares.get(place, ())),
        )
        for place, label in enumerate(split.labels.tolist())
    ]


def _report(rows: Sequence[Held], kept: Bundle, skipped: Sequence[Skipped]) -> Report:
    scores, labels = scores_of(rows, kept.classes)
    return measure(scores, labels, kept.classes, skipped=skipped)


def _last_error(run: Path) -> float:
    """The top-1 error of the run's last evaluation on the way, in percent."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    errors = [row["top1_error_percent"] for row in found if row["record"] == "evaluation"]
    return float(errors[-1])


def _sum_up(folder: FoldsFolder, data: str | Path) -> FoldsFinished:
    """One table of all folds, and the answers to all pictures, each by who never saw it."""
    runs = folder.finished_runs()
    figures = tuple(FoldFigures.from_json(each) for each in folder.facts["folds"])
    drawn = folds_for(folder.recipe, data)
    names = [drawn.pool.pictures.name(place) for place in range(len(drawn.pool))]
    rows = in_order((row for run in runs for row in read_held(run / NAME)), names)
    bundles = [open_bundle(run) for run in runs]
    write_held(folder.path / NAME, rows, bundles[0].classes)
    unread = [Skipped(row.path, "it could not be read") for row in rows if not row.probabilities]
    report = _report(rows, bundles[0], unread)
    weights = [each.num_pictures for each in figures]
    last = float(np.average([each.last_top1_error_percent for each in figures], weights=weights))
    files: tuple[Path, ...] = (folder.path / "folds.json", folder.path / NAME)
    test = _together_on_test(folder, data, runs, bundles)
    if test is not None:
        files += write_evaluation(test, folder.path)
    done = FoldsFinished(figures, report, last, test, files)
    mean, deviation = done.spread("top1_error_percent")
    folder.facts |= {
        "mean_top1_error_percent": mean,
        "sd_top1_error_percent": deviation,
        "last_top1_error_percent": last,
        "out_of_fold": {**report.to_json(), "selected_on_this_split": True},
        "test": None if test is None else test.to_json(),
    }
    folder.save()
    return done


def _together_on_test(
    folder: FoldsFolder, data: str | Path, runs: Sequence[Path], bundles: Sequence[Bundle]
) -> Evaluation | None:
    """All folds' networks as one on the "test" that the data itself has."""
    source = open_for(folder.recipe, data)
    if "test" not in source.splits:
        return None
    members = [
        Member(each.build, each.spec, each.classes, str(run))
        for each, run in zip(bundles, runs, strict=True)
    ]
    asking = Asking(find_protocol("single"), evaluation_batch(bundles[0].spec))
    found = evaluate_together(members, source.split("test"), asking)
    return found.named(shown(bundles[0].classes, "en"))
