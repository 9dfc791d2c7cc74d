"""What the units of a map see of the input: an interval along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

Number = int | Fraction


@dataclass(frozen=True, slots=True)
class Span:
    """What the units of a map see along one axis of the input.

    Args:
        size: px, of the interval that one unit sees; borders are counted as if there were pixels.
        jump: px between the intervals of neighbouring units: the total stride.
        low: px, the first pixel that unit 0 sees; negative where it lies on the border.
        fixed: every unit sees the same interval.
    """

    size: Number
    jump: Number
    low: Number
    fixed: bool = False

    @property
    def start(self) -> float:
        """The centre of unit 0's interval, where the first pixel's centre is 0.5."""
        return float(self.low + Fraction(self.size) / 2)

    def seen_by(self, unit: int) -> tuple[Number, Number]:
        """(first pixel, one past the last pixel) that a unit sees; may lie outside the picture."""
        low = self.low if self.fixed else self.low + unit * self.jump
        return low, low + self.size

    def of_all(self, units: int) -> Span:
        """The interval that some unit sees, for all of them."""
        if self.fixed:
            return self
        return replace(self, size=self.size + (units - 1) * self.jump, fixed=True)


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
    bounds: tuple[tuple[Number, Number], ...] = ()

    def box(self, place: Sequence[int]) -> tuple[tuple[Number, Number], ...]:
        """For each axis of the input (first pixel, one past the last pixel) that one unit sees.

        Args:
            place: the unit's, for each axis of the input.
        """
        seen = [span.seen_by(unit) for span, unit in zip(self.spans, place, strict=True)]
        return tuple(
            (max(low, first), min(high, last))
            for (low, high), (first, last) in zip(seen, self.bounds, strict=True)
        )
