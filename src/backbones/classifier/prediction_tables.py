"""Predictions as tables: CSV, and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from backbones.classifier.predictions import Guess, Prediction
from backbones.errors import MissingExtra
from backbones.text import spelled


@dataclass(frozen=True)
class Columns:
    """The columns of a table of predictions, where several files have to have the same ones.

    Args:
        num_answers: an image.
        with_ids: whether a class has an id beside the name that is shown.
        with_precision: whether answers may be in a faster precision.
    """

    num_answers: int
    with_ids: bool
    with_precision: bool

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Columns:
        """As these predictions need them; the last of them is of a readable image, if any is."""
        last = predictions[-1] if predictions else Prediction("")
        ids = (guess.id is not None for each in predictions for guess in each.predictions)
        return cls(len(last.predictions), any(ids), was_checked(last))


def csv_rows(predictions: Iterable[Prediction], columns: Columns | None) -> Iterator[str]:
    """Columns path, error, name_1, probability_1 and so on; the precision, where it varies."""
    waiting: list[Prediction] = []
    source = iter(predictions)
    if columns is None:
        for each in source:
            waiting.append(each)
            if each.predictions:  # the first readable image tells how many answers there are
                break
        columns = Columns.of(waiting)
    places = range(1, 1 + columns.num_answers)
    header = ["path", "error", *(f"{what}_{i}" for i in places for what in ("name", "probability"))]
    varies = columns.with_precision
    yield csv_row([*header, *["precision"] * varies])
    for each in chain(waiting, source):
        cells = [each.path, each.error or ""]
        for guess in each.predictions:
            cells += [guess.name, in_digits(guess.probability)]
        cells += [""] * (len(header) - len(cells))
        yield csv_row([*cells, *[precision_of(each)] * varies])


def was_checked(prediction: Prediction) -> bool:
    """Whether answers may be in a faster precision, as far as that agrees with the exact one."""
    return prediction.computed is not None and prediction.computed.second_look is not None


def precision_of(prediction: Prediction) -> str:
    """That an image was answered in; empty where it was not answered."""
    return "" if prediction.computed is None else prediction.computed.compute.precision


def csv_row(cells: Iterable[str]) -> str:
    """A line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def in_digits(probability: float) -> str:
    """Six significant digits: enough for any ranking, and small ones do not become zero."""
    return f"{probability:.6g}"


def _spelled(guess: Guess) -> dict[str, Any]:
    """An answer in Parquet's strings, which are UTF-8."""
    id_ = None if guess.id is None else spelled(guess.id)
    answer = replace(guess, name=spelled(guess.name), id=id_).to_json()
    return {**answer, "probability": guess.probability}


def parquet_table(predictions: Iterable[Prediction], columns: Columns | None) -> bytes:
    """A Parquet file with the columns path, predictions, error and precision.

    Raises:
        MissingExtra: without pyarrow.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "the Parquet format") from None
    kinds = {"name": pyarrow.string(), "id": pyarrow.string(), "probability": pyarrow.float32()}
    answered = list(predictions)
    if not (columns or Columns.of(answered)).with_ids:
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
