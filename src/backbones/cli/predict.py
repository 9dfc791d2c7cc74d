"""`backbones predict`: the top classes for images, wherever they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.cli.compute import opened
from backbones.cli.console import progress, say, warn
from backbones.cli.options import (
    BatchSize,
    CheckedOptions,
    Classifier,
    Images,
    Language,
    QuietOptions,
    Top,
    complete_protocols,
)
from backbones.cli.submission import SubmissionOptions
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.classifier.writers import Written

OUTPUT, ENSEMBLE = "Output", "Averaging"

Also = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASSIFIER",
        help="Average with this one too; repeatable.",
        rich_help_panel=ENSEMBLE,
    ),
]
Views = Annotated[
    str,
    typer.Option(
        metavar="ID",
        help="Average these views; `backbones evaluate --protocol list` shows all.",
        autocompletion=complete_protocols,
        rich_help_panel=ENSEMBLE,
    ),
]
Form = Annotated[
    Literal["text", "json", "csv", "parquet", "submission"],
    typer.Option(
        help="json is one object a line; submission is a competition's CSV.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As --format json.", rich_help_panel=OUTPUT)]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write here instead of standard output.",
        rich_help_panel=OUTPUT,
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write annotated copies here, and a page of them.",
        rich_help_panel=OUTPUT,
    ),
]


def predict(
    classifier: Classifier,
    images: Images,
    also: Also = None,
    protocol: Views = "single",
    top: Top = 5,
    format: Form = "text",
    json: AsJson = False,
    out: Out = None,
    pictures: Annotate = None,
    *,
    options: SubmissionOptions,
    lang: Language = "en",
    batch_size: BatchSize = None,
    compute: CheckedOptions,
    output: QuietOptions,
) -> None:
    """Classify images.

    A file that cannot be decoded is listed with the reason, and the rest goes on; the exit code
    is 1 only if no image could be read at all, or if a row of the template has no prediction.

    Several classifiers and views are averaged exactly as `evaluate` does it. What goes into the
    columns of a template is recognised by their names and contents; where that is not certain,
    --probability-of or --class-as decides.

    Examples:
        backbones predict runs/demo photos --json
        backbones predict vgg16.tv_in1k photo.jpg --top 3 --lang zh
        backbones predict runs/five test.zip --submission answers.csv
    """
    if json:
        if format not in ("text", "json"):
            raise WrongUse(f"--json and --format {format} exclude each other; choose one")
        format = "json"
    if options.submission is not None:
        if out is not None or format not in ("text", "submission"):
            raise WrongUse("--submission says where and in which form; omit --out and --format")
        format, out = "submission", options.submission
    if format != "submission":
        options.refuse_without_file()
    from backbones import predict_files

    wanted = options.wanted if format == "submission" else None
    networks = opened([classifier, *(also or [])], lang, compute)
    # answers that come to the terminal one by one are a progress of their own
    shown = sys.stdout.isatty() and out is None
    with progress("predicting", quiet=shown) as report_progress:
        written = predict_files(
            networks,
            images,
            out or sys.stdout,
            format=format,
            annotated=pictures,
            submission=wanted,
            template=options.template,
            protocol=protocol,
            top=top,
            lang=lang,
            batch_size=batch_size,
            progress=report_progress,
        )
    if out:
        say(f"wrote {written.num_images - len(written.extra)} predictions to {out}")
    if pictures:
        say(f"annotated copies are in {pictures}; open {pictures / 'index.html'}")
    tell_agreement(written)
    tell_failures(written)


def tell_agreement(written: Written) -> None:
    """How answers in a faster precision agree with exact ones, where there were any."""
    how = written.computed
    if how is None or how.second_look is None:
        return
    for line in how.second_look.to_lines():
        say(line)
    if written.num_rechecked:
        say(f"{written.num_rechecked:,} of {written.num_images:,} images were answered in fp32 too")


def tell_failures(written: Written) -> None:
    """List what could not be read, and what no row asks for; exit code 1 if nothing could."""
    if written.extra:
        more = f" and {len(written.extra) - 5} more" if len(written.extra) > 5 else ""
        listed = ", ".join(written.extra[:5])
        warn(f"no row of the template asks for {len(written.extra)} images: {listed}{more}")
    if not written.failures:
        return
    warn(f"{len(written.failures)} of {written.num_images} images could not be read:")
    for path, reason in written.failures[:20]:
        warn(f"  {path}: {reason}")
    if len(written.failures) == written.num_images:
        raise typer.Exit(1)
