"""A network's drawing: made from a recorded graph, shown in a notebook, written to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from backbones.errors import WrongUse, nearest
from backbones.inspection.graph import Graph
from backbones.report.drawing.composer import Composer
from backbones.report.drawing.heads import Auxiliary, heads_of, sources
from backbones.report.drawing.looks import GlyphStyle, MapLook, NodeLook
from backbones.report.drawing.outline import DenseOutline, Repeat, StageOutline, outline
from backbones.report.drawing.render import FORMATS, Format, rendered
from backbones.report.drawing.scene import Scene
from backbones.report.drawing.sheet import Words, compose, single_titles
from backbones.report.drawing.steps import DrawingStep, ShapeOrder, steps_of, with_softmax
from backbones.report.drawing.towers import has_towers, in_towers

_LONGEST_NAME = 12  # letters of a layer's name under its box


@dataclass(frozen=True)
class Drawing:
    """A drawing of a network; in a notebook it shows itself.

    Args:
        scene: what is drawn, and where.
    """

    scene: Scene

    @cached_property
    def svg(self) -> str:
        """The drawing as the text of an SVG file."""
        return rendered(self.scene, "svg").decode("utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path, *, dots: int = 200) -> Path:
        """Write the drawing, whole or not at all; equal drawings are equal files.

        Args:
            path: ends in .svg, .png or .pdf.
            dots: an inch, of a PNG.

        Raises:
            WrongUse: another suffix.
        """
        from backbones.files import write_atomic

        path = Path(path)
        write_atomic(path, rendered(self.scene, format_of(path), dots))
        return path


def format_of(path: Path) -> Format:
    """The kind of file that a path's suffix names.

    Raises:
        WrongUse: none that can be drawn.

    Example:
        >>> format_of(Path("lenet5.SVG"))
        'svg'
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        listed = ", ".join(f".{kind}" for kind in FORMATS)
        raise WrongUse(
            f"{str(path)!r} has the suffix {path.suffix!r}, expected one of {listed}."
            f"{nearest(suffix, FORMATS)}"
        )
    return cast(Format, suffix)


def draw_blocks(
    graph: Graph,
    words: Words,
    stages: Sequence[tuple[str, str]] = (),
    names: Mapping[str, str] | None = None,
    auxiliaries: Sequence[Auxiliary] = (),
    *,
    order: ShapeOrder = "chw",
) -> Drawing:
    """The block diagram: feature maps as boxes of their sizes, repeats folded.

    Args:
        graph: recorded.
        words: title and caption.
        stages: (title, module path) of the end of each stage.
        names: module path -> the paper's name of a layer.
        auxiliaries: heads that only training runs, drawn as side branches.
        order: of the numbers of a shape.
    """
    steps = with_softmax(in_towers(steps_of(graph)), words.softmax)
    return _drawn(MapLook(steps, order), graph, words, stages, names, auxiliaries, fold=True)


def draw_graph(
    graph: Graph,
    words: Words,
    stages: Sequence[tuple[str, str]] = (),
    names: Mapping[str, str] | None = None,
    auxiliaries: Sequence[Auxiliary] = (),
    *,
    fold: bool = True,
    order: ShapeOrder = "chw",
) -> Drawing:
    """The graph: a node a layer, connections as they are, stages framed.

    Args:
        graph, words, stages, names, auxiliaries, order: as for `draw_blocks`.
        fold: repeats are drawn once, with a count.
    """
    return _drawn(NodeLook(order), graph, words, stages, names, auxiliaries, fold=fold)


def _drawn(
    look: GlyphStyle,
    graph: Graph,
    words: Words,
    stages: Sequence[tuple[str, str]],
    names: Mapping[str, str] | None,
    auxiliaries: Sequence[Auxiliary],
    *,
    fold: bool,
) -> Drawing:
    whole = steps_of(graph)
    steps = with_softmax(in_towers(whole), words.softmax)
    stages = (
        () if has_towers(whole) else _one_a_number(stages)
    )  # one section, from the image to the answer
    found = outline(steps, graph.kinds, stages, fold=fold)
    if fold and _fold_away(found, sources(steps, auxiliaries)):
        found = outline(steps, graph.kinds, stages, fold=False)
    short = {path: name for path, name in (names or {}).items() if len(name) <= _LONGEST_NAME}
    found = tuple(replace(stage, title=_title(stage, short)) for stage in found)
    known = {path: name for path, name in short.items() if not _repeats(name, found)}
    known |= single_titles(found) if stages else {}
    composer = Composer(look, known)
    return Drawing(compose(composer, found, words, heads_of(steps, auxiliaries, look.order)))


def _one_a_number(stages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Stages that a table gives one number as one: EfficientNet's 9 is Conv1x1 & Pooling & FC."""
    found: list[tuple[str, str]] = []
    for title, path in stages:
        number, _, rest = title.partition(" ")
        if found and number.isdigit() and found[-1][0].startswith(f"{number} "):
            title = f"{found.pop()[0]} & {rest}"
        found.append((title, path))
    return found


def _fold_away(stages: Sequence[StageOutline], wanted: set[int]) -> bool:
    """Whether a step that has to be seen by itself is among what stands for several."""
    return any(
        step.index in wanted
        for stage in stages
        for element in stage.elements
        if isinstance(element, Repeat | DenseOutline)
        for step in element.steps
    )


def _repeats(name: str, stages: Sequence[StageOutline]) -> bool:
    """Whether a layer's name says no more than the heading above it."""
    return any(name == stage.title or name.startswith(f"{stage.title}/") for stage in stages)


def _title(stage: StageOutline, names: Mapping[str, str]) -> str:
    """A stage that its paper names after the pooling at its end is called after what is in it.

    VGG's convolutions conv3_1, conv3_2, conv3_3 and "maxpool 3" are conv3.
    """
    steps = [element for element in stage.elements if isinstance(element, DrawingStep)]
    if len(steps) < 2 or len(steps) < len(stage.elements) or steps[-1].kind != "pooling":
        return stage.title
    stems = {names.get(step.module, "").partition("_")[0] for step in steps[:-1]}
    return stems.pop() or stage.title if len(stems) == 1 else stage.title
