"""The chart of a row of the ledger: every run a dot, what was printed a diamond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.report.charts import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOT, _MEAN, _PRINTED, _GRID = "#0072B2", "#24292f", "#D55E00", "#d1d9e0"
_LINE_INCHES, _FRAME_INCHES = 0.42, 1.15


@dataclass(frozen=True)
class DottedLine:
    """One figure of the chart.

    Args:
        label: what stands beside it.
        errors: percent, one a run.
        intervals: (low, high) of each.
        printed: percent, what others got.
    """

    label: str
    errors: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    printed: tuple[float, ...] = ()


def draw_lines(lines: Sequence[DottedLine], title: str, path: Path) -> Path:
    """Draw top-1 errors, a line a figure.

    Args:
        lines: from top to bottom.
        title: of the chart.
        path: its suffix decides the format.
    """
    from matplotlib.figure import Figure

    height = _FRAME_INCHES + _LINE_INCHES * len(lines)
    figure = Figure(figsize=(7.2, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    for place, line in enumerate(lines):
        _draw(axes, place, line)
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    axes.invert_yaxis()
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("top-1 error (%): dots = runs with 95 % intervals, bar = mean")
    if any(line.printed for line in lines):
        axes.set_xlabel(f"{axes.get_xlabel()},\ndiamond = printed, under its own conditions")
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_figure(figure, path)


def _draw(axes: Axes, place: int, line: DottedLine) -> None:
    for number, (error, (low, high)) in enumerate(zip(line.errors, line.intervals, strict=True)):
        y = place + 0.13 * (number - (len(line.errors) - 1) / 2)
        axes.plot([low, high], [y, y], color=_DOT, linewidth=1, alpha=0.45)
        axes.plot([error], [y], "o", color=_DOT, markersize=4.5)
    mean = sum(line.errors) / len(line.errors)
    axes.plot([mean, mean], [place - 0.3, place + 0.3], color=_MEAN, linewidth=2)
    for value in line.printed:
        axes.plot([value], [place], "D", color="white", markeredgecolor=_PRINTED, markersize=6)
