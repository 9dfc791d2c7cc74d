"""A part of the flow, as composers put them together."""

from __future__ import annotations

from dataclasses import dataclass

from backbones.report.drawing.scene import Item


@dataclass(frozen=True)
class Piece:
    """A part of the flow.

    Args:
        items: to draw; the piece begins at (0, 0).
        length: along the flow.
        before, after: what it needs across the flow, on either side of the axis.
        entry, exit: along the flow, where an arrow in ends and an arrow out begins.
        head: the arrow in ends at a box; otherwise it goes on into a fork.
        first, last: keys of the steps at its ends; a fork has none of its own.
    """

    items: tuple[Item, ...]
    length: float
    before: float
    after: float
    entry: float
    exit: float
    head: bool
    first: str
    last: str


def key_at(index: int) -> str:
    """The key of the step with this index; a network begins at step 0, its input."""
    return str(max(index, 0))
