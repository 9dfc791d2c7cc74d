"""A network's drawing, for the page: SVG, and which layer each box on it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from backbones.inspection.graph import record
from backbones.inspection.summary import Inspection
from backbones.report.drawing.drawing import draw_blocks
from backbones.report.drawing.scene import Cuboid
from backbones.report.drawing.sheet import Words
from backbones.report.drawing.steps import steps_of
from backbones.report.drawing.towers import in_towers


def drawing_of(network: nn.Module, found: Inspection) -> dict[str, Any]:
    """The drawing, and the boxes on it that are layers with maps.

    Args:
        network: of this package.
        found: its inspection.

    Returns:
        "svg", "size" (width and height, pt) and "boxes", each a "layer" and a "box" (left, top,
        width and height, pt).
    """
    graph = record(network, found.input)
    stages: Any = getattr(network, "stages", ())
    drawing = draw_blocks(graph, Words(found.name, ()), stages, found.paper_names)
    paths = [step.module for step in in_towers(steps_of(graph))]
    have_maps = {each.name for each in found.layers if len(each.output) == 3}
    boxes = [
        {"layer": paths[int(item.key)], "box": _outline(item)}
        for item in drawing.scene.items
        if isinstance(item, Cuboid) and item.key.isdigit() and paths[int(item.key)] in have_maps
    ]
    size = [drawing.scene.width, drawing.scene.height]
    return {"svg": drawing.svg, "size": size, "boxes": boxes}


def _outline(box: Cuboid) -> list[float]:
    """Left, top, width and height of a box with its receding faces, pt."""
    return [box.x, box.y - box.depth, box.width + box.depth, box.height + box.depth]
