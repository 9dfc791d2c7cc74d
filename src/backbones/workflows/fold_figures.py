"""What each fold made of the images that it never saw, and all folds together."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.classifier.assembly import Member
from backbones.classifier.evaluation import Evaluation, evaluate_together
from backbones.classifier.evaluation_files import write_evaluation
from backbones.classifier.inference import run_inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.source import split_source
from backbones.compute import choose_compute
from backbones.data.source import Split
from backbones.errors import BadData
from backbones.labels import shown
from backbones.metrics import Interval, Report, Skipped, measure
from backbones.records import fitting
from backbones.report.curves import read_metrics
from backbones.training.data import folds_for, open_for
from backbones.training.folds import FoldsFolder
from backbones.training.out_of_fold import (
    NAME,
    HeldOutPrediction,
    in_order,
    read_out_of_fold,
    scores_of,
    write_out_of_fold,
)
from backbones.weights.bundle import Bundle, read_bundle
from backbones.weights.opening import find_bundle, open_bundle
from backbones.workflows.run import TrainingRun


@dataclass(frozen=True)
class FoldFigures:
    """What one fold's network made of the images that it never saw.

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
        return fitting(values, cls, "folds.json")


@dataclass(frozen=True)
class FoldsFinished:
    """What all folds end with.

    Args:
        folds: one entry a fold.
        out_of_fold: over all images, each answered by the network that never saw it.
        last_top1_error_percent: over all images too, of the weights at the last evaluation.
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


def measure_fold(fold: int, run: TrainingRun) -> dict[str, Any]:
    """Put the fold's own images to its kept network; the answers go into the run folder.

    Returns:
        The figures, and the SHA-256 of the answers.
    """
    held_out = run.source.split("val")
    kept = read_bundle(find_bundle(run.folder))
    options = InferenceOptions(compute=choose_compute(run.recipe.device))
    member = Member(kept.build, kept.spec, kept.classes)
    found = run_inference([member], split_source(held_out), options)
    rows = _held(held_out, found.log_probabilities, found.indices, fold)
    write_out_of_fold(run.folder / NAME, rows, kept.classes)
    report = _report(rows, kept, found.skipped)
    figures = FoldFigures(
        fold,
        report.num_samples,
        report.num_skipped,
        report.top1_error_percent,
        report.top1_interval_percent,
        report.loss,
        int(kept.metrics["epoch"]),
        _last_error(run.folder, report.top1_error_percent),
    )
    return {**asdict(figures), "answers_sha256": _sha256(run.folder / NAME)}


def _sha256(path: Path) -> str:
    """Of a table of answers; of nothing where it is missing."""
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def _held(split: Split, scores: Any, indices: Any, fold: int) -> list[HeldOutPrediction]:
    """A row for every image of the split."""
    shares = dict(zip(indices.tolist(), np.exp(scores.astype(np.float64)).tolist(), strict=True))
    return [
        HeldOutPrediction(
            split.images.name(place),
            split.classes[label],
            fold,
            tuple(shares.get(place, ())),
        )
        for place, label in enumerate(split.labels.tolist())
    ]


def _report(rows: Sequence[HeldOutPrediction], kept: Bundle, skipped: Sequence[Skipped]) -> Report:
    scores, labels = scores_of(rows, kept.classes)
    return measure(scores, labels, kept.classes, skipped=skipped)


def _last_error(run: Path, kept: float) -> float:
    """The top-1 error of the run's last evaluation on the way, in percent; `kept` without any."""
    found = read_metrics(run / "metrics.jsonl")
    errors = [row["top1_error_percent"] for row in found if row.get("record") == "evaluation"]
    return float(errors[-1]) if errors else kept


def summarize_folds(folder: FoldsFolder, data: str | Path) -> FoldsFinished:
    """One table of all folds, and the answers to all images, each by who never saw it."""
    runs = folder.finished_runs()
    figures = tuple(FoldFigures.from_json(each) for each in folder.facts["folds"])
    made = folds_for(folder.recipe, data)
    names = [made.pool.images.name(place) for place in range(len(made.pool))]
    for noted, run in zip(folder.facts["folds"], runs, strict=True):
        if noted.get("answers_sha256") != _sha256(run / NAME):
            raise BadData(
                f"{run / NAME} is not as it was written (its SHA-256 differs); put it back as it"
                " was, or start anew"
            )
    rows = in_order((row for run in runs for row in read_out_of_fold(run / NAME)), names)
    bundles = [open_bundle(run) for run in runs]
    write_out_of_fold(folder.path / NAME, rows, bundles[0].classes)
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
    options = InferenceOptions(compute=choose_compute(folder.recipe.device))
    found = evaluate_together(members, source.split("test"), options)
    return found.named(shown(bundles[0].classes, "en"))
