"""Rules for receptive fields where units do not move evenly: each is followed by index maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from backbones.inspection.arguments import Inputs, argument, each_axis
from backbones.inspection.graph import Node
from backbones.inspection.index_maps import (
    Sources,
    of_adaptive_pooling,
    of_interpolation,
    of_padding,
    of_transposed,
    through,
)
from backbones.inspection.spans import Field


def adaptive_pool(node: Node, inputs: Inputs) -> Field:
    """Windows of one or two sizes."""
    known, shape = inputs[0]
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        if axis is None:
            continue
        units, wanted = shape[axis], node.shape[axis]
        if wanted == 1:
            spans[dim] = spans[dim].of_all(units)
        else:
            spans[dim] = through(spans[dim], units, of_adaptive_pooling(units, wanted))
    return Field(known.axes, tuple(spans))


def padded(node: Node, inputs: Inputs) -> Field:
    """A constant is seen by nobody; other borders repeat what is inside."""
    known, shape = inputs[0]
    pads, mode = argument(node, 1, "pad"), argument(node, 2, "mode", "constant")
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        place = None if axis is None else 2 * (len(shape) - 1 - axis)
        if axis is None or place is None or place >= len(pads) or spans[dim].fixed:
            continue
        if mode == "constant" and not spans[dim].each:
            low = spans[dim].low - pads[place] * spans[dim].jump
            spans[dim] = replace(spans[dim], low=low)
        else:
            sources = of_padding(shape[axis], pads[place], pads[place + 1], mode)
            spans[dim] = through(spans[dim], shape[axis], sources)
    return Field(known.axes, tuple(spans))


def interpolated(node: Node, inputs: Inputs) -> Field:
    """Neighbours are mixed by all modes but "nearest"."""
    names = ("", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")
    how = {name: argument(node, at, name) for at, name in enumerate(names) if at}
    how["mode"], how["antialias"] = how["mode"] or "nearest", argument(node, 6, "antialias", False)
    rank = len(node.shape) - 2

    def sources(axis: int, units: int) -> Sources:
        return of_interpolation(units, node.shape[axis], axis - 2, rank, how)

    return _followed(inputs, sources)


def transposed_convolution(node: Node, inputs: Inputs) -> Field:
    """Each unit of the input spreads over a window of the output."""
    kernel = argument(node, 1, "weight")[2:]
    rank = len(kernel)
    stride, pad, more, gap = (
        each_axis(argument(node, at, name, usual), rank)
        for at, name, usual in (
            *((3, "stride", 1), (4, "padding", 0)),
            *((5, "output_padding", 0), (7, "dilation", 1)),
        )
    )

    def sources(axis: int, units: int) -> Sources:
        at = axis - 2
        return of_transposed(units, kernel[at], stride[at], pad[at], more[at], gap[at])

    return _followed(inputs, sources)


def _followed(inputs: Inputs, sources: Callable[[int, int], Sources]) -> Field:
    """By index maps, along the axes of the first input: of (axis, units)."""
    known, shape = inputs[0]
    spans = tuple(
        span
        if axis is None or span.fixed
        else through(span, shape[axis], sources(axis, shape[axis]))
        for axis, span in zip(known.axes, known.spans, strict=True)
    )
    return Field(known.axes, spans)


def shuffled(node: Node, inputs: Inputs) -> Field:
    """Channels become places."""
    factor = argument(node, 1, "upscale_factor", 1)
    return _followed(inputs, lambda axis, _: [[u // factor] for u in range(node.shape[axis])])


def unshuffled(node: Node, inputs: Inputs) -> Field:
    """Places become channels."""
    factor = argument(node, 1, "downscale_factor", 1)
    reads = range(factor)
    return _followed(
        inputs, lambda axis, _: [[u * factor + r for r in reads] for u in range(node.shape[axis])]
    )


def flipped(node: Node, inputs: Inputs) -> Field:
    """The other way round."""
    args, named = node.call
    given = named.get("dims", args[1:])
    flat = given[0] if given and isinstance(given[0], tuple) else given
    gone = {place % len(node.shape) for place in flat}
    return _followed(inputs, lambda axis, n: [[n - 1 - u if axis in gone else u] for u in range(n)])
