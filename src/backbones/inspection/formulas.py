"""Where the parameters and multiply-accumulates of a layer come from: products of its sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backbones.inspection.arguments import argument
from backbones.inspection.node import Graph, Node

Factors = tuple[int, ...]


def weight_factors(shape: Sequence[int], maps: Factors = ()) -> Factors:
    """The sides of a weight in the order in which papers write them: kernel, inputs, outputs.

    Args:
        shape: of the weight.
        maps: (rows, columns, channels) of what a fully connected layer reads as one vector.

    Example:
        >>> weight_factors((64, 3, 7, 7)), weight_factors((10, 84)), weight_factors((64,))
        ((7, 7, 3, 64), (84, 10), (64,))
        >>> weight_factors((4096, 25088), (7, 7, 512))
        (7, 7, 512, 4096)
    """
    if maps and len(shape) == 2 and math.prod(maps) == shape[1]:
        return (*maps, shape[0])
    return (*shape[2:], *reversed(shape[:2]))


def read_maps(graph: Graph, node: Node) -> Factors:
    """(rows, columns, channels) of the maps that a fully connected layer reads as one vector.

    Nothing where it reads no maps, or maps of one unit.
    """
    before = node
    while len(before.shape) == 2 and before.inputs:
        before = graph.nodes[before.inputs[0]]
        if len(before.shape) == 2 and before.op == "linear":
            return ()
    _, *maps = before.shape
    return (*maps[1:], maps[0]) if len(maps) == 3 and math.prod(maps[1:]) > 1 else ()


def mac_factors(graph: Graph, node: Node) -> Factors:
    """Numbers whose product is what a call multiplies and adds; the sum alone where none are known.

    Of a convolution: kernel, inputs of one group, outputs, rows and columns of the output, images.
    Of a fully connected layer: inputs, outputs, places, images.
    """
    if not node.macs:
        return ()
    batch, *rest = node.shape
    images = (batch,) if batch > 1 else ()
    factors: Factors = ()
    if node.op in ("conv1d", "conv2d", "conv3d"):
        factors = (*weight_factors(argument(node, 1, "weight")), *rest[1:], *images)
    elif node.op == "linear":
        weight = weight_factors(argument(node, 1, "weight"), read_maps(graph, node))
        factors = (*weight, *rest[:-1], *images)
    return factors if math.prod(factors) == node.macs else (node.macs,)


def products(terms: Sequence[Factors], times: str = "*") -> str:
    """A sum as people write it by hand.

    Example:
        >>> products([(3, 3, 64, 64), (64,)], times="×")
        '3×3×64×64 + 64'
    """
    return " + ".join(times.join(map(str, factors)) for factors in terms)


def sum_of_products(terms: Sequence[Factors]) -> str:
    """A sum as Python reads it, with what it comes to.

    Example:
        >>> sum_of_products([(3, 3, 64, 64), (64,)])
        '3*3*64*64 + 64 = 36,928'
    """
    total, written = sum(math.prod(factors) for factors in terms), products(terms)
    return f"{total:,}" if written in ("", str(total)) else f"{written} = {total:,}"
