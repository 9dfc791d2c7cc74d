"""Out-of-fold answers as a table: what stacking several networks needs.

One row an image with the columns path, label, fold, predicted, and `probability_NAME` of every
class. An image that could not be read has its row too, with nothing after the fold.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.errors import BadData
from backbones.files import write_atomic
from backbones.text import raw_bytes

NAME = "out_of_fold.csv"
_BEFORE = ("path", "label", "fold", "predicted")
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class HeldOutPrediction:
    """What a network that never saw an image says about it.

    Args:
        path: as the data set names the image.
        label: the true class.
        fold: that held it out.
        probabilities: of every class, in their order; empty where it could not be read.
    """

    path: str
    label: str
    fold: int
    probabilities: tuple[float, ...]


def write_out_of_fold(
    path: Path, rows: Iterable[HeldOutPrediction], classes: Sequence[str]
) -> None:
    """Write the table; the file appears whole or not at all.

    Probabilities have nine significant digits, from which a float32 is read back exactly.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*_BEFORE, *(f"probability_{name}" for name in classes)])
    for row in rows:
        shares = row.probabilities
        best = classes[int(np.argmax(shares))] if shares else ""
        cells = [f"{share:.9g}" for share in shares] or [""] * len(classes)
        table.writerow([row.path, row.label, row.fold, best, *cells])
    write_atomic(path, raw_bytes(text.getvalue()))


def read_out_of_fold(path: Path) -> list[HeldOutPrediction]:
    """Read the table back.

    Raises:
        BadData: it is missing, or not what `write_out_of_fold` wrote.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        _, *rows = csv.reader(io.StringIO(text, newline=""))
        return [
            HeldOutPrediction(
                row[0], row[1], int(row[2]), tuple(float(cell) for cell in row[4:] if cell)
            )
            for row in rows
        ]
    except (OSError, ValueError, IndexError) as error:
        raise BadData(
            f"{path} is not what training wrote ({' '.join(str(error).split())}); remove it and go"
            " on with --resume"
        ) from None


def in_order(rows: Iterable[HeldOutPrediction], names: Sequence[str]) -> list[HeldOutPrediction]:
    """The rows in the order of the data set, each image exactly once.

    Args:
        rows: of all folds.
        names: of all images.

    Raises:
        BadData: an image is missing, unknown or there twice.
    """
    listed = list(rows)
    found = {row.path: row for row in listed}
    strange = sorted(found.keys() ^ set(names))
    if strange or len(listed) != len(names):
        what = f", such as {strange[0]}" if strange else ""
        raise BadData(
            f"the folds held out {len(listed):,} images and the data has {len(names):,}{what};"
            " the data changed while they were trained: start anew"
        )
    return [found[name] for name in names]


def scores_of(
    rows: Iterable[HeldOutPrediction], classes: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Log-probabilities and labels of the images that could be read, for `metrics.measure`.

    Shapes:
        (N, K) and (N,).
    """
    place = {name: number for number, name in enumerate(classes)}
    readable = [row for row in rows if row.probabilities]
    shares = np.array([row.probabilities for row in readable]).reshape(-1, len(classes))
    labels = np.array([place[row.label] for row in readable], dtype=np.int64)
    return np.log(np.maximum(shares, _SMALLEST)), labels
