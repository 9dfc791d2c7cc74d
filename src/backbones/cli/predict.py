"""`backbones predict`: the top answers for pictures, wherever they lie."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.cli.console import preparing, progress, say
from backbones.cli.language import Language, tell_nameless
from backbones.cli.offline import Offline
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.prediction import Submission
    from backbones.prediction.writers import Written


def predict(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle, a run or an id of weights.")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES_OR_FOLDER...",
            help="Pictures, folders, patterns, zip or tar files; - reads standard input.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="Answers a picture.")] = 5,
    format: Annotated[
        Literal["text", "json", "csv", "parquet", "submission"],
        typer.Option(help="json is one object a line; submission is a competition's CSV."),
    ] = "text",
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for annotated copies and a page of them.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Submission: the names of its columns.")
    ] = "id,label",
    probability_of: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Submission: write this probability.")
    ] = None,
    all_probabilities: Annotated[
        bool, typer.Option("--all-probabilities", help="Submission: write a column a class.")
    ] = False,
    lang: Language = "en",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
    offline: Offline = False,
) -> None:
    """Name what is in pictures.

    A file that cannot be decoded is listed with its reason, and the rest goes on; the exit code
    is 1 only where no picture could be read at all.

    Examples: `backbones predict runs/demo photos --format json`,
    `backbones predict runs/pets test.zip --format submission --out submission.csv`.
    """
    from backbones.api.prediction import Output, predict_files
    from backbones.api.weights import open_bundle
    from backbones.speed import keep_large_buffers

    keep_large_buffers()
    with preparing() as bars:
        opened = open_bundle(bundle, downloading=bars.downloading)
    tell_nameless(opened.classes, lang)
    submission = None
    if format == "submission":
        submission = submission_of(columns, probability_of, all_probabilities)
    with progress("predicting") as report_progress:
        written = predict_files(
            opened,
            inputs,
            Output(format, out or sys.stdout, pictures, submission),
            top=top,
            lang=lang,
            batch_size=batch_size,
            progress=report_progress,
        )
    if out:
        say(f"wrote {written.num_pictures} predictions to {out}")
    if pictures:
        say(f"annotated copies are in {pictures}; open {pictures / 'index.html'}")
    tell_failures(written)


def tell_failures(written: Written) -> None:
    """List what could not be read; exit code 1 where that is everything."""
    if not written.failures:
        return
    say(f"{len(written.failures)} of {written.num_pictures} pictures could not be read:")
    for path, reason in written.failures[:20]:
        say(f"  {path}: {reason}")
    if len(written.failures) == written.num_pictures:
        raise typer.Exit(1)


def submission_of(columns: str, probability_of: str | None, all_probabilities: bool) -> Submission:
    """What a competition wants, from the words of the command line.

    Raises:
        WrongUse: both kinds of probability at once, or a number of columns that does not fit.
    """
    from backbones.api.prediction import Submission

    names = tuple(name.strip() for name in columns.split(","))
    if probability_of and all_probabilities:
        raise WrongUse("--probability-of and --all-probabilities exclude each other; choose one")
    if len(names) != 2 and not all_probabilities:
        raise WrongUse(f"--columns has {len(names)} names, expected two, such as id,label")
    if all_probabilities:
        return Submission("all", header=names[:1])
    return Submission("probability" if probability_of else "label", probability_of, header=names)
