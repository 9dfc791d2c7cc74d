"""`backbones reproduce`: a claim of the ledger tried again, ours beside theirs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.console import print_json, print_table, print_text, progress, say
from backbones.cli.options import AnswerOptions, OutputOptions, Smoke

if TYPE_CHECKING:
    from backbones.api.reproduction import Reproduced


def reproduce(
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID", help="Rows of the ledger; see `backbones list ledger`."),
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where their data is; default: the set of its name."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Seeds 0 to N - 1; default: the row's.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FOLDER", help="For trained networks and results."),
    ] = Path("runs/reproduce"),
    smoke: Smoke = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show what would be trained and measured; do nothing.")
    ] = False,
    *,
    compute: AnswerOptions,
    output: OutputOptions,
) -> None:
    """Reproduce claims of papers and tutorials.

    Trains a row's networks, measures them, and writes ours beside the printed numbers, with
    seeds, spread, machine and versions. Finished work is kept: the same command continues after an
    interruption.

    Examples:
        backbones reproduce lenet/digits
        backbones reproduce resnet/residual --runs 3
        backbones reproduce vgg/depth --data imagenet
    """
    from backbones.ledger.table import find_entry

    rows = [find_entry(name) for name in ids]
    if show:
        documents = [row.model_dump(mode="json", by_alias=True) for row in rows]
        if output.json:
            print_json(documents)
        else:
            from backbones.ledger.text import entry_text

            print_text("\n\n".join(entry_text(row) for row in rows))
        return
    others = {"data": data, "runs": runs, "smoke_run": smoke, "out": out, **asdict(compute)}
    done = [_tried(name, others) for name in ids]
    if output.json:
        print_json([as_json(each) for each in done])
        return
    for each in done:
        tell(each)


def _tried(name: str, others: dict[str, Any]) -> Reproduced:
    import backbones

    backbones.keep_large_buffers()
    with progress(name, unit="steps") as moved:
        return backbones.reproduce(
            name,
            watch=lambda stage: moved(stage.done, stage.total, stage.said),
            **others,
        )


def as_json(done: Reproduced) -> dict[str, Any]:
    """What a program may want to know."""
    from backbones.ledger.verdict import verdicts

    judged = verdicts(done.entry, done.measured)
    return {
        **done.measured.model_dump(mode="json"),
        "claim": done.entry.claim,
        "verdicts": [
            {**asdict(each), "expectation": each.expectation.model_dump(by_alias=True)}
            for each in judged
        ],
        "files": [str(path) for path in done.files],
    }


def tell(done: Reproduced) -> None:
    """The row as a table, and what it says about the claim."""
    from backbones.ledger.text import printed_text
    from backbones.ledger.verdict import verdicts

    entry, measured = done.entry, done.measured
    print_text(f"{entry.id}: {entry.claim}")
    print_table(
        ("network", "top-1 error", "each run", "printed"),
        [
            (
                figure.label,
                figure.to_text(),
                ", ".join(f"{run.top1_error_percent:.2f}" for run in figure.runs),
                printed_text(entry, figure.label),
            )
            for figure in measured.figures
        ],
    )
    if measured.smoke:
        say("a smoke run: the figures mean nothing")
    else:
        for verdict in verdicts(entry, measured):
            print_text(verdict.to_text())
    if entry.shortened:
        say(f"shortened: {entry.shortened}")
    for path in done.files:
        say(f"wrote {path}")
