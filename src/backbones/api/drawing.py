"""Draw networks: as the papers' figures do, and as graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from backbones.errors import WrongUse
from backbones.inspection.graph import record
from backbones.report.drawing.drawing import Drawing, draw_blocks, draw_graph
from backbones.report.drawing.steps import ShapeOrder
from backbones.workflows.drawing import auxiliaries_of, caption_of, stages_of
from backbones.workflows.networks import with_inspection

__all__ = ["Drawing", "draw"]

Style = Literal["blocks", "graph", "full"]


def draw(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    style: Style = "blocks",
    shape: ShapeOrder = "chw",
) -> Drawing:
    """Draw a network. Nothing is computed, and a model's weights and modes stay as they are.

    Auxiliary heads are pale and dashed side branches: only training runs them.

    Args:
        model: any module that takes one tensor, or a name: of a variant, a bundle, or a function
            that makes a module ("nets/mine.py:build").
        input_shape: (channels, height, width) of an image; the network's own where None, and
            (3, 224, 224) for modules of others.
        style: "blocks" draws feature maps as boxes whose sizes follow their shapes, with branches,
            and what repeats once with a count; "graph" a node a layer, folded in the same way;
            "full" the same graph with every layer.
        shape: how shapes are written: "chw" as PyTorch has them, "hwc" as most papers print them.

    Returns:
        A drawing that shows itself in a notebook, and has `save(path)` and `svg`.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: no such style or shape, or images that the network does not take.

    Example:
        >>> drawing = draw("lenet5")
        >>> "6×28×28" in drawing.scene.texts
        True
    """
    if style not in ("blocks", "graph", "full"):
        raise WrongUse(f"style is {style!r}, expected blocks, graph or full")
    if shape not in ("chw", "hwc"):
        raise WrongUse(f"shape is {shape!r}, expected chw or hwc")
    network, found = with_inspection(model, input_shape)
    graph = record(network, found.input)
    stages = stages_of(network)
    heads = auxiliaries_of(network, graph)
    words = caption_of(network, found, heads, shape)
    if style == "blocks":
        return draw_blocks(graph, words, stages, found.paper_names, heads, order=shape)
    return draw_graph(
        graph, words, stages, found.paper_names, heads, fold=style == "graph", order=shape
    )
