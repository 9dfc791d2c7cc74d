"""The confusion matrix, as an image and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backbones.report.charts import label_font, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Confusion = Sequence[Sequence[int]] | npt.NDArray[np.int64]

_NUMBERS_UP_TO = 25  # classes; beyond, numbers would be too small to read
_NAMES_UP_TO = 120


def appearing(confusion: Confusion, names: Sequence[str]) -> tuple[Confusion, Sequence[str]]:
    """The part of a matrix, and its names, of the classes that are true or predicted anywhere.

    Example:
        >>> counts, names = appearing([[1, 0, 2], [0, 0, 0], [0, 0, 0]], ["cat", "cow", "dog"])
        >>> counts.tolist(), names
        ([[1, 2], [0, 0]], ['cat', 'dog'])
    """
    counts = np.asarray(confusion, dtype=np.int64)
    places = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    return counts[np.ix_(places, places)], [names[place] for place in places.tolist()]


def confusion_csv(confusion: Confusion, names: Sequence[str]) -> str:
    """Counts with a header; rows are true classes, columns predicted ones.

    Example:
        >>> print(confusion_csv([[3, 1], [0, 2]], ["cat", "dog"]), end="")
        true class,cat,dog
        cat,3,1
        dog,0,2
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *names])
    for name, row in zip(names, confusion, strict=True):
        writer.writerow([name, *(int(count) for count in row)])
    return text.getvalue()


def draw_confusion(confusion: Confusion, names: Sequence[str], path: Path) -> Path:
    """Draw the matrix: colours are shares of the true class, numbers are counts.

    Numbers are written up to 25 classes and names up to 120; beyond, the axes count classes.

    Args:
        confusion: rows are true classes, columns predicted ones.
        names: one a class.
        path: where the image goes; the suffix decides its format (.png, .svg, .pdf).

    Returns:
        `path`.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, dtype=np.int64)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    side = min(24.0, max(4.6, 2.4 + (0.55 if len(names) <= _NUMBERS_UP_TO else 0.2) * len(names)))
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    # Among many classes a confusion is a small share; the root makes it visible.
    norm = PowerNorm(1.0 if len(names) <= _NUMBERS_UP_TO else 0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap="Blues", norm=norm)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    bar.set_label("share of the true class")
    right = int(np.trace(counts))
    axes.set_title(f"{right} of {counts.sum()} right ({100 * right / max(counts.sum(), 1):.2f} %)")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    _name_classes(axes, names)
    if len(names) <= _NUMBERS_UP_TO:
        _write_counts(axes, counts, shares)
    return save_figure(figure, path)


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > _NAMES_UP_TO:
        return
    places = range(len(names))
    size = 10 if len(names) <= _NUMBERS_UP_TO else 7
    font, written = label_font(names)
    shown = [name if len(name) <= 24 else name[:23] + "…" for name in written]
    options: dict[str, Any] = {"parse_math": False}  # a class may be called "$5"
    if font is not None:
        options["fontproperties"] = font
    upright = len(names) <= 12 and max(map(len, shown)) <= 4
    axes.set_xticks(places, shown, rotation=0 if upright else 90, **options)
    axes.set_yticks(places, shown, **options)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_fontsize(size)


def _write_counts(
    axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> None:
    size = 10 if counts.max() < 1000 else 8
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.5 else "#1f2328"
            axes.text(
                *(column, row, str(counts[row, column])),
                ha="center",
                va="center",
                color=colour,
                fontsize=size,
            )
