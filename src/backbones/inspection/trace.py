"""What every layer of a network does to an image: shapes, parameters, MACs, receptive fields.

All of it is read from one pass over shapes (`inspection/graph.py`), so that even VGG-19 takes
milliseconds and no memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

from backbones.inspection.detail import layer_detail
from backbones.inspection.formulas import Factors, mac_factors, read_maps, weight_factors
from backbones.inspection.graph import Call, Graph, record
from backbones.inspection.spans import Field
from backbones.models import find_row, make
from backbones.nn.counting import CountsConnections
from backbones.nn.meta import ShapesOnly


@dataclass(frozen=True)
class Layer:
    """One layer, in the order of execution.

    Args:
        name: module path.
        kind: the module's class; for a function outside layers, its name.
        output: shape for one image, without the batch.
        params: trainable parameters; zero where the layer ran before (weights are shared).
        macs: multiply-accumulates of convolutions and matrix products, for the whole batch.
        connections: links into all units of a layer with weights, biases counted; one image.
        frozen: parameters that are not trained; zero where the layer ran before.
        num_bytes: of the output, for the whole batch.
        detail: kernel, stride, padding, groups, as far as there are any: "3x3/2 pad 1".
        field: what its units see of the input; None where it was not asked for or is hidden.
        shared: it ran before, with the same weights.
        weights: the sides of each parameter that is counted here; see `weight_factors`.
        products: the sides of what it multiplies; see `mac_factors`.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    macs: int
    connections: int
    frozen: int = 0
    num_bytes: int = 0
    detail: str = ""
    field: Field | None = None
    shared: bool = False
    weights: tuple[Factors, ...] = ()
    products: tuple[Factors, ...] = ()

    @property
    def is_mere_function(self) -> bool:
        """A function outside layers without weights and products: the sum of a residual block."""
        weighs = self.macs or self.params or self.frozen
        return not weighs and self.name.endswith(f":{self.kind}")


@dataclass(frozen=True)
class Count:
    """The sums over a network.

    Args:
        params: trainable parameters, those of auxiliary heads included.
        inference_params: the same without auxiliary heads, which evaluation does not run.
        macs, connections: of an evaluation; see `Layer`.
    """

    params: int
    inference_params: int
    macs: int
    connections: int


def trace(model: nn.Module | str, input_px: int | None = None) -> tuple[Layer, ...]:
    """Follow one image through a network.

    Args:
        model: a network of this package, or the name of a variant.
        input_px: px, side of the square image; the row's own where None.

    Raises:
        NotFound: no such variant; names the nearest.
        WrongUse: the network cannot see images of this size.

    Example:
        >>> [layer.output for layer in trace("lenet5")][0]
        (6, 28, 28)
    """
    network: Any = on_meta(model) if isinstance(model, str) else model
    side = input_px or network.row.input_px
    return layers_of(record(network, (network.in_channels, side, side)))


def layers_of(
    graph: Graph, fields: Sequence[Field | None] = (), *, functions: bool = False
) -> tuple[Layer, ...]:
    """The layers of a recorded pass.

    Args:
        graph: see `record`.
        fields: what each node's output sees, as `receptive_fields` has it; unknown where left out.
        functions: also those functions outside layers that neither have weights nor multiply
            matrices, such as the sum at the end of a residual block; the others are always there.
    """
    seen_fields = fields or (None,) * len(graph.nodes)
    found: list[Layer] = []
    counted: set[int] = set()  # parameters, by identity: shared ones count once
    ran: set[nn.Module] = set()
    at = 0
    for call in graph.calls:
        found += _functions(graph, range(at, call.begin), counted, seen_fields, functions)
        found.append(_layer(graph, call, counted, call.layer in ran, seen_fields[call.node]))
        ran.add(call.layer)
        at = max(at, call.end)
    found += _functions(graph, range(at, len(graph.nodes)), counted, seen_fields, functions)
    return tuple(found)


def _layer(graph: Graph, call: Call, counted: set[int], shared: bool, seen: Field | None) -> Layer:
    own = [parameter for parameter in call.layer._parameters.values() if parameter is not None]
    maps = read_maps(graph, graph.nodes[call.node]) if isinstance(call.layer, nn.Linear) else ()
    trained, frozen, weights = _newly_counted(own, counted, maps)
    nodes = graph.nodes[call.begin : call.end]
    return Layer(
        call.name,
        type(call.layer).__name__,
        call.output[1:],
        trained,
        sum(node.macs for node in nodes),
        _connections(call.layer, call.output),
        frozen,
        graph.nodes[call.node].num_bytes,
        layer_detail(call.layer),
        seen,
        shared,
        weights,
        tuple(mac_factors(graph, node) for node in nodes if node.macs),
    )


