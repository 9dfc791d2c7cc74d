"""Put steps one after the other: sections with their branches, frames around what repeats.

Everything is placed along a flow (to the right, or downwards) around its axis. A piece begins at
(0, 0) and ends on the axis; pieces are joined by arrows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from backbones.report.drawing.layered import Placement, Room, place
from backbones.report.drawing.lettering import text_width
from backbones.report.drawing.looks import FAINT, INK, Glyph, Look, key_of
from backbones.report.drawing.outline import Dense, Element, Repeat, Section
from backbones.report.drawing.scene import Item, Line, Plate, Point, Text, area_of, moved
from backbones.report.drawing.steps import Step

_ARC = 8.0  # pt between a branch and the shortcut around it
_PAD = 7.0  # pt inside a frame
_STRIP = 12.0  # pt of a frame's heading
_SHOWN_LAYERS = 5  # of a dense block


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


class Composer:
    """Draws elements of an outline in one look.

    Args:
        look: how steps are drawn, and which way the flow goes.
        names: module path -> what the paper calls it, for the boxes that get a name.
    """

    def __init__(self, look: Look, names: Mapping[str, str]) -> None:
        self.look = look
        self._names = names

    def xy(self, along: float, across: float) -> Point:
        """A place in the drawing."""
        return (across, along) if self.look.downwards else (along, across)

    def moved(self, items: Sequence[Item], along: float, across: float) -> tuple[Item, ...]:
        """Items elsewhere."""
        return moved(items, *self.xy(along, across))

    def line(self, points: Sequence[Point], source: str, target: str, *, head: bool = True) -> Line:
        """A way through (along, across) places; those that say nothing new fall away."""
        ways = [points[0]]
        for before, here, after in zip(points, points[1:], points[2:], strict=False):
            straight = any(abs(before[i] - here[i]) + abs(here[i] - after[i]) < 0.01 for i in (0, 1))
            if not straight:
                ways.append(here)
        ways.append(points[-1])
        return Line(tuple(self.xy(*point) for point in ways), head=head, source=source, target=target)

    def glyph(self, step: Step) -> Glyph:
        """A step with the name that the paper gives it, if any."""
        return self.look.glyph(step, self._names.get(step.module, ""))

    def piece(self, element: Element) -> Piece:
        """Any element of an outline."""
        if isinstance(element, Step):
            return self.single(self.glyph(element), key_of(element))
        if isinstance(element, Section):
            return self.section(element)
        if isinstance(element, Dense):
            return self.dense_flow(element) if self.look.downwards else self.dense(element)
        inside = self.series([self.piece(e) for e in element.elements])
        return self.framed(inside, badge=f"× {element.count}", note=element.note, dashed=True)

    def single(self, glyph: Glyph, key: str) -> Piece:
        """One step."""
        room, middle = glyph.room, glyph.room.length / 2
        return Piece(
            self.moved(glyph.items, middle, 0.0),
            room.length,
            room.before,
            room.after,
            middle - glyph.reach,
            middle + glyph.reach,
            True,
            key,
            key,
        )

    def series(self, pieces: Sequence[Piece], gap: float | None = None) -> Piece:
        """Pieces one after the other, with arrows between them."""
        gap = self.look.gap_along if gap is None else gap
        items: list[Item] = []
        at = 0.0
        starts: list[float] = []
        for number, piece in enumerate(pieces):
            if number:
                before = pieces[number - 1]
                begin = starts[-1] + before.exit
                points = [(begin, 0.0), (at + piece.entry, 0.0)]
                items.append(self.line(points, before.last, piece.first, head=piece.head))
            starts.append(at)
            at += piece.length + gap
        for start, piece in zip(starts, pieces, strict=True):
            items += self.moved(piece.items, start, 0.0)
        return Piece(
            tuple(items),
            at - gap,
            max(piece.before for piece in pieces),
            max(piece.after for piece in pieces),
            pieces[0].entry,
            starts[-1] + pieces[-1].exit,
            pieces[0].head,
            pieces[0].first,
            pieces[-1].last,
        )

    def section(self, section: Section) -> Piece:
        """Branches between a fork and where they meet; an identity is an arc around them."""
        number = {section.source: 0}
        for place_, step in enumerate(section.steps, 1):
            number[step.index] = place_
        fork = Glyph((), Room(0.0, 0.0, 0.0), 0.0, 0.0)
        glyphs = [fork, *(self.glyph(step) for step in section.steps)]
        join = len(glyphs) - 1
        edges = [
            (number[source], number[step.index])
            for step in section.steps
            for source in step.inputs
            if source in number
        ]
        around = (0, join) in edges and join > 1
        if around:
            edges.remove((0, join))
        found = place(
            [glyph.room for glyph in glyphs],
            edges,
            gap_along=self.look.gap_along + (3.0 if len(edges) > join else 0.0),
            gap_across=self.look.gap_across,
        )
        across = _join_on_axis(found, join)
        keys = [_key(section.source), *(key_of(step) for step in section.steps)]
        items: list[Item] = [
            self._edge(found, across, glyphs, edge, (keys[edge[0]], keys[edge[1]]))
            for edge in edges
        ]
        for glyph, along, off in zip(glyphs, found.along, across, strict=True):
            items += self.moved(glyph.items, along, off)
        before = max(glyph.room.before - off for glyph, off in zip(glyphs, across, strict=True))
        after = max(glyph.room.after + off for glyph, off in zip(glyphs, across, strict=True))
        passing = [off for route in found.routes.values() for _, off in route]
        before, after = max([before, *(4 - p for p in passing)]), max([after, *(4 + p for p in passing)])
        end, meet = found.spans[-1][1], found.along[join]
        if around:
            height = before + _ARC
            points = [(0.0, 0.0), (0.0, -height), (meet, -height), (meet, -glyphs[join].top)]
            items.insert(0, self.line(points, keys[0], keys[join]))
            before = height + 2.0
        leave = meet + glyphs[join].reach
        return Piece(
            tuple(items), end, before, after, 0.0, leave, False, keys[1], keys[-1]
        )

    def _edge(
        self,
        found: Placement,
        across: Sequence[float],
        glyphs: Sequence[Glyph],
        edge: tuple[int, int],
        keys: tuple[str, str],
    ) -> Line:
        """A connection, bent in the gaps between ranks."""
        source, target = edge
        places = [(found.along[source] + glyphs[source].reach, across[source])]
        rank = found.ranks[source]
        for off in [*(off for _, off in found.routes[edge]), across[target]]:
            bend = (found.spans[rank][1] + found.spans[rank + 1][0]) / 2
            places += [(bend, places[-1][1]), (bend, off)]
            rank += 1
        places.append((found.along[target] - glyphs[target].reach, across[target]))
        return self.line(places, *keys)

    def framed(
        self,
        inside: Piece,
        *,
        title: str = "",
        badge: str = "",
        note: str = "",
        dashed: bool = False,
        at_least: tuple[float, float] = (0.0, 0.0),
    ) -> Piece:
        """A piece in a frame with a heading, a count, and a note below.

        Args:
            at_least: across the flow, how far the frame reaches on either side of the axis.
        """
        down = self.look.downwards
        wide = inside.before + inside.after if down else inside.length
        heading = text_width(title, 8.0, True) + text_width(badge, 9.0, True)
        need = heading + (8.0 if title and badge else 0.0)
        lines = _wrapped(note, max(wide, need, 60.0)) if note else []
        width = max([wide, need, *(text_width(line, 6.0) for line in lines)]) + 2 * _PAD
        top = _STRIP if title or badge else 0.0
        bottom = 7.6 * len(lines) + (2.0 if lines else 0.0)
        if down:
            before, after = _widened(inside, width - 2 * _PAD)
            before, after = max(before + _PAD, at_least[0]), max(after + _PAD, at_least[1])
            start, length = _PAD + top, inside.length + 2 * _PAD + top + bottom
            left, up, width, height = -before, 0.0, before + after, length
        else:
            before = max(inside.before + _PAD - 2 + top, at_least[0])
            after = max(inside.after + _PAD - 2 + bottom, at_least[1])
            start, length = (width - inside.length) / 2, width
            left, up, height = 0.0, -before, before + after
        items: list[Item] = [_frame(left, up, width, height, dashed)]
        if title:
            items.append(_heading(left + _PAD, up + _PAD + 1.5, title))
        if badge:
            right = left + width - _PAD
            items.append(
                Text(right, up + _PAD + 1.5, badge, 9.0, text_width(badge, 9.0, True), True, INK, "end")
            )
        for number, text in enumerate(lines):
            y = up + height - _PAD - 7.6 * (len(lines) - 1 - number) + 1.5
            items.append(
                Text(left + width / 2, y, text, 6.0, text_width(text, 6.0), colour=FAINT)
            )
        items += self.moved(inside.items, start, 0.0)
        return replace(
            inside,
            items=tuple(items),
            length=length,
            before=before,
            after=after,
            entry=start + inside.entry,
            exit=start + inside.exit,
        )

    def dense(self, block: Dense) -> Piece:
        """A dense block as figure 1 of its paper: arcs from everything to everything after it."""
        layers = block.layers
        hidden = len(layers) > _SHOWN_LAYERS
        shown = [*layers[:3], layers[-1]] if hidden else list(layers)
        glyphs = [self.look.glyph(layer[-1], "", labels=False) for layer in shown]
        step, at = 26.0, 16.0
        tops: list[tuple[float, float, str]] = [(0.0, 0.0, _key(block.source))]
        items: list[Item] = []
        reach = 0.0
        for number, (glyph, layer) in enumerate(zip(glyphs, shown, strict=True)):
            key = key_of(layer[-1])
            ellipsis = hidden and number == 3
            if ellipsis:
                items.append(Text(at + 6.0, 0.0, "· · ·", 9.0, text_width("· · ·", 9.0), True, FAINT))
                reach, at = at + 17.0, at + 24.0
            entry = at - glyph.reach if not ellipsis else at - glyph.reach
            items.append(self.line([(reach, 0.0), (entry, 0.0)], tops[-1][2], key))
            items += self.moved(glyph.items, at, 0.0)
            tops.append((at, -glyph.room.before, key))
            reach, at = at + glyph.reach, at + step + glyph.reach
        if hidden:
            at += 0.0
        joined = self.glyph(block.join)
        after_layers = at - step + 12.0
        meet = after_layers + max(14.0, joined.room.length / 2)
        key = key_of(block.join)
        items.append(self.line([(reach, 0.0), (meet - joined.reach, 0.0)], tops[-1][2], key))
        tops.append((meet, -joined.room.before, key))
        highest = 0.0
        for i, (x0, y0, source) in enumerate(tops):
            for x1, y1, target in tops[i + 1 :]:
                if x1 == tops[min(i + 1, len(tops) - 1)][0] and i + 1 == len(tops) - 1 and i:
                    pass
                rise = 7.0 + 0.26 * (x1 - x0)
                peak = min(y0, y1) - rise
                highest = min(highest, peak)
                items.insert(0, _arc((x0, y0), (x1, y1), peak, (source, target)))
        texts = self._dense_labels(block, after_layers)
        items += [text.moved(after_layers / 2, glyphs[0].room.after + 7.0) for text in texts]
        items += self.moved(joined.items, meet, 0.0)
        length = meet + joined.room.length / 2
        left = min(0.0, area_of(items)[0])
        if left < 0:
            items, length, meet = list(self.moved(items, -left, 0.0)), length - left, meet - left
        below = glyphs[0].room.after + 7.0 + 8.2 * len(texts)
        return Piece(
            tuple(items),
            length,
            max(-highest, joined.room.before),
            max(below, joined.room.after),
            -left,
            meet + joined.reach,
            False,
            tops[1][2],
            key,
        )

    def _dense_labels(self, block: Dense, width: float) -> tuple[Text, ...]:
        """How many layers, and what each of them is."""
        first = f"× {len(block.layers)}"
        windows = ", ".join(step.title for step in block.layers[-1])
        texts = [(first, 9.0, True), (windows, 6.4, True)]
        texts += [(step.shape_text, 6.4, False) for step in block.layers[-1]]
        return tuple(
            Text(0.0, 8.2 * number, text, size, text_width(text, size, bold), bold,
                 INK if bold else FAINT)  # fmt: skip
            for number, (text, size, bold) in enumerate(texts)
        )

    def dense_flow(self, block: Dense) -> Piece:
        """A dense block as one layer in a frame, and the way around it."""
        layer = self.series([self.single(self.glyph(s), key_of(s)) for s in block.layers[-1]])
        note = "each layer reads everything before it"
        inside = self.framed(layer, badge=f"× {len(block.layers)}", note=note, dashed=True)
        joined = self.single(self.glyph(block.join), key_of(block.join))
        lead = Piece((), 0.0, 0.0, 0.0, 0.0, 0.0, False, inside.first, _key(block.source))
        whole = self.series([lead, inside, joined])
        side = whole.before + _ARC
        meet = whole.exit - (joined.exit - joined.entry) / 2
        points = [(0.0, 0.0), (0.0, -side), (meet, -side), (meet, -joined.before)]
        arc = self.line(points, _key(block.source), key_of(block.join))
        return replace(whole, items=(arc, *whole.items), before=side + 2.0, entry=0.0, head=False)


def _join_on_axis(found: Placement, join: int) -> list[float]:
    """Places across the flow, where the branches meet on the axis again."""
    across = list(found.across)
    across[join] = 0.0
    return across


def _key(index: int) -> str:
    return str(max(index, 0))


def _widened(inside: Piece, width: float) -> tuple[float, float]:
    """The two sides of a piece, with as much more on each as makes the width."""
    more = max(0.0, (width - inside.before - inside.after) / 2)
    return inside.before + more, inside.after + more


def _frame(x: float, y: float, width: float, height: float, dashed: bool) -> Plate:
    fill, edge = ("#ffffff", "#9aa4af") if dashed else ("#f4f6f8", "#d8dee4")
    return Plate(x, y, width, height, fill, edge, 6.0, is_ground=True, dashed=dashed)


def _heading(x: float, y: float, title: str) -> Text:
    return Text(x, y, title, 8.0, text_width(title, 8.0, True), True, "#3d4752", "start")


def _wrapped(note: str, width: float) -> list[str]:
    """A note in lines that are no wider than they have to be."""
    lines: list[str] = []
    for part in note.split(", "):
        longer = f"{lines[-1]}, {part}" if lines else part
        if lines and text_width(longer, 6.0) <= width:
            lines[-1] = longer
        else:
            if lines:
                lines[-1] += ","
            lines.append(part)
    return lines


def _arc(start: Point, end: Point, peak: float, keys: tuple[str, str]) -> Line:
    points = (start, (start[0], peak), (end[0], peak), end)
    return Line(points, "#9db2c7", False, *keys, width=0.7, smooth=True)


Draw = Callable[[Element], Piece]
