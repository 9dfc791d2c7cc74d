"""Dense blocks: every layer reads everything before it, which no row of boxes can show plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from backbones.report.drawing.composer import Composer
from backbones.report.drawing.lettering import SMALLEST, text_width
from backbones.report.drawing.looks import FAINT, INK, key_of
from backbones.report.drawing.outline import DenseOutline, Section
from backbones.report.drawing.pieces import Piece, key_at
from backbones.report.drawing.scene import Cuboid, Item, Line, Plate, Text
from backbones.report.drawing.steps import ShapeOrder

_SHOWN_LAYERS = 5
_LEAD, _DOTS = 13.0, "· · ·"  # pt between layers, and what stands for those not shown
_ARC = 8.0  # pt between the layer's frame and the way around it

Stop = tuple[float, float, str, float]  # along, top, key and reach of what arcs connect


def dense_map(composer: Composer, block: DenseOutline) -> Piece:
    """A dense block as figure 1 of its paper: arcs from everything to everything after it."""
    hidden = len(block.layers) > _SHOWN_LAYERS
    shown = [*block.layers[:3], block.layers[-1]] if hidden else list(block.layers)
    glyph, joined = composer.look.glyph(shown[-1][-1], "", labels=False), composer.glyph(block.join)
    stops: list[Stop] = [
        (0.0, 0.0, key_at(block.source), 0.0)
    ]  # along, top, key and reach of each thing that arcs connect
    items: list[Item] = []
    at = _LEAD
    for number, layer in enumerate(shown):
        if hidden and number == len(shown) - 1:
            dots = text_width(_DOTS, 9.0, True)
            items.append(Text(at + dots / 2, 0.0, _DOTS, 9.0, dots, True, FAINT))
            at += dots + _LEAD
        at += glyph.reach
        key = key_of(layer[-1])
        items += _renamed(composer.moved(glyph.items, at, 0.0), key)
        stops.append((at, -glyph.room.before, key, glyph.reach))
        at += glyph.reach + _LEAD
    texts = _dense_labels(block, composer.look.order)
    middle = at / 2
    wide = max(text.width for text in texts)
    end = max(at, middle + wide / 2 + 6.0)
    meet = end + max(joined.reach, joined.room.length / 2)
    stops.append((meet, -joined.room.before, key_of(block.join), joined.reach))
    for a, b in pairwise(stops):
        if not (hidden and b is stops[-2]):
            points = [(a[0] + a[3], 0.0), (b[0] - b[3], 0.0)]
            items.append(composer.line(points, a[2], b[2]))
    arcs = [_arc(a, b) for i, a in enumerate(stops) for b in stops[i + 1 :]]
    below = glyph.room.after + 8.0
    items += [text.moved(middle, below) for text in texts]
    items += composer.moved(joined.items, meet, 0.0)
    return Piece(
        (*arcs, *items),
        meet + joined.room.length / 2,
        max(-0.75 * min(arc.area[1] for arc in arcs), joined.room.before) + 4.0,
        max(below + texts[-1].y + 4.0, joined.room.after),
        0.0,
        meet + joined.reach,
        False,
        stops[1][2],
        stops[-1][2],
    )


def dense_graph(composer: Composer, block: DenseOutline) -> Piece:
    """A dense block's first and last layer and all their connections, in a frame with the count."""
    first, last = block.layers[0], block.layers[-1]
    ends = (block.source, first[-1].index, last[-1].index)
    steps = (*first, replace(last[0], inputs=ends[:2]), *last[1:])
    inside = composer.section(Section(block.source, steps, replace(block.join, inputs=ends)))
    note = "each layer reads all before it"
    if len(block.layers) > 2:
        note += ": the first and the last are drawn"
    badge = f"× {len(block.layers)}"
    return composer.framed(inside, badge=badge, note=note, dashed=True)


def _arc(start: Stop, end: Stop) -> Line:
    """A bow from one thing's top to another's."""
    peak = min(start[1], end[1]) - 8.0 - 0.3 * (end[0] - start[0])
    points = ((start[0], start[1]), (start[0], peak), (end[0], peak), (end[0], end[1]))
    return Line(points, "#8aa4c0", True, start[2], end[2], width=0.7, smooth=True)


def _renamed(items: Sequence[Item], key: str) -> list[Item]:
    """The same drawing for another step."""
    return [replace(item, key=key) if isinstance(item, Cuboid | Plate) else item for item in items]


def _dense_labels(block: DenseOutline, order: ShapeOrder) -> tuple[Text, ...]:
    """How many layers, and what each of them is; from y = 0 downwards."""
    texts: list[tuple[str, float, bool, float]] = [(f"× {len(block.layers)}", 9.0, True, 2.0)]
    for number, step in enumerate(block.layers[-1]):
        words = f"{', '.join((*step.before, step.title))}"
        texts.append((f"{words}  {step.shape_text(order)}", SMALLEST, False, 13.0 + 8.2 * number))
    return tuple(
        Text(0.0, y, text, size, text_width(text, size, bold), bold, INK if bold else FAINT)
        for text, size, bold, y in texts
    )
