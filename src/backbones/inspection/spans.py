"""What the units of a map see of the input: an interval along each axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

Number = int | Fraction
Interval = tuple[Number, Number]  # first pixel, one past the last pixel

EXACT, MERGED, BOUND = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Span:
    """What the units of a map see along one axis of the input.

    Args:
        size: px, of the interval that one unit sees; borders are counted as if there were pixels.
            Of uneven units, the largest.
        jump: px between the intervals of neighbouring units: the total stride.
        low: px, the first pixel that unit 0 sees; negative where it lies on the border.
        fixed: every unit sees the same interval.
        each: of uneven units, as behind interpolation, the interval of each; None where one sees
            nothing. Borders are left out.
        doubt: EXACT; MERGED, where units of several places are in one axis and each may see less;
            or BOUND, where an operator was not followed unit by unit: units see no more than this.
    """

    size: Number
    jump: Number
    low: Number
    fixed: bool = False
    each: tuple[Interval | None, ...] = ()
    doubt: int = EXACT

    @property
    def start(self) -> float:
        """The centre of unit 0's interval, where the first pixel's centre is 0.5."""
        return float(self.low + Fraction(self.size) / 2)

    @property
    def least(self) -> Number:
        """px, of the smallest interval that a unit sees."""
        return min((high - low for low, high in filter(None, self.each)), default=self.size)

    def seen_by(self, unit: int) -> Interval:
        """(first pixel, one past the last pixel) that a unit sees; may lie outside the image."""
        if self.each:
            return self.each[unit] or (0, 0)
        low = self.low if self.fixed else self.low + unit * self.jump
        return low, low + self.size

    def units(self, count: int) -> tuple[Interval | None, ...]:
        """The intervals of all units."""
        return self.each or tuple(self.seen_by(unit) for unit in range(count))

    def of_all(self, units: int, doubt: int = EXACT) -> Span:
        """The interval that some unit sees, for all of them."""
        if self.fixed:
            return self
        doubt = max(self.doubt, doubt if units > 1 else EXACT)
        if self.each:
            low, high = hull(self.each) or (0, 0)
            return Span(high - low, self.jump, low, True, doubt=doubt)
        size = self.size + (units - 1) * self.jump
        return replace(self, size=size, fixed=True, doubt=doubt)


def hull(intervals: Iterable[Interval | None]) -> Interval | None:
    """The smallest interval around several; None around none."""
    seen = [interval for interval in intervals if interval is not None]
    if not seen:
        return None
    return min(low for low, _ in seen), max(high for _, high in seen)


def span_of(each: Sequence[Interval | None], jump: Number, doubt: int = EXACT) -> Span:
    """The span of units of which each interval is known; an even one where they are even.

    Args:
        each: their intervals.
        jump: px between neighbours, on the whole.
        doubt: see `Span`.
    """
    seen = [interval for interval in each if interval is not None]
    if len(seen) == len(each) and seen:
        steps = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(seen)}
        size = seen[0][1] - seen[0][0]
        if steps == {(0, 0)}:
            return Span(size, jump, seen[0][0], True, doubt=doubt)
        if not steps or (len(steps) == 1 and len(set(next(iter(steps)))) == 1):
            step = next(iter(steps))[0] if steps else jump
            if step > 0:
                return Span(size, step, seen[0][0], doubt=doubt)
    size = max((high - low for low, high in seen), default=0)
    low = seen[0][0] if seen else 0
    return Span(size, jump, low, each=tuple(each), doubt=doubt)


@dataclass(frozen=True, slots=True)
class Field:
    """What the units of a tensor see of the input.

    Args:
        axes: for each axis of the input behind the channels, the tensor's axis along which the
            unit moves; None where there is none any more.
        spans: for each axis of the input, what is seen.
        bounds: for each axis of the input (first pixel, one past the last pixel) that any unit can
            see; a stride may leave the last pixels out.
    """

    axes: tuple[int | None, ...]
    spans: tuple[Span, ...]
    bounds: tuple[Interval, ...] = ()

    def box(self, place: Sequence[int]) -> tuple[Interval, ...]:
        """For each axis of the input (first pixel, one past the last pixel) that one unit sees.

        Args:
            place: the unit's, for each axis of the input.
        """
        seen = [span.seen_by(unit) for span, unit in zip(self.spans, place, strict=True)]
        return tuple(
            (max(low, first), min(high, last))
            for (low, high), (first, last) in zip(seen, self.bounds, strict=True)
        )
