"""Name what is in pictures with a trained network."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from backbones.api.together import Answering, predict_together
from backbones.errors import NotFound, WrongUse, nearest
from backbones.labels import Lang, shown
from backbones.prediction.inputs import Inputs, find_inputs
from backbones.prediction.run import Prediction
from backbones.prediction.run import predict as predict_pictures
from backbones.prediction.template import read_template, submission_for, write_filled
from backbones.prediction.writers import Submission, Written, write_predictions
from backbones.progress import Progress
from backbones.protocols.answering import Asking
from backbones.protocols.own import load_protocol
from backbones.protocols.table import Protocol, find_protocol
from backbones.report.fonts import font_note
from backbones.report.page import ShownPicture, write_page
from backbones.report.pictures import annotate, save_image
from backbones.text import raw_bytes, same_name
from backbones.training.folds import all_networks
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = ["Output", "Submission", "predict", "predict_files"]

_PAGE_LIMIT = 500
_LONGEST_NAME = 120  # bytes before the suffix; systems allow 255 in all, encrypted ones 143


def predict(
    bundle: str | Path | Bundle | Sequence[str | Path | Bundle],
    inputs: Sequence[str | Path] | str | Path,
    *,
    protocol: str | Path | Protocol = "single",
    top: int | None = 5,
    lang: Lang = "en",
    batch_size: int = 32,
    keep_pictures: bool = False,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predict pictures one after the other.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights; several of these answer
            together, as `evaluate` has them do. The folder of `train --folds` stands for all its
            runs.
        inputs: files, folders, patterns, zip or tar files, or "-" for standard input.
        protocol: which views of a picture are averaged: a row's name (`backbones evaluate
            --protocol list`), a row, or a file with the fields of one.
        top: answers a picture, the likeliest first; None gives all classes.
        lang: of the names: "en", "zh" or "both". Classes that are in no label set (`backbones
            list labels`) are called what the bundle calls them.
        batch_size: pictures at a time.
        keep_pictures: hand the decoded pixels on, for drawing.
        progress: called with (pictures done, pictures in all).

    Yields:
        One prediction a picture, in input order; with an error where it could not be read.

    Raises:
        NotFound: no such bundle, file, folder or pattern; before any picture is read.
        BadData: the classes of several networks differ.
        ProtocolError: no such protocol, or one that does not fit the network.
        WrongUse: nothing was named, `top` is below 1, or no such language.
    """
    if top is not None and top < 1:
        raise WrongUse(f"top is {top}, expected at least 1")
    row = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    everyone = all_networks(bundle)
    bundles = [open_bundle(each) for each in everyone]
    opened = bundles[0]
    named = [inputs] if isinstance(inputs, str | Path) else inputs
    found: Inputs = find_inputs(named, stdin=sys.stdin.buffer)
    if len(bundles) > 1 or row != find_protocol("single"):
        called = [each.variant for each in bundles]
        return predict_together(
            Answering(bundles, called, Asking(row, batch_size)),
            found,
            names=shown(opened.classes, lang),
            top=None if top is None else min(top, opened.num_classes),
            keep_pictures=keep_pictures,
            progress=progress,
        )
    return predict_pictures(
        opened.build(),
        found,
        opened.spec,
        opened.classes,
        names=shown(opened.classes, lang),
        top=None if top is None else min(top, opened.num_classes),
        batch_size=batch_size,
        keep_pictures=keep_pictures,
        progress=progress,
    )


@dataclass(frozen=True)
class Output:
    """Where predictions go, and in which form.

    Args:
        format: "text", "json" (one object a line), "csv", "parquet" or "submission".
        target: a file, or an open text stream.
        pictures: folder for annotated copies and a page of them, or None.
        submission: how a submission looks; id and likeliest class where None.
        template: a competition's sample submission, whose rows and columns are filled; see
            `backbones.prediction.template` for how its columns are understood.
    """

    format: str
    target: Path | TextIO
    pictures: Path | None = None
    submission: Submission | None = None
    template: Path | None = None


