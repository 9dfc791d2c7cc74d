"""What a drawing consists of: plain shapes with coordinates in points, y downwards.

The layout makes them, the renderer draws them, and a test can ask them what overlaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
Area = tuple[float, float, float, float]  # left, top, right, bottom
ACTIVATION = "#e8762b"


@dataclass(frozen=True)
class Cuboid:
    """A feature map: a front face, with a top and a side that recede to the upper right.

    Args:
        x, y: of the front face's upper left corner.
        width, height: of the front face.
        depth: how far the other faces reach, to the right and upwards.
        colour: "#rrggbb", of the front face.
        band: how much of the front has another colour (an activation), 0 to 1.
        band_first: the band is on the left: the activation comes before the layer.
        band_colour: "#rrggbb".
        key: what it stands for.
    """

    x: float
    y: float
    width: float
    height: float
    depth: float
    colour: str
    band: float = 0.0
    band_first: bool = False
    key: str = ""
    band_colour: str = ACTIVATION

    @property
    def area(self) -> Area:
        return (self.x, self.y - self.depth, self.x + self.width + self.depth, self.y + self.height)

    def moved(self, dx: float, dy: float) -> Cuboid:
        return replace(self, x=self.x + dx, y=self.y + dy)


@dataclass(frozen=True)
class Plate:
    """A rectangle with round corners.

    Args:
        x, y, width, height: its place and size.
        fill, edge: colours; "" for none.
        radius: of the corners.
        is_ground: it lies under other things, as the frame of a stage.
        dashed: of its edge.
        key: what it stands for.
    """

    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str
    radius: float = 3.0
    is_ground: bool = False
    dashed: bool = False
    key: str = ""

    @property
    def area(self) -> Area:
        return (self.x, self.y, self.x + self.width, self.y + self.height)

    def moved(self, dx: float, dy: float) -> Plate:
        return replace(self, x=self.x + dx, y=self.y + dy)


@dataclass(frozen=True)
class Text:
    """A line of text.

    Args:
        x, y: of the middle of its height, and of its start, middle or end as `anchor` says.
        text: what it says.
        size: of the font.
        width: measured.
    """

    x: float
    y: float
    text: str
    size: float
    width: float
    bold: bool = False
    colour: str = "#1f2328"
    anchor: Anchor = "middle"

    @property
    def area(self) -> Area:
        left = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * self.width
        half = self.size * 0.55
        return (left, self.y - half, left + self.width, self.y + half)

    def moved(self, dx: float, dy: float) -> Text:
        return replace(self, x=self.x + dx, y=self.y + dy)


@dataclass(frozen=True)
class Line:
    """A way from one thing to another.

    Args:
        points: of the way; corners are rounded.
        colour: "#rrggbb".
        head: an arrow's head at the end.
        source, target: keys of what it connects.
        radius: of the corners.
        width: of the stroke.
        smooth: a curve through the points instead of straight pieces.
        dashed: what only training runs.
    """

    points: tuple[Point, ...]
    colour: str = "#57606a"
    head: bool = True
    source: str = ""
    target: str = ""
    radius: float = 5.0
    width: float = 0.9
    smooth: bool = False
    dashed: bool = False

    @property
    def area(self) -> Area:
        xs, ys = zip(*self.points, strict=True)
        return (min(xs), min(ys), max(xs), max(ys))

    def moved(self, dx: float, dy: float) -> Line:
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


Item = Cuboid | Plate | Text | Line


@dataclass(frozen=True)
class Scene:
    """A whole drawing.

    Args:
        width, height: pt.
        items: what is drawn, the lowest first.
    """

    width: float
    height: float
    items: tuple[Item, ...] = field(repr=False)

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that is written, in the order of drawing."""
        return tuple(item.text for item in self.items if isinstance(item, Text))

    def overlaps(self) -> list[tuple[Item, Item]]:
        """Pairs of boxes and texts that lie on each other and should not.

        Frames lie under everything, and lines may cross anything.
        """
        solid = [
            item
            for item in self.items
            if isinstance(item, Cuboid | Text) or (isinstance(item, Plate) and not item.is_ground)
        ]
        solid.sort(key=lambda item: item.area[0])
        found: list[tuple[Item, Item]] = []
        for number, item in enumerate(solid):
            for other in solid[number + 1 :]:
                if other.area[0] >= item.area[2]:
                    break
                if _meet(item.area, other.area) and not _labels(item, other):
                    found.append((item, other))
        return found


def _meet(a: Area, b: Area, slack: float = 0.05) -> bool:
    return (
        a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack
    )


def _labels(item: Item, other: Item) -> bool:
    """A text that lies wholly on a plate is written on it."""
    text, plate = (item, other) if isinstance(item, Text) else (other, item)
    if not isinstance(text, Text) or not isinstance(plate, Plate):
        return False
    a, b = text.area, plate.area
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def moved(items: Iterable[Item], dx: float, dy: float) -> tuple[Item, ...]:
    """The same things elsewhere."""
    return tuple(item.moved(dx, dy) for item in items)


def area_of(items: Sequence[Item]) -> Area:
    """The rectangle that holds all of them; empty at the origin where there are none."""
    if not items:
        return (0.0, 0.0, 0.0, 0.0)
    lefts, tops, rights, bottoms = zip(*(item.area for item in items), strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms))
