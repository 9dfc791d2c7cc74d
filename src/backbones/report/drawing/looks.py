"""The two ways to draw a step: a feature map as a cuboid, or a plate with words on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backbones.report.drawing.calls import ACTIVATIONS, Kind
from backbones.report.drawing.layered import Room
from backbones.report.drawing.lettering import SMALLEST, text_width
from backbones.report.drawing.scene import ACTIVATION, Cuboid, Item, Plate, Text
from backbones.report.drawing.steps import DrawingStep, ShapeOrder

INK, FAINT = "#1f2328", "#59636e"
COLOURS: dict[Kind, str] = {
    "input": "#c9d1d9",
    "convolution": "#f2b134",
    "depthwise": "#f7dc8f",
    "pooling": "#d9534f",
    "linear": "#7a6bb8",
    "norm": "#8fc1a9",
    "activation": ACTIVATION,
    "softmax": "#e8e3f5",
    "gate": "#4aa3a2",
    "attention": "#5b8def",
    "add": "#ffffff",
    "concat": "#8aa4c0",
    "other": "#b8b0a4",
}
NAMES: dict[Kind, str] = {
    "input": "input",
    "convolution": "convolution",
    "depthwise": "depthwise convolution",
    "pooling": "pooling",
    "linear": "fully connected",
    "norm": "normalisation",
    "activation": "activation",
    "softmax": "softmax, left to the loss",
    "gate": "squeeze-and-excitation (SE n: n units weigh the maps)",
    "attention": "attention",
    "add": "sum",
    "concat": "concatenation",
    "other": "other",
}
_LINE = 8.2  # pt from line to line of a label
_LAYER = 6.7  # pt, what is written first on a plate
_TALLEST, _WIDEST = 104.0, 34.0  # pt: of a front face
_RECEDES = 0.2  # depth of a cuboid, of its height
_ACTIVE = {"convolution", "depthwise", "linear", "norm", "concat", "pooling", "other"}


@dataclass(frozen=True)
class Glyph:
    """A step, drawn around its middle at (0, 0).

    Args:
        items: to draw.
        room: what it needs, labels included.
        reach: from the middle to the box's edge along the flow, where arrows end.
        top: from the middle to the box's edge across the flow, on the side before it.
    """

    items: tuple[Item, ...]
    room: Room
    reach: float
    top: float


class GlyphStyle(Protocol):
    """How steps are drawn, and which way the drawing runs."""

    downwards: bool
    gap_along: float
    gap_across: float
    order: ShapeOrder

    def glyph(self, step: DrawingStep, name: str, *, labels: bool = True) -> Glyph:
        """Draw a step; `name` is the paper's, or empty."""
        ...


def key_of(step: DrawingStep) -> str:
    """What items of a step are called, so that arrows can say what they connect."""
    return str(step.index)


class MapLook:
    """Feature maps as cuboids: taller where maps are larger, wider where there are more of them.

    Both on the scale of a square root, so that 224 px and 7 px can be read side by side. A vector
    is a thin bar whose height follows its length.

    Args:
        steps: all that will be drawn; the largest of them set the scale.
        order: of the numbers of a shape.
    """

    downwards = False
    gap_along = 13.0
    gap_across = 5.0

    def __init__(self, steps: Sequence[DrawingStep], order: ShapeOrder = "chw") -> None:
        self.order = order
        sizes = [_size(step) for step in steps]
        self._side = max([max(high, wide) for _, high, wide in sizes] or [1])
        self._maps = max([64, *(maps for maps, high, _ in sizes if high > 1)])
        self._units = max([1000, *(maps for maps, high, _ in sizes if high == 1)])

    def face(self, step: DrawingStep) -> tuple[float, float, float]:
        """Width, height and depth of a step's cuboid, pt."""
        maps, high, wide = _size(step)
        if high == wide == 1:
            return 5.0, 9.0 + 0.62 * _TALLEST * math.sqrt(maps / self._units), 2.5
        width = 3.5 + (_WIDEST - 3.5) * math.sqrt(maps / self._maps)
        tall, far = (_TALLEST * math.sqrt(side / self._side) for side in (high, wide))
        return min(width, _WIDEST), max(tall, 5.0), max(_RECEDES * far, 1.5)

    def glyph(self, step: DrawingStep, name: str, *, labels: bool = True) -> Glyph:
        if step.kind == "add" or (step.kind == "other" and step.title == "×"):
            return _disc(step, self.downwards)
        width, height, depth = self.face(step)
        left, half = -(width + depth) / 2, height / 2
        band = min(max(0.22, 1.6 / width), 0.45)
        after, before = _acts(step.after) and step.kind in _ACTIVE, _acts(step.before)
        body = Cuboid(
            left,
            -half,
            width,
            height,
            depth,
            COLOURS[step.kind],
            band if after or before else 0.0,
            before and not after,
            key_of(step),
        )
        lines = [(name, True)] if name else []
        lines += [(_short(step), not name), (step.shape_text(self.order), False)]
        texts = _lines(lines, half + 6.5) if labels else ()
        longest = max([width + depth, *(text.width for text in texts)])
        below = half + (3.0 + _LINE * len(texts) if texts else 0.0)
        return Glyph((body, *texts), Room(longest, half + depth, below), (width + depth) / 2, half)


