"""Any element of an outline, drawn: a step, branches, a dense block, or what repeats."""

from __future__ import annotations

from backbones.report.drawing.composer import Composer
from backbones.report.drawing.dense import dense_graph, dense_map
from backbones.report.drawing.looks import key_of
from backbones.report.drawing.outline import Element, Repeat, Section
from backbones.report.drawing.pieces import Piece
from backbones.report.drawing.steps import DrawingStep


def piece_of(composer: Composer, element: Element) -> Piece:
    """Draw an element; what repeats is drawn once, with its count."""
    if isinstance(element, Repeat):
        badge = f"× {element.count}"
        return composer.framed(once(composer, element), badge=badge, note=element.note, dashed=True)
    if isinstance(element, DrawingStep):
        return composer.single(composer.glyph(element), key_of(element))
    if isinstance(element, Section):
        return composer.section(element)
    if composer.look.downwards:
        return dense_graph(composer, element)
    return dense_map(composer, element)


def once(composer: Composer, repeat: Repeat) -> Piece:
    """What repeats, without its frame.

    The last time stands for all: the paper's names of its layers would mislead.
    """
    nameless = Composer(composer.look, {})
    return nameless.series([piece_of(nameless, each) for each in repeat.elements])
