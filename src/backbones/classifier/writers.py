"""Predictions as text, JSON lines, CSV, Parquet or a competition's submission."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, TextIO, TypeVar

from backbones.classifier.prediction_tables import (
    Columns,
    csv_row,
    csv_rows,
    in_digits,
    parquet_table,
)
from backbones.classifier.predictions import Prediction
from backbones.classifier.second_look import Computed
from backbones.errors import BadData, WrongUse, nearest
from backbones.files import write_atomic
from backbones.language import said
from backbones.text import raw_bytes, shown, to_json

Rows = Iterator[str]


@dataclass(frozen=True)
class Submission:
    """How a competition wants its answers: a CSV file with one row an image.

    Classes go by what the network calls them, however they are shown elsewhere.

    Args:
        content: "label" writes the likeliest class, "probability" that of one class, "all" one
            column a class.
        class_name: whose probability; needed for "probability" alone.
        header: the names of the columns; with "all" the first one only.
        class_as: "name" or "number" (its place among the network's outputs, from 0): how a class
            is written; None leaves it to the template, and is the name without one.
        clip: probabilities are kept between `clip` and 1 - `clip`, so that one wrong answer does
            not ruin a log loss; above 0 and below 0.5, or None. Rows are not scaled anew.
        labels: what to write instead of class names ({"cat": "0", "dog": "1"}).
        unreadable: what to write for an image that cannot be read; None leaves its row out.
    """

    content: Literal["label", "probability", "all"] = "label"
    class_name: str | None = None
    header: tuple[str, ...] = ("id", "label")
    class_as: Literal["name", "number"] | None = None
    clip: float | None = None
    labels: tuple[tuple[str, str], ...] = ()
    unreadable: str | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not 0 < self.clip < 0.5:
            raise WrongUse(f"clip is {self.clip:g}; expected above 0 and below 0.5, such as 0.005")


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        num_images: all, those with an error included.
        failures: (path, reason) of images that could not be read.
        extra: images that no row of the template asks for.
        computed: how the last image was answered; None where none was.
        num_rechecked: images that were answered in a faster precision and again exactly.
    """

    num_images: int
    failures: tuple[tuple[str, str], ...]
    extra: tuple[str, ...] = ()
    computed: Computed | None = None
    num_rechecked: int = 0


def encode_predictions(
    predictions: Iterable[Prediction],
    format: str,
    *,
    submission: Submission | None = None,
    columns: Columns | None = None,
) -> tuple[bytes, Written]:
    """The content of a file of predictions, and what is in it.

    Args:
        predictions, format, submission: as of `write_predictions`.
        columns: of a table; None for those that the predictions need.

    Raises:
        WrongUse, MissingExtra, BadData: as `write_predictions`.
    """
    _refuse_unknown(format)
    seen = Tally()
    counted = seen.count(predictions)
    if format == "parquet":
        data = parquet_table(counted, columns)
    else:
        data = raw_bytes("".join(_rows_of(counted, format, submission, columns)))
    return data, seen.written()


def write_predictions(
    predictions: Iterable[Prediction],
    format: str,
    target: Path | TextIO,
    *,
    submission: Submission | None = None,
) -> Written:
    """Write predictions as they come; a file appears whole at the end, or not at all.

    Args:
        predictions: in the order to write.
        format: one of `FORMATS`. "text" is for people; "jsonl" has one object a line with `path`
            and `predictions` or `error`, and an `id` beside a name where the network calls the
            class something else; "csv" one row an image; "parquet" the same as "json" in columns;
            "submission" what `submission` says. For a submission of probabilities the
            predictions must hold all classes (`top=None`).
        target: a file, or an open text stream.
        submission: how a submission looks; id and likeliest class by default.

    Raises:
        WrongUse: an unknown format, or Parquet to a stream.
        MissingExtra: Parquet without pyarrow.
        BadData: a submission in which two images have one id.
    """
    _refuse_unknown(format)
    if isinstance(target, Path):
        data, written = encode_predictions(predictions, format, submission=submission)
        write_atomic(target, data)
        return written
    if format == "parquet":
        raise WrongUse("parquet is binary; name a file to write it to")
    seen = Tally()
    for row in _rows_of(seen.count(predictions), format, submission, None):
        _say(target, row)
    return seen.written()


def _refuse_unknown(format: str) -> None:
    if format not in FORMATS:
        raise WrongUse(
            f"there is no format {format!r}; there are {', '.join(FORMATS)}."
            + nearest(format, FORMATS)
        )


def _rows_of(
    predictions: Iterable[Prediction],
    format: str,
    submission: Submission | None,
    columns: Columns | None,
) -> Rows:
    if format == "submission":
        return _submission(predictions, submission or Submission())
    return csv_rows(predictions, columns) if format == "csv" else _LINES[format](predictions)


class Row(Protocol):
    """What is written about one image, whatever else it holds."""

    @property
    def path(self) -> str: ...

    @property
    def error(self) -> str | None: ...

    @property
    def computed(self) -> Computed | None: ...


R = TypeVar("R", bound=Row)


class Tally:
    """Counts what passes, and remembers what could not be read."""

    def __init__(self) -> None:
        self._images = self._rechecked = 0
        self._failures: list[tuple[str, str]] = []
        self._computed: Computed | None = None

    def count(self, rows: Iterable[R]) -> Iterator[R]:
        """Hand the rows on."""
        for each in rows:
            self._images += 1
            if each.error is not None:
                self._failures.append((each.path, each.error))
            if each.computed is not None:
                self._computed = each.computed
                self._rechecked += each.computed.again
            yield each

    def passed(self, rows: Iterable[R]) -> Written:
        """Take the rows, and leave writing them to somebody else."""
        for _ in self.count(rows):
            pass
        return self.written()

    def written(self) -> Written:
        """What has passed so far."""
        return Written(
            self._images,
            tuple(self._failures),
            computed=self._computed,
            num_rechecked=self._rechecked,
        )


def _say(stream: TextIO, text: str) -> None:
    if stream.isatty():  # a program gets the names as they are
        text = shown(text, keep="\n\t")
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal of another alphabet
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _text(predictions: Iterable[Prediction]) -> Rows:
    for each in predictions:
        lines = [shown(each.path)]
        if each.error is not None:
            reason = each.error.removeprefix("cannot be read: ")  # the system's own words
            lines.append("  " + said("cannot be read: {reason}", reason=shown(reason)))
        answers = ((100 * guess.probability, shown(guess.name)) for guess in each.predictions)
        lines += [f"  {percent:5.1f} %  {name}" for percent, name in answers]
        if each.computed is not None and each.computed.again:
            precision = each.computed.compute.precision
            lines.append("  " + said("answered again in {precision}", precision=precision))
        yield "\n".join(lines) + "\n"


def _json(predictions: Iterable[Prediction]) -> Rows:
    for each in predictions:
        yield to_json(each.to_json()) + "\n"


_LINES: dict[str, Callable[[Iterable[Prediction]], Rows]] = {
    "text": _text,
    "json": _json,
    "jsonl": _json,
}
FORMATS = (*_LINES, "csv", "parquet", "submission")


def _submission(predictions: Iterable[Prediction], wanted: Submission) -> Rows:
    """An image's id is its file name without the extension, as Kaggle has it."""
    if wanted.content == "probability" and wanted.class_name is None:
        raise WrongUse("a submission of one class's probability needs the class's name")
    names: tuple[str, ...] | None = None
    header = list(wanted.header)
    paths: dict[str, str] = {}
    unreadable: list[str] = []
    if wanted.content != "all":
        yield csv_row(header)
    for each in predictions:
        key = PurePosixPath(each.path.replace("\\", "/")).stem
        if key in paths:
            raise BadData(
                f"two images have the id {key!r}: {paths[key]} and {each.path};"
                " a submission needs one row an id"
            )
        paths[key] = each.path
        if not each.predictions:
            unreadable.append(key)
            continue
        if wanted.content == "all" and names is None:
            names = tuple(sorted(guess.class_name for guess in each.predictions))
            yield csv_row([header[0], *(dict(wanted.labels).get(name, name) for name in names)])
        yield csv_row([key, *submitted(each, wanted, names)])
    if wanted.unreadable is not None:
        width = len(names) if names is not None else 1
        for key in unreadable:
            yield csv_row([key, *[wanted.unreadable] * width])


def submitted(each: Prediction, wanted: Submission, names: tuple[str, ...] | None) -> list[str]:
    """The cells of an image that was answered, without its id.

    Args:
        each: with all classes, where probabilities are wanted.
        wanted: the kind.
        names: of the classes, one a column, with "all".
    """
    if wanted.content == "label":
        best = each.predictions[0].class_name
        return [dict(wanted.labels).get(best, best)]
    found = {guess.class_name: guess.probability for guess in each.predictions}
    columns = names if names is not None else (wanted.class_name or "",)
    missing = [name for name in columns if name not in found]
    if missing:
        raise WrongUse(
            f"{each.path} has no probability for {missing[0]!r}; predict all classes (top=None),"
            f" and use one of the network's names.{nearest(missing[0], found)}"
        )
    low = wanted.clip or 0.0
    return [in_digits(min(max(found[name], low), 1 - low)) for name in columns]
