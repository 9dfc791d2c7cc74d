"""`backbones predict`: the top answers for pictures, wherever they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import progress, say


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle or a run.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES_OR_FOLDER",
            help="Pictures, folders, patterns, zip or tar files; - reads standard input.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="Answers a picture.")] = 5,
    format: Annotated[
        str, typer.Option(help="text, json (a line a picture), csv, parquet or submission.")
    ] = "text",
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for annotated copies and a page of them.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
) -> None:
    """Name what is in pictures.

    A file that cannot be decoded is listed with its reason, and the rest goes on; the exit code is
    then 1. Example: `backbones predict runs/demo photos --format json`.
    """
    from backbones import api

    with progress("predicting") as report_progress:
        done = api.predict_files(
            bundle,
            inputs,
            top=top,
            format=format,
            out=out,
            pictures=pictures,
            batch_size=batch_size,
            progress=report_progress,
        )
    for note in done.notes:
        say(note)
    if done.num_failed:
        raise typer.Exit(1)