def predict_files(
    bundle: str | Path | Bundle | Sequence[str | Path | Bundle],
    inputs: Sequence[str | Path],
    output: Output,
    *,
    protocol: str | Path | Protocol = "single",
    top: int = 5,
    lang: Lang = "en",
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Written:
    """Predict pictures and write the answers, with annotated copies where they are wanted.

    Args:
        bundle, inputs, protocol: as of `predict`.
        output: where the answers go.
        top: answers a picture.
        lang: of the names; a submission has the bundle's own in any case.
        batch_size: pictures at a time.
        progress: called with (pictures done, pictures in all).

    Returns:
        how many pictures there were, and which could not be read.

    Raises:
        NotFound: no such bundle, class, file, folder or pattern.
        WrongUse: an unknown format or language, nothing was named, or a template that does not
            say what its columns want.
        BadData: the template cannot be read, or has rows without an answer.
        MissingExtra: Parquet without pyarrow.
    """
    bundles = [open_bundle(each) for each in all_networks(bundle)]
    wanted = _wanted(output.submission, bundles[0].classes)
    template = None
    if output.template is not None:
        if isinstance(output.target, Path):
            template = read_template(output.template)
            wanted = submission_for(template, bundles[0].classes, wanted or Submission())
        else:
            raise WrongUse("a template is filled into a file; name it")
    all_classes = wanted is not None and wanted.content != "label"
    predictions = predict(
        bundles,
        inputs,
        protocol=protocol,
        top=None if all_classes else top,
        lang=lang,
        batch_size=batch_size,
        keep_pictures=output.pictures is not None,
        progress=progress,
    )
    if output.pictures is not None:
        predictions = _annotated(predictions, output.pictures, top)
    if template is not None and wanted is not None and isinstance(output.target, Path):
        return write_filled(template, wanted, predictions, output.target)
    return write_predictions(predictions, output.format, output.target, submission=wanted)


def _wanted(submission: Submission | None, classes: Sequence[str]) -> Submission | None:
    """A submission of this network, before a template has its say.

    Raises:
        NotFound: the network has no class of that name.
    """
    name = submission.class_name if submission else None
    if name is not None and name not in classes:
        raise NotFound(
            f"the network has no class {name!r}; it has {', '.join(classes[:10])}."
            + nearest(name, classes)
        )
    if submission is not None and submission.class_as == "number":
        numbers = tuple((each, str(place)) for place, each in enumerate(classes))
        return replace(submission, labels=numbers)
    return submission


def _annotated(predictions: Iterator[Prediction], folder: Path, top: int) -> Iterator[Prediction]:
    """Write a copy of every picture that passes, with its answers, and at the end the page."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"{folder} cannot be a folder for pictures: {error.strerror}") from None
    cells: list[ShownPicture] = []
    taken: set[str] = set()
    for each in predictions:
        guesses = tuple((guess.name, guess.probability) for guess in each.predictions[:top])
        if each.picture is not None:
            copy = annotate(each.picture, guesses)
            save_image(copy, folder / free_name(each.path, taken, ".jpg"))
        if len(cells) < _PAGE_LIMIT:
            cells.append(ShownPicture(each.path, each.picture, guesses, error=each.error))
        yield each
    names = sorted({name for cell in cells for name, _ in cell.predictions})
    notes = [note for note in (font_note(names),) if note]
    if len(cells) == _PAGE_LIMIT:
        notes.append(f"The page shows the first {_PAGE_LIMIT} pictures.")
    write_page(cells, folder / "index.html", title="Predictions", notes=notes)


def free_name(path: str, taken: set[str], suffix: str) -> str:
    """A file name for a drawn copy: the picture's own, numbered where two are alike.

    The end of a name that is longer than systems allow is replaced by a few digits of its hash.

    Args:
        path: of the picture.
        taken: names that are in use; the new one is added.
        suffix: of the name, such as ".jpg".
    """
    stem = Path(path.replace("::", "/")).stem or "picture"
    if len(whole := raw_bytes(stem)) > _LONGEST_NAME:
        kept = whole[: _LONGEST_NAME - 9].decode("utf-8", "ignore")
        stem = f"{kept}-{hashlib.sha256(whole).hexdigest()[:8]}"
    name, number = f"{stem}{suffix}", 2
    while (key := same_name(name).casefold()) in taken:  # as file systems tell names apart
        name, number = f"{stem}-{number}{suffix}", number + 1
    taken.add(key)
    return name
