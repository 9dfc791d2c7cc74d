"""Auxiliary heads: side branches beside the flow, pale and dashed, for only training runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backbones.inspection.graph import Graph
from backbones.report.drawing.composer import Composer
from backbones.report.drawing.flow import piece_of
from backbones.report.drawing.lettering import text_width
from backbones.report.drawing.looks import pale
from backbones.report.drawing.outline import trunk
from backbones.report.drawing.pieces import Piece, key_at
from backbones.report.drawing.scene import Cuboid, Item, Line, Plate, Text
from backbones.report.drawing.steps import DrawingStep, steps_of, with_softmax

MARK = "training only"
_LEAD = 12.0  # pt between the way out of the flow and the head's frame
_APART = 9.0  # pt between the flow and a head, and between heads
_FRAME = 12.0  # pt within which a frame ends behind its last box
_MARK_SIZE = 7.5  # pt
_PALENESS = 0.5  # share of white
_LINE_COLOUR, _WORDS, _FAINT_WORDS = "#8c959f", "#57606a", "#848d97"


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary head of a network, by itself.

    Args:
        reads: path of the module whose maps it reads.
        path: its own.
        graph: recorded on maps of that shape.
        softmax: what the paper's figure calls the one behind its scores; "" where it draws none.
    """

    reads: str
    path: str
    graph: Graph
    softmax: str = ""


@dataclass(frozen=True)
class Head:
    """A head that hangs off the flow.

    Args:
        source: key of the step that it reads.
        room: what that step needs along the flow, from its middle, with its label.
        piece: the head in its frame.
    """

    source: str
    room: float
    piece: Piece


def heads_of(
    composer: Composer, steps: Sequence[DrawingStep], auxiliaries: Sequence[Auxiliary]
) -> tuple[Head, ...]:
    """The heads, ready to hang off the steps that they read."""
    return tuple(_head(composer, _source(steps, each.reads), each) for each in auxiliaries)


def sources(steps: Sequence[DrawingStep], auxiliaries: Sequence[Auxiliary]) -> set[int]:
    """The steps that heads read, by index."""
    return {_source(steps, each.reads).index for each in auxiliaries}


def _source(steps: Sequence[DrawingStep], path: str) -> DrawingStep:
    """The step that makes a module's output."""
    return [
        step
        for step in steps
        if any(module == path or module.startswith(f"{path}.") for module in step.modules)
    ][-1]


def _head(composer: Composer, source: DrawingStep, auxiliary: Auxiliary) -> Head:
    nameless = Composer(composer.look, {})
    own = with_softmax(steps_of(auxiliary.graph), auxiliary.softmax)
    inside = nameless.series([piece_of(nameless, element) for element in trunk(own)[1:]])
    keys = {key_at(0): key_at(source.index)}
    keys |= {key_at(step.index): f"{auxiliary.path}/{step.index}" for step in own[1:]}
    inside = replace(
        inside,
        items=tuple(_faint(item, keys) for item in inside.items),
        first=keys[inside.first],
        last=keys[inside.last],
    )
    piece = composer.framed(inside, title=auxiliary.path, badge=MARK, dashed=True)
    piece = replace(piece, items=tuple(_quiet(item) for item in piece.items))
    return Head(key_at(source.index), composer.glyph(source).room.length / 2, piece)


def _quiet(item: Item) -> Item:
    """The heading of a head's frame in a voice that does not drown the flow's."""
    if isinstance(item, Text) and item.text == MARK:
        wide = text_width(MARK, _MARK_SIZE)
        return replace(item, size=_MARK_SIZE, width=wide, bold=False, colour=_WORDS)
    return item


def _faint(item: Item, keys: Mapping[str, str]) -> Item:
    """An item in pale colours, under the keys of the whole drawing."""
    if isinstance(item, Text):
        return replace(item, colour=_WORDS if item.bold else _FAINT_WORDS)
    if isinstance(item, Line):
        source, target = keys.get(item.source, ""), keys.get(item.target, "")
        return replace(item, colour=_LINE_COLOUR, dashed=True, source=source, target=target)
    key = keys.get(item.key, "")
    if isinstance(item, Cuboid):
        colour, band = pale(item.colour, _PALENESS), pale(item.band_colour, _PALENESS)
        return replace(item, key=key, colour=colour, band_colour=band)
    if item.is_ground:
        return item
    fill, edge = (colour and pale(colour, _PALENESS) for colour in (item.fill, item.edge))
    return replace(item, fill=fill, edge=edge, dashed=True, key=key)


def with_heads(composer: Composer, line: Piece, heads: Sequence[Head]) -> Piece:
    """A line of the flow, and beside it the heads that read something in it.

    Each leaves the flow behind the step that it reads, or behind the frame that ends there. The
    last one lies nearest to the flow; one that would reach below the next lies further away.
    """
    found = [
        (_way_out(composer, line, head), head)
        for head in heads
        if any(isinstance(i, Cuboid | Plate) and i.key == head.source for i in line.items)
    ]
    items: list[Item] = []
    length, after = line.length, line.after
    below: list[tuple[float, float]] = []  # way out and far side of the heads behind this one
    for out, head in sorted(found, key=lambda each: -each[0]):
        piece, start = head.piece, out + _LEAD
        end = start + piece.length
        near = max([line.after, *(far for way, far in below if way < end + _APART)]) + _APART
        axis = near + piece.before
        points = [(out, 0.0), (out, axis), (start + piece.entry, axis)]
        way = composer.line(points, head.source, piece.first, head=piece.head)
        items += [replace(way, colour=_LINE_COLOUR, dashed=True)]
        items += composer.moved(piece.items, start, axis)
        below.append((out, axis + piece.after))
        length, after = max(length, end), max(after, axis + piece.after)
    return replace(line, items=(*line.items, *items), length=length, after=after)


def _way_out(composer: Composer, line: Piece, head: Head) -> float:
    """Where a head's way leaves the flow."""
    first = 1 if composer.look.downwards else 0
    areas = [item.area for item in line.items if isinstance(item, Plate) and item.is_ground]
    box = next(
        item.area
        for item in line.items
        if isinstance(item, Cuboid | Plate) and item.key == head.source
    )
    end = (box[first] + box[first + 2]) / 2 + head.room
    ends = [area[first + 2] for area in areas if area[first] < end <= area[first + 2]]
    return max([end, *(e for e in ends if e < end + _FRAME)]) + composer.look.gap_along / 2
