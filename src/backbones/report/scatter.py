"""Published accuracy against what a network costs: a chart a cost, a point a network."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.errors import WrongUse
from backbones.report.charts import save_figure
from backbones.report.compared import Accuracy, Compared, ComparedNetworks
from backbones.report.labelling import LabelBox, is_far, place_labels, steps_along
from backbones.units import human_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# The first seven stay apart for colour-blind readers (Wong 2011, Nature Methods 8:441); lines and
# labels tell the others apart too.
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#24292f", "#7b4f9d"),
    *("#8c564b", "#6b8e23", "#c51b7d", "#1b7f79", "#a3a300", "#4b5fd1", "#b22222"),
)
_INK = "#24292f"
_GREY, _GRID = "#57606a", "#d1d9e0"
_LABELS = {"imagenet": "ImageNet", "cifar10": "CIFAR-10", "mnist": "MNIST"}
_PANEL_INCHES = (4.7, 4.0)
_ROOMY = 14  # so many names fit into such a chart
_LINE_INCHES = 0.14  # a line of text below
_FONT_POINTS = 7.5
_RADIUS_POINTS = 4.5  # of a point, with some air
_WIDEST_INCHES = 14.8  # shown 1280 px wide, the smallest letters have 9 px
_FEW = 6  # names of networks that are not drawn
_CHARACTERS_AN_INCH = 17  # of the lines below the charts


@dataclass(frozen=True)
class Cost:
    """One axis to draw accuracy against.

    Args:
        title: of the axis.
        name: of the figure.
    """

    title: str
    name: str

    def of(self, row: Compared) -> float:
        if self.name == "images_per_s":
            assert row.measured is not None
            return row.measured.images_per_s
        return float(getattr(row, self.name))


@dataclass(frozen=True)
class _Chart:
    """One chart, and what is in it."""

    axes: Axes
    rows: Sequence[Compared]
    cost: Cost
    colours: dict[str, str]

    @property
    def families(self) -> list[list[Compared]]:
        """The rows, family by family."""
        return [[row for row in self.rows if row.family == name] for name in self.colours]

    def pixels(self, row: Compared) -> tuple[float, float]:
        """Where a network's point is on the figure."""
        x, y = self.axes.transData.transform((self.cost.of(row), _percent(row)))
        return float(x), float(y)


def check_format(path: Path) -> None:
    """Refuse what cannot be drawn, before anything is measured for it.

    Raises:
        WrongUse: no such format.
    """
    if path.suffix.lower() not in FORMATS:
        raise WrongUse(f"{path} ends in {path.suffix!r}, expected one of {', '.join(FORMATS)}")


def draw_comparison(found: ComparedNetworks, path: Path) -> Path:
    """Draw published top-1 accuracy against MACs, parameters and measured images a second.

    Charts of one set of labels follow one another: accuracies on ImageNet and CIFAR-10 do not
    compare. A line joins those of a family that no cheaper member beats. A network whose accuracy
    was printed for another size of images than its costs are for is a hollow point.

    Args:
        found: networks; those without a published accuracy are named below the charts.
        path: of the chart; its suffix says in which format.

    Raises:
        WrongUse: no such format, or nothing to draw.
    """
    from matplotlib.figure import Figure

    check_format(path)
    drawn = [row for row in found.rows if row.published is not None]
    if not drawn:
        raise WrongUse(
            "nothing to draw: no accuracy is published for any of these networks; the table needs"
            " none"
        )
    costs = [Cost(f"multiply-accumulates{_of(found.batch)}", "macs")]
    costs.append(Cost("parameters", "params"))
    if all(row.measured for row in drawn):
        threads = f"{found.threads} thread{'s'[: found.threads > 1]}"
        how = f"{found.precision}, {found.device}, {threads}, batch {found.batch}"
        costs.append(Cost(f"images a second, measured here\n({how})", "images_per_s"))
    sets = list(dict.fromkeys(row.labels for row in drawn))
    most = max(sum(row.labels == label for row in drawn) for label in sets)
    larger = max(1.0, (most / _ROOMY) ** 0.6)  # more names need more room
    columns = max(1, min(len(costs), int(_WIDEST_INCHES / (_PANEL_INCHES[0] * larger))))
    lines = -(-len(costs) // columns) * len(sets)
    width = _PANEL_INCHES[0] * larger * columns
    below = _below(found, int(width * _CHARACTERS_AN_INCH))
    height = _PANEL_INCHES[1] * larger * lines + _LINE_INCHES * (len(below) + 2)
    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    grid = figure.add_gridspec(lines, columns)
    colours = _colours(drawn)
    charts = []
    for number, label in enumerate(sets):
        first = None
        for place, cost in enumerate(costs):
            line = number * lines // len(sets) + place // columns
            axes = figure.add_subplot(grid[line, place % columns], sharey=first)
            first = first or axes
            members = [row for row in drawn if row.labels == label]
            charts.append(_Chart(axes, members, cost, colours))
            _draw_points(charts[-1])
            if place % columns == 0:
                title = f"published top-1 accuracy, {_LABELS.get(label or '', label)} (%)"
                axes.set_ylabel(title, fontsize=9, color=_INK)
            else:
                axes.tick_params(labelleft=False)
    _legend(figure, colours)
    figure.supxlabel("\n".join(below), fontsize=_FONT_POINTS, color=_GREY, x=0.01, ha="left")
    _write_labels(figure, charts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_figure(figure, path)


def _of(batch: int) -> str:
    return f" of {batch} images" if batch > 1 else ""


def _colours(rows: Sequence[Compared]) -> dict[str, str]:
    """A colour a family, the oldest first, however the rows are sorted."""
    families = dict.fromkeys(f for _, f in sorted({(row.year or 0, row.family) for row in rows}))
    return {family: _COLOURS[i % len(_COLOURS)] for i, family in enumerate(families)}


def _draw_points(chart: _Chart) -> None:
    axes, cost = chart.axes, chart.cost
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(cost.title, fontsize=9, color=_INK)
    axes.grid(color=_GRID, linewidth=0.6, which="major")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_GREY, which="both", labelsize=8)
    axes.margins(x=0.16, y=0.12)
    for family, colour in chart.colours.items():
        members = sorted((r for r in chart.rows if r.family == family), key=cost.of)
        x = [cost.of(row) for row in members]
        y = [_percent(row) for row in members]
        best = frontier(members, cost)
        axes.plot([cost.of(row) for row in best], [_percent(row) for row in best], color=colour,
                  linewidth=1, alpha=0.35, zorder=2)  # fmt: skip
        filled = [colour if row.accuracy_is_for_this_input else "white" for row in members]
        axes.scatter(x, y, s=34, c=filled, edgecolors=colour, linewidths=1.4, zorder=3)


def frontier(members: Sequence[Compared], cost: Cost) -> list[Compared]:
    """The members of a family that no cheaper one beats, the cheapest first."""
    best: list[Compared] = []
    sign = -1.0 if cost.name == "images_per_s" else 1.0  # who is faster costs less
    for row in sorted(members, key=lambda row: (sign * cost.of(row), -_percent(row))):
        if not best or _percent(row) > _percent(best[-1]):
            best.append(row)
    return best


def _tick(value: float) -> str:
    """A figure on an axis: 500 M, 1 G, 0.5."""
    if value < 1000:
        return f"{value:g}"
    return human_count(value).replace(".0", "")


def _percent(row: Compared) -> float:
    assert row.published is not None
    return 100 * row.published.top1_accuracy


def _legend(figure: Figure, colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=family)
        for family, colour in colours.items()
    ]
    columns = min(len(handles), int(figure.get_figwidth() / 1.75))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, frameon=False, fontsize=8.5
    )


_WHOSE: dict[Accuracy, str] = {
    "torchvision": "of one series of weights (tv_in1k; CIFAR-10: akamaster's)",
    "paper": "as each paper printed it for one network; recipes and views differ",
    "best": "the best known here for these sizes of images, some trained on more images",
}


def _below(found: ComparedNetworks, columns: int) -> list[str]:
    """Where the accuracies come from, what hollow points are, who is missing."""
    rows = found.rows
    lines = [f"Accuracy: {_WHOSE[found.accuracy]}."]
    sources = {f"{p.protocol} [{p.source}]" for row in rows if (p := row.published)}
    if found.accuracy != "paper":  # there, each network has its own; the table names them
        lines.append(f"Measured: {'; '.join(sorted(sources))}.")
    if found.accuracy == "best":
        weights = [row.weights or "" for row in rows if row.published]
        lines.append(f"Weights: {', '.join(weights)}.")
    if any(row.published and not row.accuracy_is_for_this_input for row in rows):
        lines.append("Hollow: printed for images of another size than the costs are for.")
    without = [row.name for row in rows if row.published is None]
    if without:
        more = f" and {len(without) - _FEW} more" if len(without) > _FEW else ""
        listed = ", ".join(without[:_FEW])
        lines.append(f"Not drawn, no such accuracy published: {listed}{more}.")
    return [part for line in lines for part in textwrap.wrap(line, columns)]


def _write_labels(figure: Figure, charts: Sequence[_Chart]) -> None:
    """Write the names once everything else has its final place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for chart in charts:
        texts = [
            chart.axes.annotate(
                row.name,
                (chart.cost.of(row), _percent(row)),
                xytext=(0, 0),
                textcoords="offset points",
                fontsize=_FONT_POINTS,
                color=_INK,
                ha="center",
                va="center",
                parse_math=False,
                zorder=4,
            )
            for row in chart.rows
        ]
        renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        extents = [text.get_window_extent(renderer) for text in texts]
        sizes = [(extent.width + 3, extent.height + 2) for extent in extents]
        points = [chart.pixels(row) for row in chart.rows]
        frame = chart.axes.get_window_extent(renderer)
        inside = LabelBox(frame.x0, frame.y0, frame.x1, frame.y1)
        pixels = figure.dpi / 72
        radius = _RADIUS_POINTS * pixels
        lines = [
            step
            for members in chart.families
            for first, second in pairwise(frontier(members, chart.cost))
            for step in steps_along(chart.pixels(first), chart.pixels(second), radius)
        ]
        boxes = place_labels(points, sizes, inside, radius, lines)
        for text, point, box in zip(texts, points, boxes, strict=True):
            middle = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
            text.set_position(((middle[0] - point[0]) / pixels, (middle[1] - point[1]) / pixels))
            if is_far(point, box, radius):
                _lead(chart.axes, point, box.nearest(point))


def _lead(axes: Axes, point: tuple[float, float], end: tuple[float, float]) -> None:
    inverse = axes.transData.inverted()
    (x0, y0), (x1, y1) = inverse.transform([point, end])
    axes.plot([x0, x1], [y0, y1], color=_GREY, linewidth=0.5, alpha=0.7, zorder=1.5)
