"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8, no download."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.data.sets.splitting import Holdout
from backbones.data.source import ArrayImages, DataSource, Split

TEST_FRACTION = 0.2
LARGEST_VALUE = 16  # each pixel counts the dark points of a 4 x 4 block


def read(holdout: Holdout) -> DataSource:
    """The digits as uint8 (N, 8, 8, 1), 0 to 255; a fifth of each class is "test"."""
    table = _table()
    values = table[:, :-1].reshape(-1, 8, 8, 1)
    array = np.rint(values * (255.0 / LARGEST_VALUE)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    classes = tuple(str(digit) for digit in range(10))
    whole = Split("train", classes, labels, ArrayImages(array, "digits"))
    fifth = Holdout(TEST_FRACTION, holdout.seed)
    parts = fifth.split(whole, [str(i) for i in range(len(whole))], "test")
    return DataSource("digits", "digits", classes, parts, (fifth.describe(parts, "test"),))


def _table() -> npt.NDArray[np.float64]:
    """Rows of 64 pixel values and the digit."""
    # Reading the file that scikit-learn ships is 20 times faster than importing its data sets.
    found = importlib.util.find_spec("sklearn")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as lines:
                return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    return np.column_stack([data, target])
