"""`backbones data check`: look at a data set before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.command import Command, new_group
from backbones.cli.console import print_json, print_text, progress
from backbones.cli.layout import LabelPattern, Layout

app = new_group("Look at a data set.")


@app.command(cls=Command)
def check(
    where: Annotated[str, typer.Argument(metavar="DATA", help="A folder, manifest or set name.")],
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON report here.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; all cores if left out.")] = (
        None
    ),
) -> None:
    """Count, decode and compare every picture; exit code 1 if something needs mending.

    Counts, sizes, class balance, files that don't decode (each with its reason), wrong extensions,
    exact and near duplicates, the same picture in training and validation.
    """
    from backbones import check_data
    from backbones.files import write_atomic
    from backbones.report.check import check_text
    from backbones.text import to_json

    with progress("checking") as report_progress:
        found = check_data(
            where,
            layout=layout,
            label_pattern=label_pattern,
            workers=workers,
            progress=report_progress,
        )
    document = found.to_json()
    if out:
        write_atomic(out, (to_json(document, indent=2) + "\n").encode())
    if json:
        print_json(document)
    else:
        print_text(check_text(found))
    if not found.ok:
        raise typer.Exit(1)