def _functions(
    graph: Graph,
    places: range,
    counted: set[int],
    fields: Sequence[Field | None],
    every: bool,
) -> list[Layer]:
    """Functions that were called outside layers, as layers of their own."""
    found = []
    for place in places:
        node = graph.nodes[place]
        own = [graph.parameters[name] for name in node.reads if name in graph.parameters]
        trained, frozen, weights = _newly_counted(own, counted)
        if node.op == "input" or not (node.macs or trained or frozen or every):
            continue
        found.append(
            Layer(
                f"{node.module}:{node.op}",
                node.op,
                node.shape[1:],
                trained,
                node.macs,
                0,
                frozen,
                node.num_bytes,
                field=fields[place],
                weights=weights,
                products=(mac_factors(graph, node),) if node.macs else (),
            )
        )
    return found


def _newly_counted(
    parameters: Sequence[nn.Parameter], counted: set[int], maps: Factors = ()
) -> tuple[int, int, tuple[Factors, ...]]:
    """(trained, frozen, sides) of parameters that were not counted before."""
    trained = frozen = 0
    sides: list[Factors] = []
    for parameter in parameters:
        if id(parameter) in counted:
            continue
        counted.add(id(parameter))
        sides.append(weight_factors(parameter.shape, maps))
        if parameter.requires_grad:
            trained += parameter.numel()
        else:
            frozen += parameter.numel()
    return trained, frozen, tuple(sides)


def count(model: nn.Module | str, input_px: int | None = None) -> Count:
    """Count a network's parameters, multiply-accumulates and connections.

    Example:
        >>> count("vgg16").params
        138357544
    """
    network: Any = on_meta(model) if isinstance(model, str) else model
    side = input_px or network.row.input_px
    graph = record(network, (network.in_channels, side, side))
    read = {name for node in graph.nodes for name in node.reads}
    trained = {name: p.numel() for name, p in graph.parameters.items() if p.requires_grad}
    return Count(
        sum(trained.values()),
        sum(numbers for name, numbers in trained.items() if name in read),
        sum(node.macs for node in graph.nodes),
        sum(_connections(call.layer, call.output) for call in graph.calls),
    )


def last_field(layers: Sequence[Layer]) -> tuple[tuple[int | float, ...], bool] | None:
    """What the units of the last maps see, before what makes all units see the same.

    A network may end in branches: of the layers at the end whose maps have the last size, the
    largest field, along each axis.

    Args:
        layers: with their fields; see `layers_of`.

    Returns:
        px (height, width); and whether all units see the same all the same, as behind
        squeeze-and-excitation. None where no field is known.

    Example:
        >>> from backbones.inspection.fields import receptive_fields
        >>> graph = record(on_meta("vgg16"), (3, 224, 224))
        >>> last_field(layers_of(graph, receptive_fields(graph)))
        ((212, 212), False)
    """
    found: list[Field] = []
    size: tuple[int, ...] = ()
    for layer in reversed(layers):
        field, maps = layer.field, layer.output[1:]
        if field is None or len(field.spans) != 2 or len(maps) != 2:
            continue
        if maps == (1, 1) and all(span.fixed for span in field.spans):
            continue  # a global average, or the numbers that scale whole maps
        if found and maps != size:
            break
        size = maps
        found.append(field)
    if not found:
        return None
    sizes = [max(field.spans[axis].size for field in found) for axis in range(2)]
    plain = tuple(int(side) if side == int(side) else float(side) for side in sizes)
    return plain, all(span.fixed for span in found[0].spans)


def on_meta(name: str) -> nn.Module:
    """A variant without numbers: milliseconds, and no memory.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    with ShapesOnly():
        return make(*find_row(name))


def _connections(layer: nn.Module, output: tuple[int, ...]) -> int:
    """Links into all units of a layer's output for one image, biases counted."""
    if isinstance(layer, nn.Conv2d):
        per_unit = layer.weight.numel() // layer.out_channels
    elif isinstance(layer, nn.Linear):
        per_unit = layer.in_features
    elif _counts_connections(type(layer)):  # type: ignore[arg-type]
        own: Any = layer
        return int(own.connections(output))
    else:
        return 0
    return math.prod(output[1:]) * (per_unit + (layer.bias is not None))


@cache
def _counts_connections(kind: type[nn.Module]) -> bool:
    return issubclass(kind, CountsConnections)
