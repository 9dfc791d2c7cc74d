"""Where to write the labels of points so that nothing is covered. Geometry only, deterministic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

# Directions of a label from its point, best first; (1, 0) is to the right.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_FINER = tuple((math.cos(a * math.pi / 8), math.sin(a * math.pi / 8)) for a in range(16))
_DISTANCES = (1.0, 1.8, 3.0, 4.5, 6.5, 9.0, 12.0, 16.0)  # of the points' radius


@dataclass(frozen=True)
class LabelBox:
    """A rectangle; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: LabelBox) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def holds(self, other: LabelBox) -> bool:
        """Whether the other lies inside."""
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and self.right >= other.right
            and self.top >= other.top
        )

    def nearest(self, point: Point) -> Point:
        """The point of this box that is nearest to a point."""
        return (
            min(max(point[0], self.left), self.right),
            min(max(point[1], self.bottom), self.top),
        )


def place_labels(
    points: Sequence[Point],
    sizes: Sequence[Point],
    frame: LabelBox,
    radius: float,
    lines: Sequence[LabelBox] = (),
) -> list[LabelBox]:
    """A place for each label, near its point, where it covers neither a point nor another label.

    The label with most neighbours chooses first. Where there is no free place, the one that covers
    least is taken.

    Args:
        points: centres of the points.
        sizes: (width, height) of the labels.
        frame: labels stay inside.
        radius: of the points, with some air around them.
        lines: what else is better not covered.

    Returns:
        Boxes, in the order of the points.

    Example:
        >>> place_labels([(50, 50)], [(20, 8)], LabelBox(0, 0, 100, 100), radius=4)
        [LabelBox(left=54.0, bottom=46.0, right=74.0, top=54.0)]
    """
    marks = [LabelBox(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    placed: dict[int, LabelBox] = {}
    leaders: list[LabelBox] = []  # from points to labels that are further away
    for index in _most_crowded_first(points, sizes):
        taken = [
            *(mark for i, mark in enumerate(marks) if i != index),
            *placed.values(),
            *leaders,
            *lines,
        ]
        best: tuple[float, LabelBox] | None = None
        for box in _candidates(points[index], sizes[index], radius):
            leader = _leader(points[index], box, radius)
            covered = sum(box.overlap(other) for other in taken)
            covered += sum(step.overlap(other) for step in leader for other in placed.values())
            covered += 0 if frame.holds(box) else 1e6 + sizes[index][0] * sizes[index][1]
            if best is None or covered < best[0]:
                best = (covered, box)
            if covered == 0:
                break
        assert best is not None
        placed[index] = best[1]
        leaders += _leader(points[index], best[1], radius)
    return [placed[index] for index in range(len(points))]


def is_far(point: Point, box: LabelBox, radius: float) -> bool:
    """Whether a line has to lead from a point to its label."""
    return math.dist(point, box.nearest(point)) > 2.2 * radius


def _most_crowded_first(points: Sequence[Point], sizes: Sequence[Point]) -> list[int]:
    def neighbours(index: int) -> int:
        (x, y), (width, height) = points[index], sizes[index]
        return sum(abs(x - a) < 1.5 * width and abs(y - b) < 3 * height for a, b in points)

    return sorted(range(len(points)), key=lambda index: (-neighbours(index), points[index]))


def _candidates(point: Point, size: Point, radius: float) -> list[LabelBox]:
    """Places around a point, the best first: each touches the circle from outside."""
    found = []
    for distance in _DISTANCES:
        for dx, dy in _SIDES if distance == 1 else _FINER:
            x = point[0] + dx * (radius * distance + size[0] / 2 * (distance == 1 or abs(dx) > 0.3))
            y = point[1] + dy * (radius * distance + size[1] / 2)
            half_width, half_height = size[0] / 2, size[1] / 2
            found.append(LabelBox(x - half_width, y - half_height, x + half_width, y + half_height))
    return found


def _leader(point: Point, box: LabelBox, radius: float) -> list[LabelBox]:
    """The line from a point to its label as small boxes; none where the label is near."""
    if not is_far(point, box, radius):
        return []
    return steps_along(point, box.nearest(point), radius)


def steps_along(begin: Point, end: Point, radius: float) -> list[LabelBox]:
    """A line as small boxes, a radius apart, without its ends."""
    steps = max(2, math.ceil(math.dist(begin, end) / radius))
    found = []
    for step in range(1, steps):
        x = begin[0] + (end[0] - begin[0]) * step / steps
        y = begin[1] + (end[1] - begin[1]) * step / steps
        found.append(LabelBox(x - radius / 4, y - radius / 4, x + radius / 4, y + radius / 4))
    return found
