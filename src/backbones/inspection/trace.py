"""What every layer of a network does to one picture: shapes, parameters, multiply-accumulates.

The network runs once on the meta device, where tensors have shapes and no numbers, so that even
VGG-19 takes milliseconds and no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from backbones.models import find_row, make
from backbones.nn.counting import CountsItself
from backbones.nn.meta import ShapesOnly


@dataclass(frozen=True)
class Layer:
    """One layer, in the order of execution.

    Args:
        name: module path.
        kind: the module's class.
        output: shape for one picture, without the batch.
        params: trainable parameters; zero where the layer ran before (weights are shared).
        macs: multiply-accumulates of convolutions and fully connected layers.
        connections: links into all units of a layer with weights, biases counted.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    macs: int
    connections: int


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
    """Follow one picture through a network.

    Args:
        model: a network of this package, or the name of a variant.
        input_px: px, side of the square picture; the row's own where None.

    Raises:
        NotFound: no such variant; names the nearest.
        WrongUse: the network cannot see pictures of this size.

    Example:
        >>> [layer.output for layer in trace("lenet5")][0]
        (6, 28, 28)
    """
    network: Any = _on_meta(model) if isinstance(model, str) else model
    side = input_px or network.row.input_px
    modules = dict(network.named_modules())
    found: list[Layer] = []
    seen: set[nn.Module] = set()

    def record(name: str, layer: nn.Module, output: Tensor) -> None:
        params = 0 if layer in seen else _params(layer)
        macs, connections = _cost(layer, output)
        shape = tuple(output.shape[1:])
        found.append(Layer(name, type(layer).__name__, shape, params, macs, connections))
        seen.add(layer)

    hooks = [
        layer.register_forward_hook(lambda m, _, output, name=name: record(name, m, output))
        for name, layer in modules.items()
        if next(layer.children(), None) is None
    ]
    training = [layer for layer in modules.values() if layer.training]  # parts may be frozen
    try:
        network.eval()
        with torch.no_grad(), ShapesOnly():
            _run_on_meta(network, side)
    finally:
        for layer in training:
            layer.training = True
        for hook in hooks:
            hook.remove()
    return tuple(found)


def _run_on_meta(network: Any, side: int) -> None:
    """One picture through a network, wherever its weights are: shapes stand in for them."""
    picture = torch.empty(1, network.in_channels, side, side, device="meta")
    own = (*network.named_parameters(), *network.named_buffers())
    if all(tensor.is_meta for _, tensor in own):
        network(picture)
        return
    state = {
        name: torch.empty(
            tensor.shape, dtype=tensor.dtype, device="meta", requires_grad=tensor.requires_grad
        )
        for name, tensor in own
    }
    torch.func.functional_call(network, state, (picture,))


def count(model: nn.Module | str, input_px: int | None = None) -> Count:
    """Count a network's parameters, and sum `trace` over its layers.

    Example:
        >>> count("vgg16").params
        138357544
    """
    network = _on_meta(model) if isinstance(model, str) else model
    layers = trace(network, input_px)
    return Count(
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.connections for layer in layers),
    )


def _on_meta(name: str) -> nn.Module:
    with ShapesOnly():
        return make(*find_row(name))


def _params(layer: nn.Module) -> int:
    """Trainable parameters of a layer without parts."""
    return sum(p.numel() for p in layer.parameters(recurse=False) if p.requires_grad)


def _cost(layer: nn.Module, output: Tensor) -> tuple[int, int]:
    """(multiply-accumulates, connections) of a layer for one picture."""
    if isinstance(layer, nn.Conv2d):
        per_unit = layer.weight.numel() // layer.out_channels
    elif isinstance(layer, nn.Linear):
        per_unit = layer.in_features
    elif _counts_itself(type(layer)):  # type: ignore[arg-type]
        own: Any = layer
        return own.macs(output), own.connections(output)
    else:
        return 0, 0
    units = math.prod(output.shape[1:])
    return units * per_unit, units * (per_unit + (layer.bias is not None))


@cache
def _counts_itself(kind: type[nn.Module]) -> bool:
    return issubclass(kind, CountsItself)
