"""`backbones predict`: the top answers for pictures, wherever they lie."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.cli.console import preparing, progress, say
from backbones.cli.language import Language, tell_nameless
from backbones.cli.offline import Offline
from backbones.cli.submission import (
    AllProbabilities,
    ClassAs,
    Clip,
    Columns,
    ProbabilityOf,
    Said,
    Sample,
    SubmissionFile,
)
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.prediction import Output
    from backbones.prediction.writers import Written


More = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="RUN_OR_BUNDLE",
        help="Another network that answers together with BUNDLE; can be repeated.",
    ),
]
Views = Annotated[
    str,
    typer.Option(
        metavar="ID", help="Average these views; `backbones evaluate --protocol list` has them."
    ),
]
Form = Annotated[
    Literal["text", "json", "csv", "parquet", "submission"],
    typer.Option(help="json is one object a line; submission is a competition's CSV."),
]
Network = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE", help="A bundle, a run, the folder of all folds or an id of weights."
    ),
]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES_OR_FOLDER...",
        help="Pictures, folders, patterns, zip or tar files; - reads standard input.",
    ),
]


def predict(
    bundle: Network,
    inputs: Inputs,
    weights: More = None,
    protocol: Views = "single",
    top: Annotated[int, typer.Option(min=1, help="Answers a picture.")] = 5,
    format: Form = "text",
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for annotated copies and a page of them.")
    ] = None,
    submission: SubmissionFile = None,
    template: Sample = None,
    columns: Columns = "id,label",
    probability_of: ProbabilityOf = None,
    all_probabilities: AllProbabilities = False,
    class_as: ClassAs = None,
    clip: Clip = None,
    lang: Language = "en",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
    offline: Offline = False,
) -> None:
    """Name what is in pictures.

    A file that cannot be decoded is listed with its reason, and the rest goes on; the exit code
    is 1 only where no picture could be read at all, or where a row of the template has no answer.

    Several networks and views are averaged exactly as `evaluate` does it. What the columns of a
    template want is told by their names and by what stands in them; where that is not certain,
    --probability-of or --class-as decides.

    Examples:
        backbones predict runs/demo photos --format json
        backbones predict runs/five test.zip --submission answers.csv
    """
    if submission is not None:
        if out is not None or format not in ("text", "submission"):
            raise WrongUse("--submission says where and in which form; leave out --out, --format")
        format, out = "submission", submission
    said = Said(columns, probability_of, all_probabilities, class_as, clip, template)
    if format != "submission":
        said.refuse_without_file()
    from backbones.api.prediction import Output

    wanted = said.submission() if format == "submission" else None
    written = answered(
        [bundle, *(weights or [])],
        inputs,
        Output(format, out or sys.stdout, pictures, wanted, template),
        Asked(protocol, top, lang, batch_size),
    )
    if out:
        say(f"wrote {written.num_pictures - len(written.extra)} predictions to {out}")
    if pictures:
        say(f"annotated copies are in {pictures}; open {pictures / 'index.html'}")
    tell_failures(written)


@dataclass(frozen=True)
class Asked:
    """How the networks are asked; a field for each option."""

    protocol: str
    top: int
    lang: Literal["en", "zh", "both"]
    batch_size: int


def answered(networks: list[str], inputs: list[str], output: Output, asked: Asked) -> Written:
    """Open the networks, and predict with a bar."""
    from backbones.api.prediction import predict_files
    from backbones.speed import keep_large_buffers
    from backbones.training.folds import all_networks
    from backbones.weights.opening import open_bundle

    keep_large_buffers()
    everyone = all_networks(networks)
    with preparing() as bars:
        opened = [open_bundle(each, downloading=bars.downloading) for each in everyone]
    tell_nameless(opened[0].classes, asked.lang)
    # answers that come to the terminal one by one are a progress of their own
    shown = sys.stdout.isatty() and output.target is sys.stdout
    with progress("predicting", quiet=shown) as report_progress:
        return predict_files(
            opened,
            inputs,
            output,
            protocol=asked.protocol,
            top=asked.top,
            lang=asked.lang,
            batch_size=asked.batch_size,
            progress=report_progress,
        )


def tell_failures(written: Written) -> None:
    """List what could not be read, and what nobody asked for; exit code 1 where nothing could."""
    if written.extra:
        more = f" and {len(written.extra) - 5} more" if len(written.extra) > 5 else ""
        listed = ", ".join(written.extra[:5])
        say(f"no row of the template asks for {len(written.extra)} pictures: {listed}{more}")
    if not written.failures:
        return
    say(f"{len(written.failures)} of {written.num_pictures} pictures could not be read:")
    for path, reason in written.failures[:20]:
        say(f"  {path}: {reason}")
    if len(written.failures) == written.num_pictures:
        raise typer.Exit(1)
