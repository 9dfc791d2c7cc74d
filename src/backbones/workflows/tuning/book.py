"""What was tried and what came of it: one row a trial, in a file that is never half written."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from backbones.files import write_atomic
from backbones.records import read_record, write_record
from backbones.text import raw_bytes
from backbones.workflows.tuning.search import Value

State = Literal["running", "finished", "pruned", "diverged", "failed"]
Figure = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number of the file, where null is one that was not finite."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation on the validation images.

    Args:
        epoch: counted from 1.
        top1_error_percent, loss: as named; not finite where the network has run away.
    """

    epoch: int
    top1_error_percent: Figure
    loss: Figure


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Args:
        number: counted from 0; its folder is `trial-000` and so on.
        parameters: value by recipe field.
        state: running (or broken off, if nobody runs it), finished, pruned (its evaluations were
            worse than the median), diverged (its loss was not finite), failed (see `note`).
        measured: its evaluations, in order.
        seconds: that it took.
        restarts: how often it was broken off and taken up again.
        note: why it did not finish.
    """

    number: int
    parameters: Mapping[str, Value]
    state: State = "running"
    measured: tuple[Evaluated, ...] = ()
    seconds: float = 0.0
    restarts: int = 0
    note: str = ""

    def best(self, monitor: str) -> Evaluated | None:
        """Its best evaluation: by the monitored figure, then by the loss, then the first."""
        if not self.measured:
            return None
        return min(
            self.measured, key=lambda one: (rank(getattr(one, monitor)), rank(one.loss), one.epoch)
        )


def rank(value: float) -> float:
    """Lower is better; what is not a number comes last."""
    return math.inf if math.isnan(value) else value


def ranked(rows: Sequence[TrialRow], monitor: str) -> list[TrialRow]:
    """The finished trials, the best first."""

    def key(row: TrialRow) -> tuple[float, float, int]:
        best = row.best(monitor)
        if best is None:
            return (math.inf, math.inf, row.number)
        return (rank(getattr(best, monitor)), rank(best.loss), row.number)

    return sorted((row for row in rows if row.state == "finished" and row.measured), key=key)


@dataclass(frozen=True)
class _Trials:
    """What trials.json says."""

    monitor: str
    trials: tuple[TrialRow, ...]


@dataclass
class TrialBook:
    """All trials of a study, on the disk after every change.

    Args:
        folder: of the study.
        monitor: the figure that trials are compared by.
        rows: in the order of their numbers.
    """

    folder: Path
    monitor: str
    rows: list[TrialRow] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where the rows are."""
        return self.folder / "trials.json"

    @classmethod
    def open(cls, folder: Path, monitor: str) -> TrialBook:
        """Read the rows; none where no trial has begun.

        Raises:
            BadData: the file was changed.
        """
        book = cls(folder, monitor)
        if book.path.exists():
            book.rows = list(read_record(book.path, _Trials).trials)
        return book

    def put(self, row: TrialRow) -> None:
        """Keep a trial's newest state."""
        self.rows[row.number : row.number + 1] = [row]
        rows = [asdict(each) for each in self.rows]
        write_record(self.path, {"monitor": self.monitor, "trials": rows})

    def ended(self) -> list[TrialRow]:
        """The trials that are over."""
        return [row for row in self.rows if row.state != "running"]

    def broken_off(self) -> list[TrialRow]:
        """The trials that were running when the study stopped, marked as taken up again."""
        running = (row for row in self.rows if row.state == "running")
        return [replace(row, restarts=row.restarts + 1) for row in running]

    def write_csv(self, fields: Sequence[str]) -> Path:
        """The rows as a table, in `trials.csv`.

        Args:
            fields: the recipe fields that were searched.
        """
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        figures = ("top1_error_percent", "loss", "epoch")
        table.writerow(("trial", "state", *figures, "evaluations", "seconds", *fields, "note"))
        for row in self.rows:
            best = row.best(self.monitor)
            found = [""] * 3 if best is None else [getattr(best, figure) for figure in figures]
            values = [row.parameters[name] for name in fields]
            seconds = round(row.seconds, 2)
            table.writerow(
                (row.number, row.state, *found, len(row.measured), seconds, *values, row.note)
            )
        path = self.folder / "trials.csv"
        write_atomic(path, raw_bytes(text.getvalue()))
        return path
