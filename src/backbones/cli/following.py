"""A training as a person follows it: a bar on a terminal, lines in a log, a table at the end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from backbones.cli.console import err, is_quiet, print_json, print_table, say
from backbones.units import human_seconds

if TYPE_CHECKING:
    from backbones.training.record import Record, StartRecord, StepRecord
    from backbones.workflows.run import TrainingRun

_LOG_EVERY_S = 60.0


def follow(run: TrainingRun, log_every: int | None = None, *, as_json: bool = False) -> None:
    """Train, and say how it goes: a moving bar on a terminal, lines elsewhere.

    Args:
        run: that trains.
        log_every: steps between two lines of a log; about a minute where None.
        as_json: standard output is for one JSON document at the end.
    """
    recipe = run.recipe
    say(
        f"{recipe.model} from {recipe.weights or recipe.init_from or 'random weights'} on"
        f" {run.source.where} ({run.source.kind}), recipe {recipe.name},"
        f" {recipe.length}, {recipe.precision}; run folder {run.folder}"
    )
    if recipe.name == "scratch" and not recipe.weights and not recipe.init_from:
        say("note: on photos --recipe finetune goes on from public weights, and needs fewer images")
    say(f"data: {run.source.summary()}")
    for note in run.source.notes:
        say(f"note: {note}")
    if not as_json:
        tell_taken(run)
    if err().is_terminal and log_every is None and not is_quiet():
        follow_on_terminal(run)
    else:
        follow_in_log(run, log_every)


def follow_in_log(run: TrainingRun, log_every: int | None) -> None:
    """A line each epoch, each evaluation, and each so many steps or every minute between them."""
    from backbones import StartRecord, StepRecord

    far, told = Progress(), time.monotonic()
    for record in run:
        if isinstance(record, StartRecord):
            far.begin(record)
        elif isinstance(record, StepRecord):
            far.add(record)
            late = time.monotonic() - told >= _LOG_EVERY_S
            if late if log_every is None else record.step % log_every == 0:
                say(f"{far.place()}, step {far.step} of {far.total}: {far.figures()}, {far.left()}")
                told = time.monotonic()
        lines = record_lines(record, far.num_epochs)
        for line in lines:
            say(line)
        if lines:
            told = time.monotonic()


def tell_taken(run: TrainingRun) -> None:
    """Which layers came from another network, and why the others did not."""
    if not run.taken:
        return
    count = sum(layer.taken for layer in run.taken)
    say(f"{count} of {len(run.taken)} layers are copied from {run.recipe.init_from}:")
    print_table(
        ("layer", "shape", "weights"),
        [(each.name, each.shape, each.note or "copied") for each in run.taken],
    )


def follow_on_terminal(run: TrainingRun) -> None:
    """The bar: epoch, loss, accuracy, images a second, time left; lines above it as they come."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    from backbones import StartRecord, StepRecord

    columns = (BarColumn(bar_width=16), TextColumn("{task.percentage:>3.0f} %  {task.description}"))
    far = Progress()
    with Bar(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("", total=None)
        for record in run:
            if isinstance(record, StartRecord):
                far.begin(record)
            elif isinstance(record, StepRecord):
                far.add(record)
                said = f"{far.place()}  {far.figures()}, {far.left()}"
                bar.update(task, total=far.total, completed=far.step, description=said)
            for line in record_lines(record, far.num_epochs):
                bar.console.print(line, markup=False)


class Progress:
    """How far a training is: the epoch's means so far, and the pace of the last steps."""

    def __init__(self) -> None:
        self.step = self.total = self._per_epoch = self._epoch = 0
        self._loss = self._correct = self._examples = 0.0
        self._seconds = self._seen = self._weight = 0.0

    @property
    def num_epochs(self) -> int:
        """Of the whole run; a part of one counts."""
        return -(-self.total // max(1, self._per_epoch))

    def begin(self, start: StartRecord) -> None:
        """A run begins, or goes on."""
        self.step, self.total, self._per_epoch = (
            start.step,
            start.total_steps,
            start.steps_per_epoch,
        )

    def add(self, step: StepRecord) -> None:
        """Take one step in; older ones fade from the pace, and an epoch's means are its own."""
        if step.epoch != self._epoch:
            self._epoch, self._loss, self._correct, self._examples = step.epoch, 0.0, 0.0, 0.0
        self.step = step.step
        self._loss += (step.loss or 0.0) * step.num_examples
        self._correct += step.num_correct
        self._examples += step.num_examples
        keep = 0.98
        self._weight = keep * self._weight + 1
        self._seconds = keep * self._seconds + step.seconds
        self._seen = keep * self._seen + step.num_examples

    def place(self) -> str:
        """Which epoch of how many."""
        return f"epoch {self._epoch}/{self.num_epochs}"

    def figures(self) -> str:
        """Loss and accuracy of the epoch so far, and the pace."""
        examples = max(self._examples, 1e-9)
        pace = self._seen / max(self._seconds, 1e-9)
        return (
            f"loss {self._loss / examples:.4f}, accuracy {self._correct / examples:.4f},"
            f" {pace:,.0f} images/s"
        )

    def left(self) -> str:
        """How long the steps that are left will take at this pace, evaluations not counted."""
        seconds = (self.total - self.step) * self._seconds / max(self._weight, 1e-9)
        return f"{human_seconds(seconds)} left"


def record_lines(record: Record, num_epochs: int) -> list[str]:
    """What a log should keep of a record."""
    from backbones import EndRecord, EpochRecord, EvaluationRecord, StartRecord, StepRecord

    match record:
        case StartRecord() | EndRecord():
            return list(record.notes)
        case StepRecord():
            return [f"left out {name}: {reason}" for name, reason in record.bad]
        case EpochRecord():
            return [
                f"epoch {record.epoch}/{num_epochs}: training loss {record.loss:.4f},"
                f" accuracy {1 - record.top1_error_percent / 100:.4f},"
                f" {record.images_per_second:,.0f} images/s, {human_seconds(record.seconds)}"
            ]
        case EvaluationRecord():
            figures, place = record.metrics, f"epoch {record.epoch}/{num_epochs}"
            if record.epoch == 0:
                place = "before training"
            if not math.isfinite(figures["loss"]):
                return [f"{place}: validation predictions are not finite (not kept)"]
            return [
                f"{place}: validation loss {figures['loss']:.4f},"
                f" accuracy {1 - figures['top1_error_percent'] / 100:.4f}"
                + (" (kept as best)" if record.best else "")
            ]
    return []


def tell_end(run: TrainingRun, *, as_json: bool = False) -> None:
    """The result, and where everything lies."""
    finished = run.finished
    if finished is None:
        return
    if as_json:
        print_json(result_json(run))
    elif finished.evaluation is not None:
        report = finished.evaluation.report
        interval = report.top1_interval_percent
        chose = ", which chose the weights" if finished.evaluation.selected_on_this_split else ""
        print_table(
            ("figure", "value"),
            [
                (f"{split_name(finished.split)} images{chose}", f"{report.num_samples:,}"),
                ("accuracy", f"{1 - report.top1_error_percent / 100:.4f}"),
                ("95 % interval", f"{1 - interval.high / 100:.4f} to {1 - interval.low / 100:.4f}"),
                ("loss", f"{report.loss:.4f}"),
                ("calibration error", f"{report.calibration_error:.4f}"),
            ],
        )
    say(f"bundle: {finished.bundle}")
    drawn = sorted({path.name for path in finished.files})
    say(f"also in {run.folder}: {', '.join(['metrics.jsonl', 'tensorboard/', *drawn])}")
    say(f"next: backbones predict {run.folder} IMAGES --pictures {run.folder / 'annotated'}")


def result_json(run: TrainingRun) -> dict[str, Any]:
    """What a program may want to know of a run that is finished."""
    finished = run.finished
    assert finished is not None
    found = finished.evaluation
    return {
        "folder": str(run.folder),
        "bundle": str(finished.bundle),
        "split": finished.split,
        "files": sorted(str(path) for path in finished.files),
        "evaluation": None if found is None else found.to_json(),
    }


def split_name(split: str | None) -> str:
    """What messages call a part of the data."""
    return {"val": "validation", "train": "training"}.get(split or "", split or "")
