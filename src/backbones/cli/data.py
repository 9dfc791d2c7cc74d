"""`backbones data check`: look at a data set before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.command import Command, new_group
from backbones.cli.console import print_json, print_text, progress, say
from backbones.cli.options import Data, Json, LabelPattern, Layout, Quiet

app = new_group("Look at a data set.")


@app.command(cls=Command)
def check(
    data: Data,
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the JSON report here too."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help="Write an HTML page here: images of each class, odd ones, copies side by side.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; default: one per core.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Decode, count and compare every image; exit code 1 if there are problems.

    Counts, sizes, class balance, files that don't decode (each with the reason), wrong extensions,
    exact and near duplicates, the same image in training and validation.

    Examples:
        backbones data check photos
        backbones data check photos --page photos.html
        backbones data check photos --json -o report.json
    """
    from backbones import check_data, write_data_page
    from backbones.files import write_atomic
    from backbones.report.check import check_text
    from backbones.text import json_file

    with progress("checking") as report_progress:
        found = check_data(
            data,
            layout=layout,
            label_pattern=label_pattern,
            workers=workers,
            progress=report_progress,
        )
    document = found.to_json()
    if out:
        write_atomic(out, json_file(document))
    if page:
        say(f"wrote {write_data_page(found, page, layout=layout, label_pattern=label_pattern)}")
    if json:
        print_json(document)
    else:
        print_text(check_text(found))
    if not found.ok:
        raise typer.Exit(1)
