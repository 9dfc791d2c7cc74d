"""What a run keeps on the way: bundles of its weights, and the checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace

from backbones.data.pipeline import Pipeline
from backbones.signals import finishing
from backbones.training.checkpoint import collect, write_checkpoint
from backbones.training.folder import RunFolder
from backbones.training.record import CheckpointRecord
from backbones.training.state import Training
from backbones.weights.bundle import bundle_of, write_bundle


@finishing()
def keep(
    training: Training,
    train: Pipeline,
    run: RunFolder,
    metrics: Mapping[str, float],
    *,
    best: bool,
) -> None:
    """Write the bundle `last`, and `best` where this is it."""
    if not run.writes:
        return
    run.lock.refuse_lost()
    bundle = bundle_of(
        training.kept,
        classes=train.split.classes,
        spec=train.spec,
        recipe=training.recipe.to_json(),
        metrics={"step": training.step, "epoch": training.epoch, **metrics},
        trained_on={
            **{name: training.data[name] for name in ("num_pictures", "sha256")},
            "chosen_by": None,
        },
    )
    try:
        write_bundle(run.last_path, bundle)
        if best:
            by = {**(bundle.trained_on or {}), "chosen_by": training.chosen_by}
            write_bundle(run.best_path, replace(bundle, trained_on=by))
    except OSError as error:
        raise run.cannot_write(error, training.step) from None


_RANKED = ("top1_error_percent", "loss")


def error_rank(metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Lower is better."""
    return tuple(metrics.get(name, math.inf) for name in _RANKED)


def counts(metrics: Mapping[str, float]) -> bool:
    """Whether the figures are numbers: weights whose answers are none are not kept as best."""
    return all(math.isfinite(metrics[name]) for name in _RANKED if name in metrics)


@finishing()
def save(training: Training, run: RunFolder) -> CheckpointRecord:
    """Write the checkpoint that a resume begins from."""
    if not run.writes:
        return CheckpointRecord(training.step, run.checkpoint_path, 0, 0.0)
    run.lock.refuse_lost()
    began = time.perf_counter()
    optimizer = training.optimizer if training.step else None  # which remembers nothing yet
    tensors, numbers = collect(training.model, optimizer, training.average)
    try:
        facts = {
            "step": training.step,
            "sums": asdict(training.sums),
            "best": training.best,
            "due": training.due,
            "since_best": training.since_best,
            "probed": training.probed,
            "schedule": training.rate.state(),
            "optimizer": numbers,
            "positions": run.positions(),
            "metrics_sha256": run.metrics_sha256(),
            "recipe": training.recipe.to_json(),
            "data": dict(training.data),
        }
        write_checkpoint(run.checkpoint_path, tensors, facts)
    except OSError as error:
        raise run.cannot_write(error, training.step) from None
    size = run.checkpoint_path.stat().st_size
    seconds = time.perf_counter() - began
    return CheckpointRecord(training.step, run.checkpoint_path, size, seconds)
