"""One trial of a search: an ordinary training, watched, and stopped where it is hopeless."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from backbones.errors import BackbonesError, Busy, Diverged, Interrupted, TrainingStopped
from backbones.report.curves import read_metrics
from backbones.training.recipe import Recipe
from backbones.training.record import EvaluationRecord, Record, StartRecord, StepRecord
from backbones.workflows.beginning import begin_or_resume
from backbones.workflows.run import TrainingRun
from backbones.workflows.tuning.book import Evaluated, State, TrialRow
from backbones.workflows.tuning.sampler import LiveTrial


@dataclass(frozen=True)
class TrialProgress:
    """How far a trial is.

    Args:
        number: of the trial, counted from 0.
        epoch: that is being trained, counted from 1; 0 before the first.
        share: of the trial that is done, 0 to 1.
    """

    number: int
    epoch: int
    share: float


@dataclass(frozen=True)
class Trial:
    """What a trial needs.

    Args:
        row: its number and parameters, and what it took so far if it was broken off.
        live: says whether its evaluations are worth going on.
        recipe: that it trains by, not resolved.
        where: the data.
        folder: for the run.
    """

    row: TrialRow
    live: LiveTrial
    recipe: Recipe
    where: str
    folder: Path

    def run(self) -> Generator[TrialProgress, None, TrialRow]:
        """Train it.

        Yields:
            how far it is.

        Returns:
            The row that it ends with.

        Raises:
            Interrupted: SIGTERM or Ctrl-C.
            TrainingStopped: the disk is full, or no image can be read.
            Busy: another process goes on with the trial's run.
        """
        began = time.monotonic()
        watched, note = _Watched(self), ""
        state: State = "failed"
        try:
            training = begin_or_resume(self.folder, self.recipe, self.where)
            yield from watched.records(training)
            state = watched.state
        except Diverged as error:
            state, note = "diverged", str(error)
        except (Interrupted, TrainingStopped, Busy):
            raise
        except (BackbonesError, torch.OutOfMemoryError) as error:
            note = " ".join(str(error).split())
        if state != "finished":
            for file in self.folder.glob("*.safetensors"):
                file.unlink()
        seconds = self.row.seconds + time.monotonic() - began
        return replace(
            self.row,
            state=state,
            measured=tuple(watched.measured),
            seconds=round(seconds, 3),
            note=note,
        )


class _Watched:
    """The records of a training, until it is over or hopeless."""

    def __init__(self, trial: Trial) -> None:
        self.state: State = "finished"
        self.measured: list[Evaluated] = []
        self._trial = trial
        self._total = 0

    def records(self, training: TrainingRun) -> Generator[TrialProgress, None, None]:
        """Go on to the end, or to the step after a hopeless evaluation.

        A wish to stop is granted after an evaluation: only the next step shows there was none.
        """
        number = self._trial.row.number
        hopeless = False
        with closing(training.records()) as records:
            for record in records:
                if isinstance(record, StepRecord):
                    if hopeless:
                        self.state = "pruned"
                        return
                    yield TrialProgress(number, record.epoch, record.step / self._total)
                else:
                    hopeless = self._hear(record) or hopeless

    def _hear(self, record: Record) -> bool:
        """Take note of the evaluations; whether they are hopeless."""
        if isinstance(record, StartRecord):
            self._total = record.total_steps
            return record.step > 0 and self._hear_again(record.step)
        if isinstance(record, EvaluationRecord):
            return self._judge(record.metrics, record.epoch) and record.step < self._total
        return False

    def _hear_again(self, step: int) -> bool:
        """The evaluations from before the trial was broken off."""
        hopeless = False
        for line in read_metrics(self._trial.folder / "metrics.jsonl"):
            if line.get("record") == "evaluation" and line["step"] <= step:
                hopeless = self._judge(line, line["epoch"]) and line["step"] < self._total
        return hopeless

    def _judge(self, metrics: Mapping[str, Any], epoch: int) -> bool:
        error, loss = (
            math.nan if metrics[name] is None else float(metrics[name])
            for name in ("top1_error_percent", "loss")
        )
        self.measured.append(Evaluated(epoch, error, loss))
        return self._trial.live.hopeless(self.measured[-1])
