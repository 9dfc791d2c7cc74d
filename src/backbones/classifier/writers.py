"""Predictions as text, JSON lines, CSV, Parquet or a competition's submission."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol, TextIO, TypeVar

from backbones.classifier.predictions import Guess, Prediction
from backbones.classifier.second_look import Computed
from backbones.errors import BadData, MissingExtra, WrongUse, nearest
from backbones.files import write_atomic
from backbones.text import raw_bytes, shown, spelled, to_json

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
        format: one of `FORMATS`. "text" is for people; "json" has one object a line with `path`
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
    if format not in FORMATS:
        raise WrongUse(
            f"there is no format {format!r}; there are {', '.join(FORMATS)}."
            + nearest(format, FORMATS)
        )
    seen = Tally()
    counted = seen.count(predictions)
    if format == "parquet":
        if not isinstance(target, Path):
            raise WrongUse("parquet is binary; name a file to write it to")
        write_atomic(target, _parquet(counted))
        return seen.written()
    rows: Rows
    if format == "submission":
        rows = _submission(counted, submission or Submission())
    else:
        rows = _ROWS[format](counted)
    if isinstance(target, Path):
        write_atomic(target, raw_bytes("".join(rows)))
    else:
        for row in rows:
            _say(target, row)
    return seen.written()


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


def _number(probability: float) -> str:
    """Six significant digits: enough for any ranking, and small ones do not become zero."""
    return f"{probability:.6g}"


def _text(predictions: Iterable[Prediction]) -> Rows:
    for each in predictions:
        lines = [shown(each.path)]
        if each.error is not None:
            reason = each.error.removeprefix("cannot be read: ")  # the system's own words
            lines.append(f"  cannot be read: {shown(reason)}")
        answers = ((100 * guess.probability, shown(guess.name)) for guess in each.predictions)
        lines += [f"  {percent:5.1f} %  {name}" for percent, name in answers]
        if each.computed is not None and each.computed.again:
            lines.append(f"  answered again in {each.computed.compute.precision}")
        yield "\n".join(lines) + "\n"


def _json(predictions: Iterable[Prediction]) -> Rows:
    for each in predictions:
        yield to_json(each.to_json()) + "\n"


def _csv(predictions: Iterable[Prediction]) -> Rows:
    """Columns path, error, name_1, probability_1 and so on; the precision, where it varies."""
    waiting: list[Prediction] = []
    source = iter(predictions)
    for each in source:
        waiting.append(each)
        if each.predictions:  # the first readable image tells how many answers there are
            break
    places = range(1, 1 + (len(waiting[-1].predictions) if waiting else 0))
    header = ["path", "error", *(f"{what}_{i}" for i in places for what in ("name", "probability"))]
    varies = bool(waiting) and was_checked(waiting[-1])
    yield _csv_row([*header, *["precision"] * varies])
    for group in (waiting, source):
        for each in group:
            cells = [each.path, each.error or ""]
            for guess in each.predictions:
                cells += [guess.name, _number(guess.probability)]
            cells += [""] * (len(header) - len(cells))
            yield _csv_row([*cells, *[precision_of(each)] * varies])


def was_checked(prediction: Prediction) -> bool:
    """Whether answers may be in a faster precision, as far as that agrees with the exact one."""
    return prediction.computed is not None and prediction.computed.second_look is not None


def precision_of(prediction: Prediction) -> str:
    """That an image was answered in; empty where it was not answered."""
    return "" if prediction.computed is None else prediction.computed.compute.precision


def _csv_row(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


_ROWS: dict[str, Callable[[Iterable[Prediction]], Rows]] = {
    "text": _text,
    "json": _json,
    "csv": _csv,
}
FORMATS = (*_ROWS, "parquet", "submission")


def _submission(predictions: Iterable[Prediction], wanted: Submission) -> Rows:
    """An image's id is its file name without the extension, as Kaggle has it."""
    if wanted.content == "probability" and wanted.class_name is None:
        raise WrongUse("a submission of one class's probability needs the class's name")
    names: tuple[str, ...] | None = None
    header = list(wanted.header)
    paths: dict[str, str] = {}
    unreadable: list[str] = []
    if wanted.content != "all":
        yield _csv_row(header)
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
            yield _csv_row([header[0], *(dict(wanted.labels).get(name, name) for name in names)])
        yield _csv_row([key, *submitted(each, wanted, names)])
    if wanted.unreadable is not None:
        width = len(names) if names is not None else 1
        for key in unreadable:
            yield _csv_row([key, *[wanted.unreadable] * width])


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
    return [_number(min(max(found[name], low), 1 - low)) for name in columns]


def _spelled(guess: Guess) -> dict[str, Any]:
    """An answer in Parquet's strings, which are UTF-8."""
    id_ = None if guess.id is None else spelled(guess.id)
    answer = replace(guess, name=spelled(guess.name), id=id_).to_json()
    return {**answer, "probability": guess.probability}


def _parquet(predictions: Iterable[Prediction]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "the Parquet format") from None
    kinds = {"name": pyarrow.string(), "id": pyarrow.string(), "probability": pyarrow.float32()}
    answered = list(predictions)
    if all(guess.id is None for each in answered for guess in each.predictions):
        del kinds["id"]
    guess = pyarrow.struct(list(kinds.items()))
    schema = pyarrow.schema(
        [
            ("path", pyarrow.string()),
            ("predictions", pyarrow.list_(guess)),
            ("error", pyarrow.string()),
            ("precision", pyarrow.string()),
        ]
    )
    rows = [
        {
            "path": spelled(each.path),
            "predictions": [_spelled(one) for one in each.predictions],
            "error": None if each.error is None else spelled(each.error),
            "precision": precision_of(each) or None,
        }
        for each in answered
    ]
    data = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), data)
    return data.getvalue()
