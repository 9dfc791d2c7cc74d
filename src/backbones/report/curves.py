"""Loss, error and learning rate over a training run, as PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones.errors import BadData, NotFound
from backbones.report.charts import new_charts, save_figure
from backbones.text import parse

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEP, _TRAIN, _HELD_OUT = "#9ec5fe", "#0969da", "#bc4c00"
_KINDS = ("step", "epoch", "evaluation")
_ROWS = ("loss", "top-1 error (%)", "learning rate")

_Kinds = Mapping[str, list[Mapping[str, Any]]]
_Series = tuple[tuple[str, str, str], ...]  # kind of record, name, colour


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file: one JSON object a line.

    A last line that is cut off, as a run that is being written or was killed may have, is left
    out.

    Raises:
        NotFound: there is no such file.
        BadData: a line before the last one is not a JSON object.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise NotFound(f"no metrics file {path}; a training run writes one") from None
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = parse(line.decode(), "json", f"{path} line {number}")
        except (BadData, UnicodeError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif number < len(lines):
            raise BadData(f"{path} line {number} is not a JSON object; the file was changed")
    return records


def draw_curves(
    metrics: Path | Iterable[Mapping[str, Any]], folder: Path, *, title: str = "", harder: str = ""
) -> tuple[Path, Path]:
    """Draw a run's curves over its epochs.

    Args:
        metrics: a run's metrics.jsonl, or its records. A record says what it is under "record":
            "step", "epoch" (training images) or "evaluation" (held-out images).
        folder: where `curves.png` and `curves.svg` go.
        title: of the chart.
        harder: what training images have and held-out ones have not, "augmentation": their loss
            and error are higher for it.

    Returns:
        The two files.

    Raises:
        NotFound: there is no such metrics file.
        BadData: there is nothing to draw.
    """
    records = read_metrics(metrics) if isinstance(metrics, Path) else list(metrics)
    kinds: _Kinds = {
        kind: [record for record in records if record.get("record") == kind] for kind in _KINDS
    }
    if not any(kinds.values()):
        raise BadData("the run has no steps, epochs or evaluations yet; nothing to draw")
    per_epoch = _steps_per_epoch(kinds)
    figure, charts = new_charts(title, (7.2, 8.0), len(_ROWS), sharex=True, height_ratios=(3, 3, 2))
    for axes, label in zip(charts, _ROWS, strict=True):
        axes.set_ylabel(label)
    charts[-1].set_xlabel("epoch" if per_epoch else "step")
    scale = per_epoch or 1.0
    training = f"training, with {harder}" if harder else "training"
    series = (("epoch", training, _TRAIN), ("evaluation", "held out", _HELD_OUT))
    _draw_losses(charts[0], kinds, scale, series)
    _draw_errors(charts[1], kinds, scale, series)
    _draw_rate(charts[2], kinds, scale)
    last = max(float(record["step"]) for records in kinds.values() for record in records) / scale
    charts[-1].set_xlim(0, 1.02 * last)
    charts[-1].set_xticks(_ticks(last))
    return (
        save_figure(figure, folder / "curves.png"),
        save_figure(figure, folder / "curves.svg"),
    )


def _ticks(last: float) -> list[float]:
    """Whole numbers from 0, and the last one: where a run ended is read off the axis."""
    from matplotlib.ticker import MaxNLocator

    end = math.floor(last + 1e-9)
    found = [tick for tick in MaxNLocator(integer=True).tick_values(0, last) if tick <= end]
    return [*(tick for tick in found if end - tick > 0.06 * last), float(end)]


def _steps_per_epoch(kinds: _Kinds) -> float | None:
    """How many steps an epoch has, as far as the records tell."""
    for record in kinds["epoch"]:
        if record.get("epoch"):
            return float(record["step"]) / float(record["epoch"])
    return None


def _points(
    records: Iterable[Mapping[str, Any]], name: str, scale: float
) -> tuple[list[float], list[float]]:
    """The places and values of one number; a value that is missing or not finite is a gap."""
    x, y = [], []
    for record in records:
        if name in record:
            value = record[name]
            x.append(float(record["step"]) / scale)
            y.append(float(value) if value is not None else math.nan)
    return x, y


def _line(axes: Axes, x: list[float], y: list[float], label: str, colour: str) -> None:
    # A marker for every point as long as they can be told apart; one point is seen only so.
    marker = "o" if len(x) <= 40 else ""
    axes.plot(x, y, color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=label)


def _draw_losses(axes: Axes, kinds: _Kinds, scale: float, series: _Series) -> None:
    steps = _points(kinds["step"], "loss", scale)
    if steps[0]:
        axes.plot(*steps, color=_STEP, linewidth=0.8, label="training, each step")
    for kind, label, colour in series:
        x, y = _points(kinds[kind], "loss", scale)
        if x:
            _line(axes, x, y, label, colour)
    _finish(axes)


def _draw_errors(axes: Axes, kinds: _Kinds, scale: float, series: _Series) -> None:
    for kind, label, colour in series:
        x, y = _points(kinds[kind], "top1_error_percent", scale)
        if x:
            _line(axes, x, y, label, colour)
    x, y = _points(kinds["evaluation"], "top1_error_percent", scale)
    finite = [(value, place) for place, value in zip(x, y, strict=True) if math.isfinite(value)]
    if finite:
        value, place = min(finite)
        axes.plot([place], [value], "o", color=_HELD_OUT, markersize=8, fillstyle="none")
        axes.annotate(
            f"best {value:.2f} %",
            (place, value),
            xytext=(0, 10),
            textcoords="offset points",
            ha="right" if place > 0.7 * max(x) else "left",
            color=_HELD_OUT,
        )
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the text above a first point
    _finish(axes)


def _draw_rate(axes: Axes, kinds: _Kinds, scale: float) -> None:
    x, y = _points(kinds["step"] or kinds["epoch"], "lr", scale)
    _line(axes, x, y, "", "#57606a")
    # Schedules that divide by ten want a logarithmic scale; a cosine, which only ends near zero,
    # or a short warm-up, does not.
    used = sorted(value for value in y if value > 0)
    if used and used[-1] / used[len(used) // 10] > 50:
        axes.set_yscale("log")
    elif used:
        axes.set_ylim(0, 1.1 * used[-1])


def _finish(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color="#656d76")
