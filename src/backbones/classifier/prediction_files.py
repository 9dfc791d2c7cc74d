"""Write predictions where they are wanted: a file, a stream, annotated copies and a page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from backbones.classifier.classifier import Classifier
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictions import KEPT_PX, Prediction, class_names
from backbones.classifier.template import read_template, submission_for, write_filled
from backbones.classifier.writers import Submission, Written, write_predictions
from backbones.errors import NotFound, WrongUse, nearest
from backbones.labels import Lang, shown
from backbones.language import said
from backbones.progress import Progress
from backbones.report.fonts import font_note
from backbones.report.images import annotate, save_image
from backbones.report.page import ShownImage, write_page
from backbones.text import raw_bytes, same_name

_PAGE_LIMIT = 500
_LONGEST_NAME = 120  # bytes before the suffix; systems allow 255 in all, encrypted ones 143


@dataclass(frozen=True)
class Output:
    """Where predictions go, and in which form.

    Args:
        format: "text", "jsonl" (or "json": one object a line), "csv", "parquet" or
            "submission".
        target: a file, or an open text stream.
        images: folder for annotated copies and a page of them, or None.
        submission: how a submission looks; id and likeliest class where None.
        template: a competition's sample submission, whose rows and columns are filled; see
            `backbones.classifier.template` for how its columns are understood.
    """

    format: str
    target: Path | TextIO
    images: Path | None = None
    submission: Submission | None = None
    template: Path | None = None


def write_answers(
    classifier: Classifier,
    images: Any,
    output: Output,
    options: InferenceOptions,
    *,
    top: int = 5,
    lang: Lang = "en",
    progress: Progress | None = None,
) -> Written:
    """Predict images and write the answers, with annotated copies where they are wanted.

    Args:
        classifier: who answers.
        images: as of `Classifier.predict`.
        output: where the answers go.
        options: protocol, batch size and the like.
        top: answers an image.
        lang: of the names; a submission has the network's own in any case.
        progress: called with (images done, images in all).

    Returns:
        how many images there were, and which could not be read.

    Raises:
        NotFound: no such class, file, folder or pattern.
        WrongUse: an unknown format or language, nothing was named, or a template that does not
            say what its columns want.
        BadData: the template cannot be read, or has rows without an answer.
        MissingExtra: Parquet without pyarrow.
    """
    wanted = _wanted(output.submission, classifier.classes)
    template = None
    if output.template is not None:
        if not isinstance(output.target, Path):
            raise WrongUse("--template needs an output file; name one with --out")
        template = read_template(output.template)
        wanted = submission_for(template, classifier.classes, wanted or Submission())
    all_classes = wanted is not None and wanted.content != "label"
    kept = None if output.images is None else KEPT_PX
    predictions = classifier.stream(
        images,
        replace(options, compute=classifier.compute, kept_px=kept),
        top=None if all_classes else top,
        lang=lang,
        progress=progress,
    )
    if output.images is not None:
        classes = classifier.classes
        names = [name for name, _ in class_names(classes, shown(classes, lang))]
        truths = _Truths(classes, names)
        predictions = _annotated(predictions, output.images, top, truths)
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


@dataclass(frozen=True)
class _Truths:
    """Which class an image is of, where the folder that holds it has the name of a class.

    Args:
        classes: of the network.
        names: what answers call them.
    """

    classes: Sequence[str]
    names: Sequence[str]

    def of(self, path: str) -> str | None:
        folder = PurePosixPath(path.replace("::", "/").replace("\\", "/")).parent.name
        return self._by_folder.get(same_name(folder).casefold())

    @cached_property
    def _by_folder(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for spelling in (self.names, self.classes):
            found |= {same_name(s).casefold(): n for s, n in zip(spelling, self.names, strict=True)}
        return found


def _annotated(
    predictions: Iterator[Prediction], folder: Path, top: int, truths: _Truths
) -> Iterator[Prediction]:
    """Write a copy of every image that passes, with its answers, and at the end the page."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"{folder} cannot be a folder for images: {error.strerror}") from None
    cells: list[ShownImage] = []
    taken: set[str] = set()
    for each in predictions:
        guesses = tuple((guess.name, guess.probability) for guess in each.predictions[:top])
        true_name = truths.of(each.path)
        if each.image is not None:
            copy = annotate(each.image, guesses, true_name=true_name)
            save_image(copy, folder / free_name(each.path, taken, ".jpg"))
        if len(cells) < _PAGE_LIMIT:
            cells.append(ShownImage(each.path, each.image, guesses, true_name, each.error))
        yield each
    names = sorted({name for cell in cells for name, _ in cell.predictions})
    notes = [note for note in (font_note(names),) if note]
    if any(cell.true_name for cell in cells):
        notes.append(said("The true class is the name of the folder that holds the image."))
    if len(cells) == _PAGE_LIMIT:
        notes.append(said("The page shows the first {shown:,} images.", shown=_PAGE_LIMIT))
    write_page(cells, folder / "index.html", title=said("Predictions"), notes=notes)


def free_name(path: str, taken: set[str], suffix: str) -> str:
    """A file name for a drawn copy: the image's own, numbered where two are alike.

    The end of a name that is longer than systems allow is replaced by a few digits of its hash.

    Args:
        path: of the image.
        taken: names that are in use; the new one is added.
        suffix: of the name, such as ".jpg".
    """
    stem = Path(path.replace("::", "/")).stem or "image"
    if len(whole := raw_bytes(stem)) > _LONGEST_NAME:
        kept = whole[: _LONGEST_NAME - 9].decode("utf-8", "ignore")
        stem = f"{kept}-{hashlib.sha256(whole).hexdigest()[:8]}"
    name, number = f"{stem}{suffix}", 2
    while (key := same_name(name).casefold()) in taken:  # as file systems tell names apart
        name, number = f"{stem}-{number}{suffix}", number + 1
    taken.add(key)
    return name
