"""Fill a competition's sample submission: its columns, its rows, in its order.

The first column holds ids; an image answers to its file name, with or without the extension, and
to the end of its path where the id has a slash. What the other columns want is told apart so:

    two or more                                   a probability of the class that each is called
    one, called as a class, with numbers in it    the probability of that class
    one, with names of classes in it              the likeliest class
    one, with whole numbers in it                 the number of the likeliest class, from 0
    one, with fractions in it                     a probability, but of which class must be said

Zeros and ones may be numbers of two classes or a probability: what wants a guess is an error that
names the option which decides.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backbones.classifier.predictions import Prediction
from backbones.classifier.writers import Submission, Tally, Written, submitted
from backbones.data.sets.places import Places
from backbones.errors import BadData, NotFound, WrongUse, nearest
from backbones.files import write_atomic
from backbones.text import decoded, raw_bytes, same_name

_SHOWN = 5


@dataclass(frozen=True)
class Template:
    """A sample submission.

    Args:
        path: of the file.
        header: the names of the columns, the ids' first.
        ids: one a row.
        samples: what stands in the answer columns, one sequence a row.
        delimiter: between cells.
    """

    path: Path
    header: tuple[str, ...]
    ids: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]
    delimiter: str = ","


@dataclass(frozen=True)
class Filled:
    """A template with its answers.

    Args:
        text: the file: the header, and the rows that have an answer.
        unanswered: (id, reason) of the rows that have none.
        extra: images that no row asks for.
    """

    text: str
    unanswered: tuple[tuple[str, str], ...]
    extra: tuple[str, ...]


def read_template(path: Path) -> Template:
    """Read a sample submission.

    Raises:
        NotFound: there is no such file.
        BadData: it is no table with a header, ids and at least one answer column.
    """
    try:
        text = decoded(path.read_bytes(), f"the template {path}")
    except OSError as error:
        raise NotFound(f"the template {path} cannot be read: {error.strerror}") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    header, *rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row] or [
        []
    ]
    if len(header) < 2 or not rows:
        raise BadData(
            f"the template {path} has {len(header)} columns and {len(rows)} rows; expected a header"
            " such as id,label, and a row for every image"
        )
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadData(
                f"the template {path} has {len(row)} cells in row {number} and {len(header)} in its"
                " header; expected as many"
            )
    ids = tuple(row[0].strip() for row in rows)
    twice = next((id_ for id_, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise BadData(f"the template {path} asks for {twice!r} more than once; ids must differ")
    return Template(path, tuple(header), ids, tuple(tuple(row[1:]) for row in rows), delimiter)


def submission_for(template: Template, classes: Sequence[str], wanted: Submission) -> Submission:
    """What the template's answer columns want, as the rules at the top of this file say.

    Args:
        template: the sample.
        classes: of the network, in the order of its outputs.
        wanted: what was said beside it: `class_name`, `class_as` or the content "all" decide.

    Raises:
        WrongUse: it cannot be told; says which option decides.
        BadData: a column is called as no class is, or a class has no column.
    """
    answers = template.header[1:]
    if len(answers) > 1 or wanted.content == "all":
        if wanted.class_name is not None or wanted.class_as is not None:
            raise WrongUse(
                f"the template {template.path} has {len(answers)} answer columns, so each must be"
                " the probability of a class; leave out --probability-of and --class-as"
            )
        _check_columns(template, classes)
        return replace(wanted, content="all", header=template.header)
    kind = _said(wanted) or _kind(template, classes)
    if kind == "probability":
        name = wanted.class_name if wanted.class_name is not None else answers[0]
        return replace(wanted, content="probability", class_name=name, header=template.header)
    if wanted.clip is not None:
        raise WrongUse(f"--clip is for probabilities, and {template.path} wants a class {kind}")
    labels = tuple((name, str(place)) for place, name in enumerate(classes))
    return replace(
        wanted,
        content="label",
        header=template.header,
        labels=labels if kind == "number" else (),
    )


def fill(template: Template, wanted: Submission, predictions: Iterable[Prediction]) -> Filled:
    """Answer every row of the template exactly once.

    Args:
        template: the sample.
        wanted: what `submission_for` said.
        predictions: of all images, with all classes where probabilities are wanted.
    """
    names = template.header[1:] if wanted.content == "all" else None
    answers = {
        each.path: each.error if each.error is not None else submitted(each, wanted, names)
        for each in predictions
    }
    places = Places(answers)
    text = io.StringIO()
    table = csv.writer(text, delimiter=template.delimiter, lineterminator="\n")
    table.writerow(template.header)
    unanswered: list[tuple[str, str]] = []
    used: set[str] = set()
    for id_ in template.ids:
        found = places.find(id_)
        used.update(found)
        answer = answers[found[0]] if len(found) == 1 else _why(found)
        if isinstance(answer, str):
            unanswered.append((id_, answer))
        else:
            table.writerow([id_, *answer])
    extra = tuple(path for path in answers if path not in used)
    return Filled(text.getvalue(), tuple(unanswered), extra)


def write_filled(
    template: Template, wanted: Submission, predictions: Iterable[Prediction], target: Path
) -> Written:
    """Fill a template into a file; where rows stay without an answer, the others go beside it.

    Args:
        template, wanted, predictions: as of `fill`.
        target: the file; with rows missing, `NAME.partial.csv` is written instead of `NAME.csv`.

    Raises:
        BadData: rows have no answer; names the first of them, each with its reason.
    """
    seen = Tally()
    filled = fill(template, wanted, seen.count(predictions))
    data = raw_bytes(filled.text)
    partial = target.with_name(f"{target.stem}.partial{target.suffix}")
    if filled.unanswered:
        write_atomic(partial, data)
        extra = f"; images without a row: {len(filled.extra)}" if filled.extra else ""
        raise BadData(
            f"{len(filled.unanswered)} of the {len(template.ids):,} rows of {template.path} have no"
            f" answer: {_told(filled.unanswered)}{extra}; the others are in {partial}, and {target}"
            " is not written"
        )
    write_atomic(target, data)
    partial.unlink(missing_ok=True)  # of an earlier try
    return replace(seen.written(), extra=filled.extra)


def _told(unanswered: Sequence[tuple[str, str]]) -> str:
    """The first rows without an answer, in one line."""
    said = ", ".join(f"{id_} ({reason})" for id_, reason in unanswered[:_SHOWN])
    more = len(unanswered) - _SHOWN
    return said + (f" and {more} more" if more > 0 else "")


def _why(found: Sequence[str]) -> str:
    if not found:
        return "no such image"
    return f"{len(found)} images answer to it: {' and '.join(found[:2])}"


def _said(wanted: Submission) -> str | None:
    """The kind of the one answer column, where an option says it."""
    if wanted.class_name is not None and wanted.class_as is not None:
        raise WrongUse("--probability-of and --class-as exclude each other; choose one")
    return "probability" if wanted.class_name is not None else wanted.class_as


def _kind(template: Template, classes: Sequence[str]) -> str:
    """The kind of the one answer column, from its name and what stands in it."""
    column = template.header[1]
    samples = sorted({same_name(row[0].strip()) for row in template.samples} - {""})
    probable = bool(samples) and all(_is_share(sample) for sample in samples)
    if column in classes and (probable or not samples):
        return "probability"
    whole = bool(samples) and all(_is_place(sample, len(classes)) for sample in samples)
    kinds = []
    if samples and set(samples) <= set(classes):
        kinds.append("name")
    if whole and not ("name" in kinds and _names_are_numbers(classes)):
        kinds.append("number")
    if probable and (len(classes) == 2 or not whole):
        kinds.append("probability")
    if len(kinds) == 1 and kinds[0] != "probability":
        return kinds[0]
    raise _undecided(template, classes, samples, kinds)


def _undecided(
    template: Template, classes: Sequence[str], samples: Sequence[str], kinds: Sequence[str]
) -> WrongUse:
    """What stands in the column, and the options that decide."""
    seen = ", ".join(map(repr, samples[:_SHOWN])) or "nothing"
    options = {
        "name": "--class-as name",
        "number": "--class-as number",
        "probability": f"--probability-of {' or '.join(classes[:3])}",
    }
    words = {"name": "class names", "number": "class numbers", "probability": "probabilities"}
    meaning = " or ".join(words[kind] for kind in kinds) or "neither classes nor probabilities"
    if list(kinds) == ["probability"]:
        meaning = "probabilities of a class that is not said"
    hint = nearest(samples[0], classes, count=1) if samples and not kinds else ""
    return WrongUse(
        f"column {template.header[1]!r} of {template.path} has {seen}: {meaning}; decide with"
        f" {', or '.join(options[kind] for kind in kinds or options)}.{hint}"
    )


def _check_columns(template: Template, classes: Sequence[str]) -> None:
    """Each answer column is called as a class, and each class has one."""
    columns = template.header[1:]
    for column in columns:
        if column not in classes:
            raise BadData(
                f"column {column!r} of {template.path} is no class of the network, which has"
                f" {', '.join(classes[:10])}.{nearest(column, classes, count=1)}"
            )
    counts = Counter(columns)
    twice = [name for name in columns if counts[name] > 1]
    missing = [name for name in classes if name not in counts]
    if twice or missing:
        what = f"two columns {twice[0]!r}" if twice else f"no column for class {missing[0]!r}"
        raise BadData(f"{template.path} has {what}; expected one for each of {len(classes)}")


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _is_place(text: str, num_classes: int) -> bool:
    return text.isascii() and text.isdigit() and int(text) < num_classes


def _names_are_numbers(classes: Sequence[str]) -> bool:
    """Whether every class is called by its own place, so that both are the same."""
    return list(classes) == [str(place) for place in range(len(classes))]
