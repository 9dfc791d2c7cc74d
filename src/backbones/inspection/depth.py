"""How many layers deep a network is, as papers count: along the longest way through it."""

from __future__ import annotations

from torch import nn

from backbones.inspection.graph import Graph, Node


def depth(graph: Graph) -> int:
    """Layers with weights on the longest way from the image to an answer.

    A layer counts where it has weights of its own, and is no normalisation and no activation with
    learned slopes; one that runs again counts once. Of parallel ways the longest counts, so that
    projections on shortcuts and side branches do not add up. What only scales whole maps
    (squeeze-and-excitation) is no way: its layers are left out.

    Example:
        >>> from backbones.inspection.graph import record
        >>> from backbones.inspection.trace import on_meta
        >>> [depth(record(on_meta(name), (3, 224, 224))) for name in ("vgg16", "resnet50")]
        [16, 50]
    """
    counted = _weighted(graph)
    found: list[int] = []
    for node in graph.nodes:
        before = max((found[index] for index in _ways(graph, node)), default=0)
        found.append(before + (node.index in counted))
    return max((found[index] for index in graph.outputs or range(len(found))), default=0)


def _ways(graph: Graph, node: Node) -> tuple[int, ...]:
    """The nodes whose maps it goes on with: not those that only scale the others."""
    if node.op != "mul":
        return node.inputs
    whole = tuple(i for i in node.inputs if graph.nodes[i].shape == node.shape)
    return whole or node.inputs


def _weighted(graph: Graph) -> set[int]:
    """The nodes that end layers with weights, and functions of weights outside layers."""
    found: set[int] = set()
    ran: set[nn.Module] = set()
    inside: set[int] = set()
    for call in graph.calls:
        inside.update(range(call.begin, call.end))
        own = any(p is not None for p in call.layer._parameters.values())
        if own and call.layer not in ran and _counts(call.layer):
            found.add(call.node)
        ran.add(call.layer)
    read: set[str] = set()
    for node in graph.nodes:
        if node.index not in inside and node.macs and not read.issuperset(node.reads):
            found.add(node.index)
        read.update(node.reads)
    return found


def _counts(layer: nn.Module) -> bool:
    return "Norm" not in type(layer).__name__ and not isinstance(layer, nn.PReLU)
