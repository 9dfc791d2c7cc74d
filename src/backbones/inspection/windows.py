"""The windows of convolutions and poolings: which units of the input a unit of the output reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from backbones.inspection.arguments import argument, each_axis
from backbones.inspection.index_maps import of_windows, through
from backbones.inspection.node import Node
from backbones.inspection.spans import Span

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_MAX_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d")
_AVERAGE_POOLS = ("avg_pool1d", "avg_pool2d", "avg_pool3d")
WINDOWED = frozenset(
    [*_CONVOLUTIONS, *_MAX_POOLS, *_AVERAGE_POOLS, *(f"{pool}_with_indices" for pool in _MAX_POOLS)]
)


@dataclass(frozen=True, slots=True)
class Window:
    """Unit i sees `size` units of the input from `i * stride - padding`, each `gap` apart."""

    size: int
    stride: int
    padding: int
    gap: int = 1

    def over(self, span: Span, units: int, count: int) -> Span:
        """What the `count` units of the output see, by what the `units` of the input see."""
        if span.fixed:
            return replace(span, jump=span.jump * self.stride)
        if span.each:
            how = (self.size, self.stride, self.padding, self.gap)
            found = through(span, units, of_windows(units, count, *how))
            return replace(found, jump=span.jump * self.stride) if found.each else found
        low = span.low - self.padding * span.jump
        size = span.size + (self.size - 1) * self.gap * span.jump
        return Span(size, span.jump * self.stride, low, doubt=span.doubt)


def windows_of(node: Node) -> list[Window]:
    """For each axis behind the channels, the window of a convolution or pooling.

    Args:
        node: whose `op` is one of `WINDOWED`.
    """
    return _of_convolution(node) if node.op in _CONVOLUTIONS else _of_pool(node)


def _of_convolution(node: Node) -> list[Window]:
    kernel = argument(node, 1, "weight")[2:]
    rank = len(kernel)
    stride = each_axis(argument(node, 3, "stride", 1), rank)
    gap = each_axis(argument(node, 5, "dilation", 1), rank)
    padding: Any = argument(node, 4, "padding", 0)
    if padding == "same":
        padding = [d * (k - 1) // 2 for d, k in zip(gap, kernel, strict=True)]
    pads = each_axis(0 if padding == "valid" else padding, rank)
    return [Window(*sides) for sides in zip(kernel, stride, pads, gap, strict=True)]


def _of_pool(node: Node) -> list[Window]:
    rank = int(node.op.split("pool")[1][0])
    kernel = each_axis(argument(node, 1, "kernel_size"), rank)
    stride = argument(node, 2, "stride", ()) or kernel
    pads = each_axis(argument(node, 3, "padding", 0), rank)
    gap = 1 if node.op in _AVERAGE_POOLS else argument(node, 4, "dilation", 1)
    sides = zip(kernel, each_axis(stride, rank), pads, each_axis(gap, rank), strict=True)
    return [Window(*side) for side in sides]
