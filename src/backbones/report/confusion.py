"""The confusion matrix, as an image and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backbones.language import said
from backbones.report.charts import label_font, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Confusion = Sequence[Sequence[int]] | npt.NDArray[np.int64]

_NUMBERS_UP_TO = 25  # classes; beyond, numbers would be too small to read
_NAMES_UP_TO = 120
_FEWEST = 0.05  # share of errors that the scale ends with where all are fewer


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
    """Draw the matrix: what is right in pale blue, errors from yellow to red.

    The scale of the errors ends at the largest of them, so that few among many are seen. Counts
    with percentages of the true class are written up to 25 classes and names up to 120; beyond,
    the axes count classes.

    Args:
        confusion: rows are true classes, columns predicted ones.
        names: one a class.
        path: where the image goes; the suffix decides its format (.png, .svg, .pdf).

    Returns:
        `path`.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, dtype=np.int64)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    side = min(24.0, max(4.6, 2.4 + (0.55 if len(names) <= _NUMBERS_UP_TO else 0.2) * len(names)))
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _colour_cells(axes, shares)
    right = int(np.trace(counts))
    title = said(
        "{right} of {all} right ({share:.2f} %)",
        right=right,
        all=counts.sum(),
        share=100 * right / max(counts.sum(), 1),
    )
    _letter(axes.set_title, title)
    _letter(axes.set_xlabel, said("predicted class"))
    _letter(axes.set_ylabel, said("true class"))
    _name_classes(axes, names)
    if len(names) <= _NUMBERS_UP_TO:
        _write_counts(axes, counts, shares)
    return save_figure(figure, path)


def _letter(put: Callable[..., object], text: str) -> None:
    """Write a title or the like in a font that has its characters."""
    font, (written,) = label_font([text])
    if font is None:
        put(written)
    else:
        put(written, fontproperties=font, fontsize=11)


def _colour_cells(axes: Axes, shares: npt.NDArray[np.float64]) -> None:
    """Two scales: of the errors, which has a bar beside it, and of what is right."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, PowerNorm
    from matplotlib.ticker import PercentFormatter

    errors = np.where(np.eye(len(shares), dtype=bool), 0.0, shares)
    # Among many classes a confusion is a small share; the root makes it visible.
    norm = PowerNorm(0.5, vmin=0, vmax=max(float(errors.max()), _FEWEST))
    heat = ListedColormap(colormaps["YlOrRd"](np.linspace(0.15, 0.66, 256)))
    image = axes.imshow(np.ma.masked_equal(errors, 0.0), cmap=heat, norm=norm)
    right = np.ma.masked_equal(np.where(np.eye(len(shares), dtype=bool), shares, 0.0), 0.0)
    pale = ListedColormap(colormaps["Blues"](np.linspace(0.08, 0.42, 256)))
    axes.imshow(right, cmap=pale, vmin=0.0, vmax=1.0)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    _letter(bar.set_label, said("errors, share of the true class"))
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


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
    """In each cell the count, and below it the percentage of its row."""
    size = 9.5 if counts.max() < 1000 else 8.0
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            percent = f"{100 * shares[row, column]:.1f}".removesuffix(".0")
            for text, below, points in (
                (str(counts[row, column]), -0.14, size),
                (f"{percent} %", 0.24, 7.0),
            ):
                axes.text(
                    *(column, row + below, text),
                    ha="center",
                    va="center",
                    color="#1f2328",
                    fontsize=points,
                )
