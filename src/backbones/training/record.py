"""What a run says while it runs: frozen records, in the order of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StartRecord:
    """A run begins, or goes on.

    Args:
        step: optimiser steps done already.
        total_steps: of the whole run.
        steps_per_epoch: as named.
        num_images: training images.
        notes: sentences for people ("resumed at step 120").
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    num_images: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step.

    Args:
        step: steps done, this one included.
        epoch: that the step belongs to, counted from 1.
        loss: mean over the batch; None where no image of it could be read.
        num_correct, num_examples: of the batch.
        lr: the largest learning rate of any part.
        grad_norm: of the whole gradient before clipping; None without `clip_norm`.
        bad: (file, reason) of images that are missing from the batch, a lone one that batch
            norm cannot learn from included.
        seconds: since the step before, waiting for the batch included.
    """

    step: int
    epoch: int
    loss: float | None
    num_correct: int
    num_examples: int
    lr: float
    grad_norm: float | None
    bad: tuple[tuple[str, str], ...]
    seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One epoch over the training images, measured while they were learned from.

    Args:
        step: steps done.
        epoch: counted from 1.
        loss: mean over the epoch's images.
        top1_error_percent: of the epoch's images.
        num_examples, num_skipped: images learned from, and those that could not be.
        lr: of the last step.
        images_per_second: learned from, the wait for them included.
        seconds: training only, since the epoch began or was resumed.
    """

    step: int
    epoch: int
    loss: float
    top1_error_percent: float
    num_examples: int
    num_skipped: int
    lr: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class EvaluationRecord:
    """What `evaluate` found.

    Args:
        step: steps done.
        epoch: the epoch that the step belongs to, counted from 1; 0 before the first step.
        metrics: numbers by name; those of time are left out.
        best: the lowest top-1 error so far (then the lowest loss).
        seconds: that the evaluation took.
    """

    step: int
    epoch: int
    metrics: Mapping[str, float]
    best: bool
    seconds: float


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint is on the disk.

    Args:
        step: steps done.
        path: of the file.
        num_bytes: of the file.
        seconds: that writing took.
    """

    step: int
    path: Path
    num_bytes: int
    seconds: float


@dataclass(frozen=True)
class EndRecord:
    """A run is at its end, and there is something to say of how it came there.

    Args:
        step: steps done.
        notes: sentences for people ("training did not beat the probe").
    """

    step: int
    notes: tuple[str, ...]


Record = StartRecord | StepRecord | EpochRecord | EvaluationRecord | CheckpointRecord | EndRecord
