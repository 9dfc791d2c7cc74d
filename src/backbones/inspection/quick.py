"""The layers that networks are mostly made of, followed without running their Python.

What each gives is what its functions would give (`tests/contract` compares); a case that is unusual
or wrong gives None, and then the layer itself runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from backbones.nn.meta import convolved


@dataclass(frozen=True, slots=True)
class Made:
    """What one function of a layer made.

    Args:
        op: the function.
        output: without numbers.
        reads: the tensors that it read.
        macs: see `Node`.
        args, named: its arguments, with shapes in place of tensors.
    """

    op: str
    output: Tensor
    reads: tuple[Tensor | None, ...]
    macs: int
    args: tuple[Any, ...]
    named: dict[str, Any]


def _convolution(layer: nn.Conv2d, x: Tensor) -> Made | None:
    if layer.padding_mode != "zeros":
        return None
    weight, bias = layer.weight, layer.bias
    how = (layer.stride, layer.padding, layer.dilation, layer.groups)
    output = convolved(x, weight, bias, *how)
    if output is None:
        return None
    macs = output.numel() * (weight.numel() // layer.out_channels)
    shapes = (x.shape, weight.shape, None if bias is None else bias.shape)
    return Made("conv2d", output, (x, weight, bias), macs, (*shapes, *how), {})


def _batch_norm(layer: nn.BatchNorm2d, x: Tensor) -> Made | None:
    if layer.training or not x.is_meta or x.ndim != 4 or x.shape[1] != layer.num_features:
        return None
    shapes = tuple(None if t is None else t.shape for t in (layer.running_mean, layer.running_var))
    reads = (x, layer.weight, layer.bias)
    return Made("batch_norm", x.detach(), reads, 0, (x.shape, *shapes), {})


def _relu(layer: nn.ReLU, x: Tensor) -> Made | None:
    if not x.is_meta:
        return None
    output = x if layer.inplace else x.detach()
    return Made("relu", output, (x,), 0, (x.shape,), {"inplace": layer.inplace})


QUICK: dict[type[nn.Module], Callable[[Any, Tensor], Made | None]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _relu,
}
