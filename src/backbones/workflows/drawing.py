"""A network and its graph, as drawings want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backbones.inspection.graph import Graph, record
from backbones.inspection.summary import Inspection
from backbones.report.drawing.heads import Auxiliary
from backbones.report.drawing.sheet import Words
from backbones.report.drawing.steps import DrawingStep, ShapeOrder
from backbones.units import human_count


def stages_of(network: Any) -> tuple[tuple[str, str], ...]:
    """The stages that a network of this package names; others have none."""
    stages = getattr(network, "stages", ())
    return stages if hasattr(network, "row") and isinstance(stages, tuple) else ()


def auxiliaries_of(network: Any, graph: Graph) -> tuple[Auxiliary, ...]:
    """The auxiliary heads of a network of this package, those that images of this size reach."""
    if not hasattr(network, "row"):
        return ()
    found = []
    for reads, path in getattr(network, "heads", {}).items():
        made = [n for n in graph.nodes if f"{n.module}.".startswith(f"{reads}.")]
        try:
            own = record(network.get_submodule(path), made[-1].shape[1:])
        except RuntimeError:
            continue  # its windows are larger than the maps
        found.append(Auxiliary(reads, path, own, _softmax_behind(network, path)))
    return tuple(found)


def caption_of(
    network: Any, found: Inspection, heads: Sequence[Auxiliary], order: ShapeOrder
) -> Words:
    """Title and caption: whose network it is, and what it costs."""
    row = getattr(network, "row", None)
    caption = []
    if row is not None and hasattr(row, "citation"):
        citation = row.citation
        caption.append(f"{citation.authors} ({citation.year}). {citation.title}.")
        caption.append(row.summary)
    image = DrawingStep(0, "input", "input", tuple(found.input), (), ())
    numbers = [
        f"input {image.shape_text(order)}",
        f"{human_count(found.params)} parameters",
        f"{human_count(found.macs)} multiply-accumulates",
    ]
    if (
        found.training_only_params and row is not None
    ):  # elsewhere it may be run by parts that hide it
        training_only = human_count(found.training_only_params)
        where = "auxiliary heads, which only training runs"
        if len(heads) < len(getattr(network, "heads", {})) or not heads:
            where = "parts that an evaluation does not run, not drawn"
        numbers[1] += f" ({training_only} in {where})"
    caption.append(" · ".join(numbers))
    return Words(found.name, tuple(caption), _softmax_behind(network, ""))


def _softmax_behind(network: Any, path: str) -> str:
    """What the paper's figure calls the softmax behind a head, or "" where it draws none."""
    return (
        str(getattr(network, "figure_softmax", {}).get(path, "")) if hasattr(network, "row") else ""
    )
