"""A whole sheet: title and caption, the flow in lines of a good length, and the legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

from backbones.report.drawing.calls import Kind
from backbones.report.drawing.composer import Composer
from backbones.report.drawing.flow import once, piece_of
from backbones.report.drawing.heads import Head, with_heads
from backbones.report.drawing.lettering import WIDEST, text_width, wrapped
from backbones.report.drawing.looks import COLOURS, FAINT, INK, NAMES
from backbones.report.drawing.outline import Repeat, StageOutline, steps_in
from backbones.report.drawing.pieces import Piece
from backbones.report.drawing.scene import Item, Line, Plate, Scene, Text, area_of, moved
from backbones.report.drawing.steps import DrawingStep

_MARGIN = 20.0
_BETWEEN_LINES = 24.0
_TURN = 11.0  # pt, how far the way from line to line swings out
_ASPECT, _ASPECT_DOWN = 1.9, 1.2  # width to height that lines are broken for
_MOST_LINES = 12
_AROUND = 70.0  # pt of height for title, caption and legend
_MOST = WIDEST - 2 * (_MARGIN + _TURN) - 1.0  # pt, of the flow
_NARROWEST = 300.0  # pt, of title and legend
_CAPTION = 8.5  # pt


@dataclass(frozen=True)
class Words:
    """What a drawing says beyond the graph.

    Args:
        title: the network.
        caption: lines below it.
        softmax: what the paper's figure calls the one behind the scores; "" where it draws none.
    """

    title: str
    caption: tuple[str, ...]
    softmax: str = ""


@dataclass(frozen=True)
class _Part:
    """A stage's pieces; a stage that is too long for a line becomes several of these.

    Args:
        piece: in a frame where the stage needs one, with the heads that read it.
        first: says which of the network's pieces comes first.
    """

    piece: Piece
    first: tuple[int, int]


def compose(
    composer: Composer, stages: Sequence[StageOutline], words: Words, heads: Sequence[Head] = ()
) -> Scene:
    """Lay out a network on a sheet, its auxiliary heads beside it."""
    loose = [(stage, _pieces(composer, stage)) for stage in stages]
    lines = _best_lines(composer, loose, heads)
    parts = [composer.series([part.piece for part in line]) for line in lines]
    items: list[Item] = []
    offset = 0.0
    ends: list[tuple[float, Piece]] = []
    for piece in parts:
        offset += piece.before
        items += composer.moved(piece.items, 0.0, offset)
        ends.append((offset, piece))
        offset += piece.after + _BETWEEN_LINES
    for (before, first), (after, second) in pairwise(ends):
        items.append(_turn(composer, (before, first), (after, second)))
    steps = [step for stage in stages for e in stage.elements for step in steps_in(e)]
    if not composer.look.downwards and any(step.after for step in steps):
        return _sheet(items, words, {**_entries(steps), "activation": NAMES["activation"]})
    return _sheet(items, words, _entries(steps))


def _pieces(composer: Composer, stage: StageOutline) -> list[Piece]:
    """What is in a stage; its own frame says how often where it repeats as a whole."""
    repeat = _repeat(stage)
    if repeat:
        return [once(composer, repeat)]
    return [piece_of(composer, element) for element in stage.elements]


def _repeat(stage: StageOutline) -> Repeat | None:
    """What a stage repeats, and nothing else is in it."""
    first = stage.elements[0]
    return first if stage.title and len(stage.elements) == 1 and isinstance(first, Repeat) else None


def _best_lines(
    composer: Composer,
    stages: Sequence[tuple[StageOutline, list[Piece]]],
    heads: Sequence[Head],
) -> list[list[_Part]]:
    """Break the flow into lines, so that the sheet gets a shape that a screen and a poster have.

    Of all widths that are tried, the one that comes nearest to that shape with few lines of about
    one length; no wider than its labels can be read on a slide.
    """
    gap = composer.look.gap_along
    total = sum(piece.length + gap for _, pieces in stages for piece in pieces)
    best: list[list[_Part]] = []
    score = math.inf
    tried = set()
    part = cache(partial(_part, composer, stages, heads))
    for tenths in range(10, 10 * _MOST_LINES + 1):
        lines = _broken(stages, 1.04 * total * 10 / tenths, gap, part)
        shape = tuple(tuple(part.first for part in line) for line in lines)
        if shape in tried:
            continue
        tried.add(shape)
        lengths = [sum(part.piece.length + gap for part in line) for line in lines]
        across = [max(part.piece.before for part in line) for line in lines]
        across += [max(part.piece.after for part in line) + _BETWEEN_LINES for line in lines]
        wide, high, wanted = max(lengths), sum(across) + _AROUND, _ASPECT
        if composer.look.downwards:
            wide, high, wanted = sum(across), max(lengths) + _AROUND, _ASPECT_DOWN
        ragged = 1.0 - sum(lengths) / (len(lengths) * max(lengths))
        miss = max(0.0, abs(math.log(wide / high / wanted)) - 0.35)
        miss += 0.03 * len(lines) + 1.2 * ragged + 30.0 * max(0.0, wide / _MOST - 1.0)
        if miss < score - 1e-9:
            best, score = lines, miss
    return best


def _part(
    composer: Composer,
    stages: Sequence[tuple[StageOutline, list[Piece]]],
    heads: Sequence[Head],
    number: int,
    begin: int,
    end: int,
) -> _Part:
    """Some of the pieces of a stage, in a frame where the stage needs one."""
    stage, pieces = stages[number]
    *before, last = pieces[begin:end]
    piece = composer.series([*(with_heads(composer, each, heads) for each in before), last])
    repeat = _repeat(stage)
    if repeat:
        title = stage.title.removeprefix(f"{repeat.count} x ")
        badge = f"× {repeat.count}"
        piece = composer.framed(piece, title=title, badge=badge, note=repeat.note)
    elif stage.title and not _is_single(stage):
        title = stage.title if not begin else f"{stage.title} (continued)"
        piece = composer.framed(piece, title=title)
    return _Part(with_heads(composer, piece, heads), (number, begin))


def _broken(
    stages: Sequence[tuple[StageOutline, list[Piece]]],
    limit: float,
    gap: float,
    part: Callable[[int, int, int], _Part],
) -> list[list[_Part]]:
    """Fill lines up to a length, stage by stage."""
    lines: list[list[_Part]] = [[]]
    used = 0.0
    for number, (_, pieces) in enumerate(stages):
        begin = 0
        for chunk in _chunks(pieces, limit, gap):
            next_ = part(number, begin, begin + len(chunk))
            if lines[-1] and used + next_.piece.length > limit:
                lines.append([])
                used = 0.0
            lines[-1].append(next_)
            used += next_.piece.length + gap
            begin += len(chunk)
    return lines


def _chunks(pieces: list[Piece], limit: float, gap: float) -> list[list[Piece]]:
    """Pieces of a stage, in as many groups as are needed to stay within a line."""
    total = sum(piece.length + gap for piece in pieces)
    count = max(1, math.ceil(total / (1.25 * limit)))
    groups: list[list[Piece]] = [[]]
    used = 0.0
    for piece in pieces:
        if groups[-1] and used + piece.length / 2 > total / count * len(groups):
            groups.append([])
        groups[-1].append(piece)
        used += piece.length + gap
    return groups


def _is_single(stage: StageOutline) -> bool:
    """A stage of one step needs no frame: its title stands under the box."""
    return len(stage.elements) == 1 and isinstance(stage.elements[0], DrawingStep)


def _turn(composer: Composer, first: tuple[float, Piece], second: tuple[float, Piece]) -> Line:
    """The way from the end of a line to the beginning of the next."""
    (before, one), (after, two) = first, second
    out, back = one.length + _TURN, -_TURN
    between = before + one.after + _BETWEEN_LINES / 2
    points = [
        (one.exit, before),
        (out, before),
        (out, between),
        (back, between),
        (back, after),
        (two.entry, after),
    ]
    return composer.line(points, one.last, two.first, head=two.head)


def _entries(steps: Sequence[DrawingStep]) -> dict[Kind, str]:
    """What the legend calls each kind of layer; what is of no kind is called as it is."""
    found: dict[Kind, str] = {step.kind: NAMES[step.kind] for step in steps}
    found.pop("add", None)
    others = {step.title for step in steps if step.kind == "other" and step.title != "×"}
    if len(others) == 1:
        found["other"] = others.pop()
    return found


def _sheet(items: list[Item], words: Words, entries: dict[Kind, str]) -> Scene:
    """Title above, legend below, margins around."""
    left, top, right, bottom = area_of(items)
    head: list[Item] = [
        Text(0.0, 10.0, words.title, 17.0, text_width(words.title, 17.0, True), True, INK, "start")
    ]
    y = 28.0
    widest = max(right - left, head[0].area[2], _NARROWEST)
    for line in (line for text in words.caption for line in wrapped(text, _CAPTION, widest)):
        head.append(Text(0.0, y, line, _CAPTION, text_width(line, _CAPTION), colour=FAINT,
                         anchor="start"))  # fmt: skip
        y += 12.5
    widest = max(item.area[2] for item in head)
    width = max(right - left, widest)
    shift = (width - (right - left)) / 2
    legend, legend_height = _legend(entries, width)
    body = moved(items, shift - left, y + 8.0 - top)
    base = y + 8.0 + (bottom - top) + 20.0
    everything = [*head, *body, *moved(legend, 0.0, base)]
    height = base + legend_height
    return Scene(
        round(width + 2 * _MARGIN, 2),
        round(height + 2 * _MARGIN, 2),
        moved(sorted(everything, key=_layer), _MARGIN, _MARGIN),
    )


def _layer(item: Item) -> int:
    """Frames lie under lines, and lines under boxes."""
    return 0 if isinstance(item, Plate) and item.is_ground else 1 if isinstance(item, Line) else 2


def _legend(entries: dict[Kind, str], width: float) -> tuple[list[Item], float]:
    """A swatch and a name for each kind of layer, in rows."""
    items: list[Item] = []
    x = y = 0.0
    for kind in (kind for kind in COLOURS if kind in entries):
        name, colour = entries[kind], COLOURS[kind]
        wide = text_width(name, 7.5)
        if x and x + 14.0 + wide > width:
            x, y = 0.0, y + 14.0
        items.append(Plate(x, y - 4.0, 9.0, 8.0, colour, "#57606a", 1.5))
        items.append(Text(x + 13.0, y, name, 7.5, wide, False, INK, "start"))
        x += 13.0 + wide + 16.0
    return items, y + 6.0


def single_titles(stages: Sequence[StageOutline]) -> dict[str, str]:
    """Names for the boxes of stages that consist of one step: module path -> title."""
    return {
        stage.elements[0].module: stage.title
        for stage in stages
        if _is_single(stage) and isinstance(stage.elements[0], DrawingStep) and stage.title
    }
