"""Charts of learning rates: a recipe's schedule, and what a range test saw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.errors import WrongUse
from backbones.report.charts import new_charts, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _POINTS, _MARK = "#0969da", "#9ec5fe", "#bc4c00"
_KINDS = (".png", ".svg")


def draw_range_test(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    *,
    suggestion: float | None,
    path: Path,
    title: str,
) -> Path:
    """The loss over the rate, with the suggestion marked.

    Args:
        rates, losses, smoothed: of each step.
        suggestion: a rate, or None.
        path: .png or .svg.
        title: of the chart.

    Raises:
        WrongUse: another suffix.
    """
    if path.suffix.lower() not in _KINDS:
        raise WrongUse(f"{path.name} is no chart's name; expected {' or '.join(_KINDS)}")
    figure, axes = _chart(title, "learning rate", "loss")
    axes.set_xscale("log")
    axes.plot(rates, losses, ".", color=_POINTS, markersize=4, label="each step")
    axes.plot(rates, smoothed, color=_LINE, linewidth=1.8, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=_MARK, linewidth=1.4, label=f"suggested: {suggestion:.2g}")
    low, high = min(smoothed), max(smoothed[: max(3, len(smoothed) // 2)])
    axes.set_ylim(low - 0.15 * (high - low) - 1e-6, high + 0.6 * (high - low) + 1e-6)
    axes.legend(frameon=False)
    return save_figure(figure, path)


def rate_figure(
    epochs: Sequence[float],
    rates: Sequence[float],
    *,
    title: str,
    note: str = "",
    in_powers: bool = False,
    parts: Sequence[tuple[str, float]] = (),
) -> Figure:
    """A schedule: the learning rate over the epochs of a run.

    Args:
        epochs, rates: points of the curve.
        title: of the chart.
        note: a line below the axis, such as how a plateau was read.
        in_powers: of ten, for a rate that falls in factors; it must never be 0.
        parts: of the network that have a rate of their own: (name, times the rate).
    """
    figure, axes = _chart(title, f"epoch\n{note}" if note else "epoch", "learning rate")
    axes.plot(epochs, rates, color=_LINE, linewidth=1.8, label="the rest" if parts else "")
    for (name, scale), style in zip(parts, cycle(("--", "-.", ":")), strict=False):
        if scale or not in_powers:
            scaled = [scale * rate for rate in rates]
            axes.plot(epochs, scaled, style, color=_MARK, linewidth=1.6,
                      label=f"{name}: × {scale:g}")  # fmt: skip
    if parts:
        axes.legend(frameon=False)
    axes.set_xlim(left=0)
    if in_powers:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    return figure


def _chart(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure, (axes,) = new_charts(title, (7.2, 3.6))
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes
