"""Draw a scene with Matplotlib, the same bytes every time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from backbones.report.drawing.lettering import FONT
from backbones.report.drawing.scene import Cuboid, Item, Line, Plate, Point, Scene, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Curve

FORMATS = ("svg", "png", "pdf")
Format = Literal["svg", "png", "pdf"]
_PT = 72.0  # in an inch
_LARGEST_PX = 12_000  # of a PNG's longer side
_HEAD = 4.2  # pt, length of an arrow's head
_DASHED = (0, (3.0, 2.0))  # widths of the line: drawn, left out


def rendered(scene: Scene, kind: Format, dots: int = 200) -> bytes:
    """A scene as the content of a file.

    Args:
        scene: what to draw.
        kind: of file.
        dots: an inch, of a PNG; fewer where it would be more than 12,000 px long.
    """
    from matplotlib import rc_context

    # Times, versions and random identifiers are left out; letters are drawn as shapes (SVG) or
    # carried along (PDF), so that no machine has to have the font.
    settings: Any = {"svg.hashsalt": "backbones", "svg.fonttype": "path", "pdf.fonttype": 42}
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": "backbones"},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": "backbones", "Producer": None},
        "png": {"Software": None},
    }
    drawn = io.BytesIO()
    with rc_context(settings):
        dots = min(dots, int(_LARGEST_PX * _PT / max(scene.width, scene.height)))
        figure_of(scene).savefig(drawn, format=kind, dpi=dots, metadata=metadata[kind])
    return drawn.getvalue()


def figure_of(scene: Scene) -> Figure:
    """A Matplotlib figure of the size of a scene, one unit a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(scene.width / _PT, scene.height / _PT), facecolor="white")
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, scene.width)
    axes.set_ylim(scene.height, 0.0)
    for item in scene.items:
        _draw(axes, item)
    return figure


def _draw(axes: Any, item: Item) -> None:
    if isinstance(item, Text):
        axes.text(
            item.x,
            item.y,
            item.text,
            fontsize=item.size,
            fontfamily=FONT,
            fontweight="bold" if item.bold else "normal",
            color=item.colour,
            ha={"start": "left", "middle": "center", "end": "right"}[item.anchor],
            va="center_baseline" if item.text in "+×" else "center",
            parse_math=False,
        )
    elif isinstance(item, Cuboid):
        _cuboid(axes, item)
    elif isinstance(item, Plate):
        _patch(axes, _rounded(item), item.fill or "none", item.edge or "none", item.dashed)
    else:
        _line(axes, item)


def _patch(
    axes: Any, curve: Curve, fill: str, edge: str, dashed: bool = False, width: float = 0.7
) -> None:
    from matplotlib.patches import PathPatch

    style = _DASHED if dashed else "solid"
    patch = PathPatch(
        curve, facecolor=fill, edgecolor=edge, linewidth=width, linestyle=style, joinstyle="round"
    )
    axes.add_artist(patch)


def _cuboid(axes: Any, box: Cuboid) -> None:
    """The side and the top first, then the front with its band."""
    x, y, right, bottom, d = box.x, box.y, box.x + box.width, box.y + box.height, box.depth
    edge = _shade(box.colour, 0.55)
    side = ((right, y), (right + d, y - d), (right + d, bottom - d), (right, bottom))
    top = ((x, y), (x + d, y - d), (right + d, y - d), (right, y))
    _patch(axes, _polygon(side), _shade(box.colour, 0.8), edge, width=0.45)
    _patch(axes, _polygon(top), _shade(box.colour, 1.25), edge, width=0.45)
    front = ((x, y), (right, y), (right, bottom), (x, bottom))
    _patch(axes, _polygon(front), box.colour, edge, width=0.45)
    if box.band:
        begin = x if box.band_first else right - box.band * box.width
        end = begin + box.band * box.width
        band = ((begin, y), (end, y), (end, bottom), (begin, bottom))
        _patch(axes, _polygon(band), box.band_colour, edge, width=0.3)


def _line(axes: Any, line: Line) -> None:
    from matplotlib.patches import PathPatch

    points = list(line.points)
    (x0, y0), (x1, y1) = points[-2:]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-6)
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    if line.head:
        points[-1] = (x1 - dx * _HEAD * 0.6, y1 - dy * _HEAD * 0.6)
        half = _HEAD * 0.42
        back = (x1 - dx * _HEAD, y1 - dy * _HEAD)
        wings = (
            (back[0] - dy * half, back[1] + dx * half),
            (back[0] + dy * half, back[1] - dx * half),
        )
        head = _polygon(((x1, y1), wings[0], wings[1]))
    curve = _smooth(points) if line.smooth else _cornered(points, line.radius)
    patch = PathPatch(
        curve, fill=False, edgecolor=line.colour, linewidth=line.width, capstyle="round"
    )
    if line.dashed:
        patch.set(linestyle=_DASHED, capstyle="butt")
    axes.add_artist(patch)
    if line.head:
        _patch(axes, head, line.colour, line.colour, width=0.2)


def _polygon(points: tuple[Point, ...]) -> Curve:
    from matplotlib.path import Path as Curve

    codes = [Curve.MOVETO, *[Curve.LINETO] * (len(points) - 1), Curve.CLOSEPOLY]
    return Curve([*points, points[0]], codes)


def _smooth(points: list[Point]) -> Curve:
    """A Bezier curve through the first and last point, drawn towards the two between them."""
    from matplotlib.path import Path as Curve

    return Curve(points, [Curve.MOVETO, *[Curve.CURVE4] * 3])


def _cornered(points: list[Point], radius: float) -> Curve:
    """Straight pieces with round corners."""
    from matplotlib.path import Path as Curve

    found: list[Point] = [points[0]]
    codes = [Curve.MOVETO]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        found += [_towards(here, before, radius), here, _towards(here, after, radius)]
        codes += [Curve.LINETO, Curve.CURVE3, Curve.CURVE3]
    return Curve([*found, points[-1]], [*codes, Curve.LINETO])


def _towards(start: Point, end: Point, distance: float) -> Point:
    """A point between two, at most half-way."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    share = min(distance / length, 0.5)
    return (start[0] + share * dx, start[1] + share * dy)


def _rounded(plate: Plate) -> Curve:
    x, y, right, bottom = plate.area
    r = min(plate.radius, plate.width / 2, plate.height / 2)
    k = 0.448 * r  # control points of a quarter of a circle
    from matplotlib.path import Path as Curve

    points = [
        (x + r, y),
        (right - r, y),
        *((right - k, y), (right, y + k), (right, y + r)),
        (right, bottom - r),
        *((right, bottom - k), (right - k, bottom), (right - r, bottom)),
        (x + r, bottom),
        *((x + k, bottom), (x, bottom - k), (x, bottom - r)),
        (x, y + r),
        *((x, y + k), (x + k, y), (x + r, y)),
        (x + r, y),
    ]
    corner = [Curve.CURVE4] * 3
    codes = [Curve.MOVETO, Curve.LINETO, *corner, Curve.LINETO, *corner]
    codes += [Curve.LINETO, *corner, Curve.LINETO, *corner, Curve.CLOSEPOLY]
    return Curve(points, codes)


def _shade(colour: str, factor: float) -> str:
    """A darker (below 1) or lighter colour."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    if factor <= 1:
        return "#" + "".join(f"{round(part * factor):02x}" for part in parts)
    return "#" + "".join(f"{round(part + (255 - part) * (factor - 1) * 2):02x}" for part in parts)
