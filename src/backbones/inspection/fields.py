"""Receptive fields, exactly, through branches: which pixels of the input a unit can see.

Each function of the graph moves or widens the interval that a unit sees, axis by axis; where
branches meet, the intervals are joined. What makes every unit see the same (a global average, a
fully connected layer, attention) is remembered as fixed. Where units do not move evenly
(interpolation, transposed convolution) each is followed by itself; where an operator is not
followed unit by unit, what any unit may see is remembered as a bound.

Reference: Araujo, Norris & Sim (2019), Computing Receptive Fields of Convolutional Neural
Networks, Distill.
"""

from __future__ import annotations

from backbones.inspection.arguments import Inputs
from backbones.inspection.field_rules import PLACED, RULES, pointwise
from backbones.inspection.graph import Graph, Node
from backbones.inspection.spans import Field, Number, Span


def receptive_fields(graph: Graph) -> tuple[Field | None, ...]:
    """The field of every node's output; None behind a part that hides what it does.

    Example:
        >>> from torch import nn
        >>> from backbones.inspection.graph import record
        >>> graph = record(nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), (1, 8, 8))
        >>> [span.size for span in receptive_fields(graph)[-1].spans]
        [4, 4]
    """
    found: list[Field | None] = []
    for node in graph.nodes:
        if node.op == "input":
            axes = tuple(range(2, len(node.shape)))
            sides = tuple((0, side) for side in node.shape[2:])
            found.append(Field(axes, tuple(Span(1, 1, 0) for _ in axes), sides))
            continue
        if _is_plain(graph, node):
            seen = found[node.inputs[0]]
            if seen is not None and all(
                span.fixed or axis is not None
                for axis, span in zip(seen.axes, seen.spans, strict=True)
            ):
                found.append(seen)  # what `pointwise` answers, in a tenth of the time
                continue
        read = [(found[index], graph.nodes[index].shape) for index in node.inputs]
        inputs = [(known, shape) for known, shape in read if known is not None]
        rule = RULES.get(node.op)
        if rule is None and (node.pointwise or node.op in PLACED):
            rule = pointwise
        hidden = node.op == "unseen" or len(inputs) < len(read) or not inputs
        if hidden or rule is None:
            found.append(None)
            continue
        known = rule(node, inputs)
        found.append(Field(known.axes, known.spans, _bounds(node, known, inputs)))
    return tuple(found)


def _is_plain(graph: Graph, node: Node) -> bool:
    """Whether unit i sees what unit i of the only input sees."""
    if len(node.inputs) != 1 or node.op in RULES or node.op == "unseen" or not node.pointwise:
        return False
    return graph.nodes[node.inputs[0]].shape == node.shape


def _bounds(node: Node, known: Field, inputs: Inputs) -> tuple[tuple[Number, Number], ...]:
    found = []
    for dim, (axis, span) in enumerate(zip(known.axes, known.spans, strict=True)):
        whole = span.of_all(1 if axis is None else node.shape[axis])
        low = min(field.bounds[dim][0] for field, _ in inputs)
        high = max(field.bounds[dim][1] for field, _ in inputs)
        found.append((max(low, whole.low), min(high, whole.low + whole.size)))
    return tuple(found)
