"""Put steps one after the other: sections with their branches, frames around what repeats.

Everything is placed along a flow (to the right, or downwards) around its axis. A piece begins at
(0, 0) and ends on the axis; pieces are joined by arrows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from backbones.report.drawing.layered import Placement, Room, place
from backbones.report.drawing.lettering import SMALLEST, text_width, wrapped
from backbones.report.drawing.looks import FAINT, INK, Glyph, GlyphStyle, key_of
from backbones.report.drawing.outline import Section, shortcut_of
from backbones.report.drawing.pieces import Piece, key_at
from backbones.report.drawing.scene import Anchor, Item, Line, Plate, Point, Text, moved
from backbones.report.drawing.steps import DrawingStep

_ARC = 8.0  # pt between a branch and the shortcut around it
_ASIDE = 3.0  # pt between two arrows that meet at one sum
_PAD = 7.0  # pt inside a frame
_STRIP = 12.0  # pt of a frame's heading
_NOTE_LINE = 8.0  # pt from line to line of a note


class Composer:
    """Draws elements of an outline in one look.

    Args:
        look: how steps are drawn, and which way the flow goes.
        names: module path -> what the paper calls it, for the boxes that get a name.
    """

    def __init__(self, look: GlyphStyle, names: Mapping[str, str]) -> None:
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
            straight = any(
                abs(before[i] - here[i]) + abs(here[i] - after[i]) < 0.01 for i in (0, 1)
            )
            if not straight:
                ways.append(here)
        ways.append(points[-1])
        return Line(
            tuple(self.xy(*point) for point in ways), head=head, source=source, target=target
        )

    def glyph(self, step: DrawingStep) -> Glyph:
        """A step with the name that the paper gives it, if any."""
        return self.look.glyph(step, self._names.get(step.module, ""))

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
        keys = [key_at(section.source), *(key_of(step) for step in section.steps)]
        projected = {number[step.index] for step in shortcut_of(section)}
        items: list[Item] = [
            replace(
                self._edge(found, across, glyphs, edge, (keys[edge[0]], keys[edge[1]])),
                dashed=not projected.isdisjoint(edge),
            )
            for edge in edges
        ]
        for glyph, along, off in zip(glyphs, found.along, across, strict=True):
            items += self.moved(glyph.items, along, off)
        sides = [
            (glyph.room.before - off, glyph.room.after + off)
            for glyph, off in zip(glyphs, across, strict=True)
        ]
        sides += [(4.0 - off, 4.0 + off) for route in found.routes.values() for _, off in route]
        before, after = max(side for side, _ in sides), max(side for _, side in sides)
        end, meet = found.spans[-1][1], found.along[join]
        if around:
            height = before + _ARC
            points = [(0.0, 0.0), (0.0, -height), (meet, -height), (meet, -glyphs[join].top)]
            arc = self.line(points, keys[0], keys[join])
            items.insert(0, replace(arc, dashed=section.is_padded))
            before = height + 2.0
            if section.projection:
                (way, written), before = self._projection(section.projection, points)
                items = [replace(way, source=keys[0], target=keys[join]), written, *items]
        leave = meet + glyphs[join].reach
        return Piece(tuple(items), end, before, after, 0.0, leave, False, keys[1], keys[-1])

    def _projection(
        self, layers: str, identity: Sequence[Point]
    ) -> tuple[tuple[Line, Text], float]:
        """The way around an identity that the first time has instead, dashed as in ResNet's figure.

        Returns:
            the way and what is written on it, and how far they reach from the axis.
        """
        text, size = f"first: {layers}", SMALLEST
        wide = text_width(text, size)
        (_, _), (_, height), (meet, _), (_, top) = identity
        far, end = height - _ARC, meet + _ASIDE
        way = self.line([(0.0, height), (0.0, far), (end, far), (end, top)], "", "")
        x, y = self.xy(end / 2, far - 4.0)
        anchor: Anchor = "end" if self.look.downwards else "middle"
        written = Text(x, y, text, size, wide, colour=FAINT, anchor=anchor)
        reach = wide + 6.0 if self.look.downwards else size + 4.0
        return (replace(way, dashed=True), written), reach - far

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
    ) -> Piece:
        """A piece in a frame with a heading, a count, and a note below."""
        down = self.look.downwards
        heading = text_width(title, 8.0, True) + text_width(badge, 9.0, True)
        wide = inside.before + inside.after if down else inside.length
        need = max(wide, heading + (8.0 if title and badge else 0.0))
        # Downwards, the way out runs through the middle of the frame; a note keeps to its right.
        beside = max(inside.after + _PAD - 9.0, text_width(note, SMALLEST) / 2 + 8.0)
        lines = wrapped(note, SMALLEST, beside if down else max(need, 60.0))
        longest = max([0.0, *(text_width(line, SMALLEST) for line in lines)])
        top = _STRIP if title or badge else 0.0
        bottom = _NOTE_LINE * len(lines) + (2.0 if lines else 0.0)
        if down:
            before, after = _widened(inside, need)
            # Title and count keep to either side of the way in.
            title_wide, badge_wide = text_width(title, 8.0, True), text_width(badge, 9.0, True)
            before = max(before, title_wide + 5.0) + _PAD
            after = max(after, badge_wide + 5.0, longest + 7.0) + _PAD
            start, length = _PAD + top, inside.length + 2 * _PAD + top + bottom
            left, up, width, height = -before, 0.0, before + after, length
        else:
            before = inside.before + _PAD - 2 + top
            after = inside.after + _PAD - 2 + bottom
            length = width = max(need, longest) + 2 * _PAD
            start = (width - inside.length) / 2
            left, up, height = 0.0, -before, before + after
        items: list[Item] = [_frame(left, up, width, height, dashed)]
        if title:
            items.append(_written(left + _PAD, up + _PAD + 1.5, title, 8.0, "#3d4752"))
        if badge:
            right = left + width - _PAD
            items.append(_written(right, up + _PAD + 1.5, badge, 9.0, INK, "end"))
        for number, text in enumerate(lines):
            y = up + height - _PAD - _NOTE_LINE * (len(lines) - 1 - number) + 1.5
            x, anchor = (7.0, "start") if down else (width / 2, "middle")
            wide = text_width(text, SMALLEST)
            items.append(Text(x, y, text, SMALLEST, wide, False, FAINT, cast(Anchor, anchor)))
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


def _join_on_axis(found: Placement, join: int) -> list[float]:
    """Places across the flow, where the branches meet on the axis again."""
    across = list(found.across)
    across[join] = 0.0
    return across


def _widened(inside: Piece, width: float) -> tuple[float, float]:
    """The two sides of a piece, with as much more on each as makes the width."""
    more = max(0.0, (width - inside.before - inside.after) / 2)
    return inside.before + more, inside.after + more


def _frame(x: float, y: float, width: float, height: float, dashed: bool) -> Plate:
    fill, edge = ("#ffffff", "#9aa4af") if dashed else ("#f4f6f8", "#d8dee4")
    return Plate(x, y, width, height, fill, edge, 6.0, is_ground=True, dashed=dashed)


def _written(
    x: float, y: float, text: str, size: float, colour: str, anchor: Anchor = "start"
) -> Text:
    return Text(x, y, text, size, text_width(text, size, True), True, colour, anchor)
