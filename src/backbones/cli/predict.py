"""`backbones predict`: the top classes for images, wherever they are."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from backbones.cli.parts import PartsOptions, write_parts
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
    Literal["text", "json", "jsonl", "csv", "parquet", "submission"] | None,
    typer.Option(
        help="json and jsonl are one object a line; submission is a competition's CSV. Default:"
        " text, and parquet for parts.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As --format json.", rich_help_panel=OUTPUT)]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write here instead of standard output; a folder (DIR/, or shards as images) gets"
        " a part for each shard.",
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
    format: Form = None,
    json: AsJson = False,
    out: Out = None,
    pictures: Annotate = None,
    *,
    options: SubmissionOptions,
    many: PartsOptions,
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

    Where --out is a folder, each archive, table, or 1,024 images in files are a shard, and each
    shard becomes a part there, made once and whole, whatever is killed. The same command, begun
    again or on more machines that share the folder, does what is missing.

    Examples:
        backbones predict runs/demo photos --json
        backbones predict vgg16.tv_in1k photo.jpg --top 3 --lang zh
        backbones predict runs/five test.zip --submission answers.csv
        backbones predict runs/demo 'shards/*.tar' --out answers/ --format parquet
    """
    form, out = _form_and_place(format, out, options, json=json)
    asked: dict[str, Any] = {"protocol": protocol, "top": top, "lang": lang}
    asked |= {"batch_size": batch_size}
    parts = form != "submission" and many.wanted(out, images)
    if parts and pictures is not None:
        raise WrongUse("--pictures needs one --out file; annotate a few images by themselves")
    wanted = options.wanted if form == "submission" else None
    named = [classifier, *(also or [])]
    if many.cluster is not None and out is not None:  # each machine of it opens the networks
        asked |= {"format": form or "parquet", **many.keywords}
        write_parts(named, images, out, {**asked, **asdict(compute)})
        return
    networks = opened(named, lang, compute)
    if parts and out is not None:
        asked |= {"format": form or "parquet", **many.keywords}
        write_parts(networks, images, out, asked)
        return
    asked |= {"format": form or "text", "annotated": pictures, "submission": wanted}
    written = _write_file(networks, images, out, {**asked, "template": options.template})
    if out:
        say(f"wrote {written.num_images - len(written.extra)} predictions to {out}")
    if pictures:
        say(f"annotated copies are in {pictures}; open {pictures / 'index.html'}")
    tell_agreement(written)
    tell_failures(written)


def _form_and_place(
    format: str | None, out: str | None, options: SubmissionOptions, *, json: bool
) -> tuple[str | None, str | None]:
    """In which form predictions are written, None for the usual one, and where.

    Raises:
        WrongUse: options that exclude each other.
    """
    if json:
        if format not in (None, "json"):
            raise WrongUse(f"--json and --format {format} exclude each other; choose one")
        format = "json"
    if options.submission is not None:
        if out is not None or format not in (None, "submission"):
            raise WrongUse("--submission says where and in which form; omit --out and --format")
        return "submission", str(options.submission)
    if format != "submission":
        options.refuse_without_file()
    return format, out


def _write_file(
    networks: Any, images: list[str], out: str | None, asked: dict[str, Any]
) -> Written:
    """Predict into one file, or to standard output."""
    from backbones import predict_files

    # answers that come to the terminal one by one are a progress of their own
    shown = sys.stdout.isatty() and out is None
    with progress("predicting", quiet=shown) as report_progress:
        target = sys.stdout if out is None else Path(out)
        return predict_files(networks, images, target, progress=report_progress, **asked)


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
