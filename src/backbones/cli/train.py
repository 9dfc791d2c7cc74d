"""`backbones train`: a folder of pictures in, a run folder out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import err, print_table, say
from backbones.errors import WrongUse
from backbones.units import human_seconds

if TYPE_CHECKING:
    from backbones.train.record import Record

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field; can be repeated."),
]


def train(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A folder, manifest or set name.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A network; see `backbones list`.")] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name or file.")] = "finetune",
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Start from this bundle or weight file.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps, to see it work.")] = False,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run, exactly.")
    ] = None,
) -> None:
    """Train a network on pictures.

    Leaves a run folder: best and last bundle, metrics, curves, TensorBoard files, the resolved
    recipe and a checkpoint to go on from.

    Examples: `backbones train photos --model vgg11_bn --recipe scratch --set length=10epochs`,
    `backbones train --resume runs/photos-vgg11_bn`.
    """
    from backbones import api

    if resume is not None:
        if model or settings or smoke or weights or out:
            raise WrongUse(
                "--resume goes on with the run as it was started; leave out --model, --set,"
                " --weights, --smoke and --out"
            )
        run = api.resume_training(resume, data=data)
    elif data is None:
        raise WrongUse("no data given: backbones train DATA, or backbones train --resume RUN")
    else:
        run = api.start_training(
            data,
            model=model,
            recipe=recipe,
            settings=tuple(settings or ()),
            out=out,
            weights=weights,
            smoke=smoke,
        )
    for note in run.notes:
        say(note)
    show_records(run.records, run.total_steps)
    print_summary(run)


def show_records(records: Iterator[Record], total_steps: int) -> None:
    """A moving bar on a terminal, a line an epoch elsewhere."""
    if not err().is_terminal:
        for record in records:
            if line := record_line(record):
                say(line)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("training", total=total_steps, figures="")
        for record in records:
            if record.kind == "step":
                figures = (
                    f"loss {record.loss:.3f}  accuracy {record.accuracy:.3f}"
                    f"  {record.images_per_s:,.0f} images/s"
                )
                bar.update(task, completed=record.step, figures=figures)
            elif line := record_line(record):
                bar.console.print(line, markup=False)


def record_line(record: Record) -> str:
    """One line for the records that a log should keep; the empty string for the others."""
    if record.kind == "epoch":
        return (
            f"epoch {record.epoch}: loss {record.loss:.4f}, accuracy {record.accuracy:.4f},"
            f" {record.images_per_s:,.0f} images/s, {human_seconds(record.seconds)}"
        )
    if record.kind == "evaluation":
        error = record.metrics["top1_error_percent"]
        return (
            f"epoch {record.epoch}: {record.split} loss {record.metrics['loss']:.4f},"
            f" top-1 error {error:.2f} %{' (best so far)' if record.best else ''}"
        )
    return ""


def print_summary(run: api_run) -> None:  # type: ignore[name-defined]  # noqa: F821
    """The table at the end, and where everything lies."""
    summary = run.summary()
    print_table(("figure", "value"), [(key, value) for key, value in summary.figures.items()])
    say(f"all of it is in {summary.folder}")
    for line in summary.next_steps:
        say(f"  {line}")
