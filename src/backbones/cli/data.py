"""`backbones data`: look at a data set before anything is trained on it, or write it as shards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from backbones.cli.command import Command, new_group
from backbones.cli.console import print_json, print_text, progress, say
from backbones.cli.options import Data, Json, LabelPattern, Layout, Quiet

app = new_group("Look at a data set, or write it as shards.")


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


@app.command(cls=Command)
def pack(
    data: Data,
    out: Annotated[
        str,
        typer.Option("--out", "-o", metavar="DIR", help="Folder or address of the shards."),
    ],
    format: Annotated[
        Literal["tar", "parquet"],
        typer.Option(help="tar (WebDataset) or parquet (Hugging Face)."),
    ] = "tar",
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="About how large a shard becomes.")
    ] = "256MB",
    resize: Annotated[
        int | None,
        typer.Option(min=1, metavar="PX", help="Store larger images with this shorter side."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Order of the training images.")] = 0,
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; default: one per core.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a data set as tar or Parquet shards, with a manifest of counts and SHA-256.

    Training images are shuffled; the data's own splits stay. A call that was killed goes on where
    it was. An image whose bytes cannot be read is left out by name; the exit code is 1 then.

    Examples:
        backbones data pack photos -o shards --resize 512
        backbones data pack photos -o s3://bucket/shards --format parquet
    """
    from backbones import pack_data
    from backbones.report.check import packed_text

    with progress("packing") as report_progress:
        packed = pack_data(
            data,
            out,
            format=format,
            size=size,
            resize=resize,
            seed=seed,
            layout=layout,
            label_pattern=label_pattern,
            workers=workers,
            progress=report_progress,
        )
    if json:
        print_json(asdict(packed))
    else:
        print_text(packed_text(out, packed))
    if packed.left_out:
        raise typer.Exit(1)
