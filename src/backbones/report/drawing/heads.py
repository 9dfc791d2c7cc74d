"""Auxiliary heads: side branches beside the flow, pale and dashed, for only training runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backbones.inspection.graph import Graph
from backbones.report.drawing.composer import Composer
from backbones.report.drawing.flow import piece_of
from backbones.report.drawing.looks import RowLook, pale
from backbones.report.drawing.outline import trunk
from backbones.report.drawing.pieces import Piece, key_at
from backbones.report.drawing.scene import Cuboid, Item, Line, Text
from backbones.report.drawing.steps import DrawingStep, ShapeOrder, steps_of, with_softmax

MARK = "training only"
_LEAD = 12.0  # pt between the part of the flow that a head reads and the head
_APART = 9.0  # pt between the flow and a head
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
        piece: the head in its frame, from its way in downwards whichever way the flow runs.
    """

    source: str
    piece: Piece


def heads_of(
    steps: Sequence[DrawingStep], auxiliaries: Sequence[Auxiliary], order: ShapeOrder
) -> tuple[Head, ...]:
    """The heads, ready to hang off the steps that they read."""
    composer = Composer(RowLook(order), {})
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
    own = with_softmax(steps_of(auxiliary.graph), auxiliary.softmax)
    inside = composer.series([piece_of(composer, element) for element in trunk(own)[1:]])
    keys = {key_at(0): key_at(source.index)}
    keys |= {key_at(step.index): f"{auxiliary.path}/{step.index}" for step in own[1:]}
    inside = replace(
        inside,
        items=tuple(_faint(item, keys) for item in inside.items),
        first=keys[inside.first],
        last=keys[inside.last],
    )
    framed = composer.framed(inside, title=auxiliary.path, note=MARK, dashed=True)
    return Head(key_at(source.index), framed)


def _faint(item: Item, keys: Mapping[str, str]) -> Item:
    """An item in pale colours, under the keys of the whole drawing."""
    if isinstance(item, Text):
        return replace(item, colour=_WORDS if item.bold else _FAINT_WORDS)
    if isinstance(item, Line):
        source, target = keys.get(item.source, ""), keys.get(item.target, "")
        return replace(item, colour=_LINE_COLOUR, dashed=True, source=source, target=target)
    if isinstance(item, Cuboid) or item.is_ground:
        return item
    key = keys.get(item.key, "")
    fill, edge = (colour and pale(colour, _PALENESS) for colour in (item.fill, item.edge))
    return replace(item, fill=fill, edge=edge, dashed=True, key=key)


def with_heads(composer: Composer, part: Piece, heads: Sequence[Head]) -> Piece:
    """A part of the flow, and behind it, beside the way to the next, the heads that read its end.

    The flow goes on past them, so that they take no room along all of it.
    """
    for head in heads:
        if head.source == part.last:
            part = _with_head(composer, part, head.piece)
    return part


def _with_head(composer: Composer, part: Piece, head: Piece) -> Piece:
    begin = part.length + _LEAD
    wide = head.before + head.after
    if composer.look.downwards:
        axis, length = _APART + head.before, begin + head.length
        out = begin - _LEAD / 2
        points = [(out, 0.0), (out, axis), (begin + head.entry, axis)]
        items, after = composer.moved(head.items, begin, axis), _APART + wide
    else:
        axis, length = begin + head.before, begin + wide
        points = [(axis, 0.0), (axis, _APART + head.entry)]
        items, after = composer.moved(head.items, axis, _APART), _APART + head.length
    way = replace(
        composer.line(points, part.last, head.first, head=head.head),
        colour=_LINE_COLOUR,
        dashed=True,
    )
    return replace(
        part, items=(*part.items, way, *items), length=length, after=max(part.after, after)
    )
