"""Draw networks: as the papers' figures do, and as graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from backbones.errors import WrongUse
from backbones.inspection.graph import Graph, record
from backbones.inspection.summary import Inspection
from backbones.report.drawing.drawing import Drawing, draw_blocks, draw_graph, format_of
from backbones.report.drawing.heads import Auxiliary
from backbones.report.drawing.sheet import Words
from backbones.units import human_count
from backbones.workflows.networks import with_inspection

__all__ = ["Drawing", "draw", "format_of"]

Style = Literal["blocks", "graph", "full"]


def draw(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    style: Style = "blocks",
) -> Drawing:
    """Draw a network. Nothing is computed, and a model's weights and modes stay as they are.

    Auxiliary heads are pale and dashed side branches: only training runs them.

    Args:
        model: any module that takes one tensor, or a name: of a variant, a bundle, or a function
            that makes a module ("nets/mine.py:build").
        input_shape: (channels, height, width) of a picture; the network's own where None, and
            (3, 224, 224) for modules of others.
        style: "blocks" draws feature maps as boxes whose sizes follow their shapes, with branches,
            and what repeats once with a count; "graph" a node a layer, folded in the same way;
            "full" the same graph with every layer.

    Returns:
        A drawing that shows itself in a notebook, and has `save(path)` and `svg`.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: no such style, or pictures that the network does not take.

    Example:
        >>> drawing = draw("lenet5")
        >>> "6×28×28" in drawing.scene.texts
        True
    """
    if style not in ("blocks", "graph", "full"):
        raise WrongUse(f"style is {style!r}, expected blocks, graph or full")
    network, found = with_inspection(model, input_shape)
    graph = record(network, found.input)
    stages = _stages(network)
    heads = _auxiliaries(network, graph)
    words = _words(network, found, heads)
    if style == "blocks":
        return draw_blocks(graph, words, stages, found.paper_names, heads)
    return draw_graph(graph, words, stages, found.paper_names, heads, fold=style == "graph")


def _stages(network: Any) -> tuple[tuple[str, str], ...]:
    """The stages that a network of this package names; others have none."""
    stages = getattr(network, "stages", ())
    return stages if hasattr(network, "row") and isinstance(stages, tuple) else ()


def _auxiliaries(network: Any, graph: Graph) -> tuple[Auxiliary, ...]:
    """The auxiliary heads of a network of this package, those that pictures of this size reach."""
    if not hasattr(network, "row"):
        return ()
    found = []
    for reads, path in getattr(network, "heads", {}).items():
        made = [n for n in graph.nodes if f"{n.module}.".startswith(f"{reads}.")]
        try:
            own = record(network.get_submodule(path), made[-1].shape[1:])
        except RuntimeError:
            continue  # its windows are larger than the maps
        found.append(Auxiliary(reads, path, own))
    return tuple(found)


def _words(network: Any, found: Inspection, heads: Sequence[Auxiliary]) -> Words:
    """Title and caption: whose network it is, and what it costs."""
    row = getattr(network, "row", None)
    caption = []
    if row is not None and hasattr(row, "citation"):
        citation = row.citation
        caption.append(f"{citation.authors} ({citation.year}). {citation.title}.")
        caption.append(row.summary)
    numbers = [
        f"input {'×'.join(map(str, found.input))}",
        f"{human_count(found.params)} parameters",
        f"{human_count(found.macs)} multiply-accumulates",
    ]
    if found.idle and row is not None:  # elsewhere it may be run by parts that hide it
        idle = human_count(found.idle)
        where = "auxiliary heads, which only training runs"
        if len(heads) < len(getattr(network, "heads", {})) or not heads:
            where = "parts that an evaluation does not run, not drawn"
        numbers[1] += f" ({idle} in {where})"
    caption.append(" · ".join(numbers))
    return Words(found.name, tuple(caption))
