"""Images of a search: how it went, and what each field did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.report.charts import label_font, new_charts, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"finished": "#0969da", "pruned": "#afb8c1"}
_BEST = "#bc4c00"


@dataclass(frozen=True)
class TrialPoint:
    """One trial.

    Args:
        number: counted from 0.
        value: the figure that should fall, at its lowest.
        finished: False where it was pruned.
        parameters: value by field; text where the field is a list.
        measured: the figure at each evaluation.
    """

    number: int
    value: float
    finished: bool
    parameters: Mapping[str, float | str]
    measured: tuple[float, ...]


def draw_history(points: Sequence[TrialPoint], path: Path, *, figure_name: str, title: str) -> Path:
    """The figure of each trial and the best so far; beside it, the course of each trial.

    Args:
        points: of the trials that measured something, in their order; one at least finished.
        path: .png or .svg.
        figure_name: of the figure, such as "validation error (%)".
        title: of the chart.
    """
    figure, (trials, courses) = _figure(1, 2, title)
    top = _upper_edge([point.value for point in points])
    highest = _upper_edge([value for point in points for value in point.measured])
    best = _best(points)
    trials.set(xlabel="trial", ylabel=figure_name)
    _scatter(trials, [(point.number, point) for point in points], top)
    numbers, lowest = _best_so_far(points)
    trials.step(numbers, lowest, where="post", color=_BEST, linewidth=1.4, label="best so far")
    trials.legend(frameon=False, fontsize=8)
    courses.set(xlabel="evaluation", ylabel=figure_name)
    for point in sorted(points, key=lambda one: (one is best, one.finished)):
        colour = _BEST if point is best else _COLOURS["finished" if point.finished else "pruned"]
        places = range(1, len(point.measured) + 1)
        courses.plot(
            places,
            [min(value, highest) for value in point.measured],
            color=colour,
            marker="o",
            markersize=3,
            linewidth=2.0 if point is best else 0.9,
        )
    for axes, edge in ((trials, top), (courses, highest)):
        _whole_ticks(axes)
        _scale(axes, edge)
    return save_figure(figure, path)


def draw_slices(
    points: Sequence[TrialPoint],
    path: Path,
    *,
    axes_of: Mapping[str, str | Sequence[str]],
    importances: Mapping[str, float],
    figure_name: str,
    title: str,
) -> Path:
    """The figure over each field's values, the most important field first.

    Args:
        points, path, figure_name, title: as of `draw_history`.
        axes_of: by field, in the order in which they are shown without importances: "log" or
            "linear", or the values of a list, as they are to be ordered.
        importances: share of the spread that each field explains; may be empty.
    """
    names = sorted(axes_of, key=lambda name: -importances.get(name, 0.0))
    across = 2 if len(names) == 4 else min(3, len(names))
    figure, charts = _figure(-(-len(names) // across), across, title)
    top = _upper_edge([point.value for point in points])
    for axes, name in zip(charts, names, strict=False):
        share = f"\nexplains {100 * importances[name]:.0f} %" if name in importances else ""
        _label(axes, name + share)
        axes.set_ylabel(figure_name)
        _scale(axes, top)
        _slice(axes, points, name, axes_of[name], top)
    for axes in charts[len(names) :]:
        axes.set_axis_off()
    return save_figure(figure, path)


def _slice(
    axes: Axes, points: Sequence[TrialPoint], name: str, kind: str | Sequence[str], top: float
) -> None:
    if isinstance(kind, str):
        axes.set_xscale(kind)
        _scatter(axes, [(float(point.parameters[name]), point) for point in points], top)
        if kind == "log":
            _powers(axes)
        return
    places = {text: place for place, text in enumerate(kind)}
    _scatter(axes, [(places[str(point.parameters[name])], point) for point in points], top)
    font, spelled = label_font(list(kind))
    axes.set_xticks(range(len(kind)), spelled, rotation=20 if len(kind) > 3 else 0)
    if font is not None:
        for label in axes.get_xticklabels():
            label.set_fontproperties(font)
    axes.set_xlim(-0.5, len(kind) - 0.5)


def _scatter(axes: Axes, placed: Sequence[tuple[float, TrialPoint]], top: float) -> None:
    """A point for each trial, and a ring around the best; those above the edge are triangles."""
    for finished, state in ((False, "pruned"), (True, "finished")):
        for marker, outside in (("o", False), ("^", True)):
            shown = [
                (x, min(point.value, top))
                for x, point in placed
                if point.finished == finished and (point.value > top) == outside
            ]
            if shown:
                across, up = zip(*shown, strict=True)
                label = f"{state}, above the scale" if outside else state
                axes.scatter(across, up, s=22, color=_COLOURS[state], marker=marker, label=label)
    best = _best([point for _, point in placed])
    for x, point in placed:
        if point is best:
            axes.scatter([x], [point.value], s=70, facecolors="none", edgecolors=_BEST)


def _best(points: Sequence[TrialPoint]) -> TrialPoint | None:
    return min(
        (point for point in points if point.finished), key=lambda one: one.value, default=None
    )


def _best_so_far(points: Sequence[TrialPoint]) -> tuple[list[int], list[float]]:
    numbers: list[int] = []
    lowest: list[float] = []
    for point in points:
        if point.finished:
            numbers.append(point.number)
            lowest.append(min([*lowest[-1:], point.value]))
    if points and numbers and points[-1].number > numbers[-1]:
        numbers.append(points[-1].number)
        lowest.append(lowest[-1])
    return numbers, lowest


def _upper_edge(values: Sequence[float]) -> float:
    """Twice what four of five stay below, so that a few bad trials do not flatten the others."""
    ordered = sorted(values)
    usual = ordered[int(0.8 * (len(ordered) - 1))]
    return min(ordered[-1], 2 * usual or ordered[-1]) or 1.0


def _scale(axes: Axes, top: float) -> None:
    axes.set_ylim(-0.04 * top, 1.06 * top)


def _powers(axes: Axes) -> None:
    """Ticks of an axis of powers that do not run into each other, over one decade or many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    if high < 100 * low:  # powers of ten alone would be one tick, or none
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _whole_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _label(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, parse_math=False)


def _figure(down: int, across: int, title: str) -> tuple[Figure, list[Axes]]:
    size = (max(4.4, 3.4 * across), 3.3 * down + 0.3)
    return new_charts(title, size, down, across)