class NodeLook:
    """Plates with the layer and the shape of what it makes, one below the other."""

    downwards = True
    gap_along = 13.0
    gap_across = 6.0

    def __init__(self, order: ShapeOrder = "chw") -> None:
        self.order = order

    def glyph(self, step: DrawingStep, name: str, *, labels: bool = True) -> Glyph:
        if step.kind == "add" or (step.kind == "other" and step.title == "×"):
            return _disc(step, self.downwards)
        first = _long(step)
        if name:
            first = f"{name}: {first}"
        second = step.shape_text(self.order)
        widths = (text_width(first, _LAYER, True), text_width(second, SMALLEST))
        width, height = max(widths) + 9.0, 23.0
        left, top = -width / 2, -height / 2
        body = Plate(left, top, width, height, pale(COLOURS[step.kind]), COLOURS[step.kind], 4.0,
                     key=key_of(step))  # fmt: skip
        texts = (
            Text(0.0, -4.6, first, _LAYER, widths[0], bold=True),
            Text(0.0, 5.0, second, SMALLEST, widths[1], colour=FAINT),
        )
        return Glyph((body, *texts), Room(height, width / 2, width / 2), height / 2, width / 2)


class RowLook:
    """Low plates with a layer and its shape side by side, for what stands beside the flow."""

    downwards = True
    gap_along = 8.5
    gap_across = 9.0

    def __init__(self, order: ShapeOrder = "chw") -> None:
        self.order = order

    def glyph(self, step: DrawingStep, name: str, *, labels: bool = True) -> Glyph:
        if step.kind == "add" or (step.kind == "other" and step.title == "×"):
            return _disc(step, self.downwards)
        layer, shape = _long(step), step.shape_text(self.order)
        wide, apart = text_width(layer, SMALLEST, True), text_width(shape, SMALLEST)
        half, high = (wide + apart + 16.0) / 2, 6.2
        body = Plate(-half, -high, 2 * half, 2 * high, pale(COLOURS[step.kind]),
                     COLOURS[step.kind], 3.0, key=key_of(step))  # fmt: skip
        texts = (
            Text(5.0 - half, 0.0, layer, SMALLEST, wide, bold=True, anchor="start"),
            Text(half - 5.0, 0.0, shape, SMALLEST, apart, colour=FAINT, anchor="end"),
        )
        return Glyph((body, *texts), Room(2 * high, half, half), high, half)


def _acts(folded: Sequence[str]) -> bool:
    """Whether an activation is among what was folded into a step."""
    return any(word in ACTIVATIONS.values() for word in folded)


def _disc(step: DrawingStep, downwards: bool) -> Glyph:
    """A sum or product; an activation after it is a ring around it, and is named."""
    r = 5.6
    body = Plate(-r, -r, 2 * r, 2 * r, "#ffffff", "#57606a", r, key=key_of(step))
    sign = Text(0.0, 0.0, step.title, 9.0, text_width(step.title, 9.0, True), bold=True)
    if not step.after:
        return Glyph((body, sign), Room(2 * r, r, r), r, r)
    out = r + 2.2
    ring = Plate(-out, -out, 2 * out, 2 * out, ACTIVATION, ACTIVATION, out, is_ground=True)
    named, size = " · ".join(step.after), SMALLEST
    wide = text_width(named, size)
    if downwards:
        name = Text(out + 2.0, 0.0, named, size, wide, colour=FAINT, anchor="start")
        room = Room(2 * out, out, out + 2.0 + wide)
    else:
        name = Text(0.0, out + 5.0, named, size, wide, colour=FAINT)
        room = Room(max(2 * out, wide), out, out + 5.0 + size / 2)
    return Glyph((ring, body, sign, name), room, out, out)


def _lines(lines: Sequence[tuple[str, bool]], begin: float) -> tuple[Text, ...]:
    return tuple(
        Text(
            0.0,
            begin + number * _LINE,
            text,
            SMALLEST,
            text_width(text, SMALLEST, bold),
            bold=bold,
            colour=INK if bold or number == 0 else FAINT,
        )
        for number, (text, bold) in enumerate(lines)
    )


def _short(step: DrawingStep) -> str:
    """The layer in a label under a coloured box, where the colour says the rest."""
    if step.kind == "norm":
        return ", ".join((step.title, *step.after))
    return f"{step.title}, LRN" if "LRN" in step.after else step.title


def _long(step: DrawingStep) -> str:
    """The layer in words."""
    words = {"convolution": "conv ", "depthwise": "depthwise ", "pooling": ""}
    title = f"{words.get(step.kind, '')}{step.title}"
    parts = [*step.before, title, *step.after]
    return " · ".join(parts)


def _size(step: DrawingStep) -> tuple[int, int, int]:
    """(maps, height, width) of what a step makes, whatever axes it has."""
    shape = step.shape
    if len(shape) == 3:
        return (shape[2], shape[0], shape[1]) if step.channels_last else (shape[0], *shape[1:])
    if len(shape) == 2:  # tokens of a transformer
        return shape[1], max(2, math.isqrt(shape[0])), max(2, math.isqrt(shape[0]))
    if len(shape) > 3:
        return shape[0], shape[-2], shape[-1]
    return (shape[0] if shape else 1), 1, 1


def pale(colour: str, share: float = 0.72) -> str:
    """A colour mixed with white."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
