"""How each function moves, widens or joins what the units of a map see of the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch

from backbones.inspection.graph import Node
from backbones.inspection.spans import Field, Span

Inputs = Sequence[tuple[Field, tuple[int, ...]]]
Rule = Callable[[Node, Inputs], Field]


def _lost(inputs: Inputs) -> Field:
    """Every unit sees what any unit of any input sees."""
    spans = tuple(
        _joined([_all_of(known, shape, dim) for known, shape in inputs])
        for dim in range(len(inputs[0][0].spans))
    )
    return Field((None,) * len(spans), spans)


def _all_of(known: Field, shape: Sequence[int], dim: int) -> Span:
    axis = known.axes[dim]
    return known.spans[dim].of_all(1 if axis is None else shape[axis])


def _joined(spans: Sequence[Span]) -> Span:
    """The smallest interval around several, of maps with the same number of units."""
    if len(set(spans)) == 1:
        return spans[0]
    low = min(span.low for span in spans)
    high = max(span.low + span.size for span in spans)
    return Span(high - low, spans[0].jump, low, spans[0].fixed)


def pointwise(node: Node, inputs: Inputs) -> Field:
    """Unit i sees what unit i of the inputs sees; an input of one unit is seen by all."""
    placed = [(known, _aligned(known, shape, node.shape), shape) for known, shape in inputs]
    axes: list[int | None] = []
    spans: list[Span] = []
    for dim in range(len(inputs[0][0].spans)):
        where = {axes_[dim] for _, axes_, _ in placed if axes_[dim] is not None}
        axis = next(iter(where)) if len(where) == 1 else None
        units = 1 if axis is None else node.shape[axis]
        parts = []
        for known, axes_, shape in placed:
            old = known.axes[dim]
            whole = axes_[dim] is None or old is None or shape[old] != units
            parts.append(
                known.spans[dim].of_all(1 if old is None else shape[old])
                if whole
                else known.spans[dim]
            )
        if any(part.fixed for part in parts) or len({part.jump for part in parts}) > 1:
            jump = next((part.jump for part in parts if not part.fixed), parts[0].jump)
            parts = [replace(part.of_all(units), jump=jump) for part in parts]
        axes.append(axis)
        spans.append(_joined(parts))
    return Field(tuple(axes), tuple(spans))


def _aligned(known: Field, shape: Sequence[int], output: Sequence[int]) -> tuple[int | None, ...]:
    """Where the axes of an input are in the output, its last axes below the output's last."""
    shift = len(output) - len(shape)
    return tuple(
        None
        if axis is None or axis + shift < 0 or output[axis + shift] < shape[axis]
        else axis + shift
        for axis in known.axes
    )


def _argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    args, named = node.call
    value = named.get(name, args[place] if place < len(args) else default)
    return default if value is None else value


def _each(value: Any, count: int) -> list[int]:
    if isinstance(value, int):
        return [value] * count
    values = list(value)
    return values * count if len(values) == 1 else values


@dataclass(frozen=True, slots=True)
class _Window:
    """Unit i sees `size` units of the input from `i * stride - padding`, each `gap` apart."""

    size: int
    stride: int
    padding: int
    gap: int = 1

    def over(self, span: Span) -> Span:
        if span.fixed:
            return replace(span, jump=span.jump * self.stride)
        low = span.low - self.padding * span.jump
        size = span.size + (self.size - 1) * self.gap * span.jump
        return Span(size, span.jump * self.stride, low)


def _windowed(inputs: Inputs, windows: Sequence[_Window]) -> Field:
    """Windows over the last axes of the first input."""
    known, shape = inputs[0]
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        place = -1 if axis is None else axis - (len(shape) - len(windows))
        if axis is not None and place >= 0:
            spans[dim] = windows[place].over(spans[dim])
        elif axis is not None and axis == len(shape) - len(windows) - 1:
            spans[dim] = spans[dim].of_all(shape[axis])  # the unit moved along the channels
    return Field(known.axes, tuple(spans))


def _convolution(node: Node, inputs: Inputs) -> Field:
    kernel = _argument(node, 1, "weight")[2:]
    rank = len(kernel)
    stride = _each(_argument(node, 3, "stride", 1), rank)
    gap = _each(_argument(node, 5, "dilation", 1), rank)
    padding = _argument(node, 4, "padding", 0)
    if padding == "same":
        padding = [d * (k - 1) // 2 for d, k in zip(gap, kernel, strict=True)]
    pads = _each(0 if padding == "valid" else padding, rank)
    windows = [_Window(*sides) for sides in zip(kernel, stride, pads, gap, strict=True)]
    return _windowed(inputs, windows)


def _max_pool(node: Node, inputs: Inputs) -> Field:
    return _pool(node, inputs, _argument(node, 4, "dilation", 1))


def _avg_pool(node: Node, inputs: Inputs) -> Field:
    return _pool(node, inputs, 1)


def _pool(node: Node, inputs: Inputs, dilation: Any) -> Field:
    rank = int(node.op[-2]) if node.op.endswith("d") else int(node.op.split("d_")[0][-1])
    kernel = _each(_argument(node, 1, "kernel_size"), rank)
    stride = _argument(node, 2, "stride", ()) or kernel
    pads = _each(_argument(node, 3, "padding", 0), rank)
    sides = zip(kernel, _each(stride, rank), pads, _each(dilation, rank), strict=True)
    return _windowed(inputs, [_Window(*side) for side in sides])


def _adaptive_pool(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        if axis is None:
            continue
        units, wanted = shape[axis], node.shape[axis]
        if wanted == 1:
            spans[dim] = spans[dim].of_all(units)
        elif units % wanted == 0:
            spans[dim] = _Window(units // wanted, units // wanted, 0).over(spans[dim])
        else:  # windows of several sizes: the largest, and the mean jump
            sizes = [-(-(i + 1) * units // wanted) - i * units // wanted for i in range(wanted)]
            wide = _Window(max(sizes), 1, 0).over(spans[dim])
            spans[dim] = replace(wide, jump=wide.jump * Fraction(units, wanted))
    return Field(known.axes, tuple(spans))


def _padded(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    pads = _argument(node, 1, "pad")
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        place = None if axis is None else 2 * (len(shape) - 1 - axis)
        if place is not None and place < len(pads) and not spans[dim].fixed:
            low = spans[dim].low - pads[place] * spans[dim].jump
            spans[dim] = replace(spans[dim], low=low)
    return Field(known.axes, tuple(spans))


def _indexed(node: Node, inputs: Inputs) -> Field:
    """`x[...]` with whole numbers, slices, None, an ellipsis, and one list of places."""
    known, shape = inputs[0]
    index = _argument(node, 1, "", ())
    parts = list(index) if isinstance(index, tuple) else [index]
    plain = all(part is None or part is ... or isinstance(part, int | slice) for part in parts)
    if not plain and not _is_one_list(parts):
        return _lost(inputs)
    taken = sum(part is not None and part is not ... for part in parts)
    if ... not in parts:
        parts.append(...)
    at = parts.index(...)
    parts[at : at + 1] = [slice(None)] * (len(shape) - taken)
    spans, axes = list(known.spans), list(known.axes)
    old = new = 0
    for part in parts:
        if part is None:
            new += 1
            continue
        for dim, axis in enumerate(known.axes):
            if axis == old:
                spans[dim] = _sliced(spans[dim], part, shape[old])
                axes[dim] = None if isinstance(part, int) else new
        old, new = old + 1, new + (not isinstance(part, int))
    return Field(tuple(axes), tuple(spans))


def _is_one_list(parts: Sequence[Any]) -> bool:
    """Slices and one list of places, which then leaves all axes where they are."""
    lists = [part for part in parts if isinstance(part, tuple)]
    others = all(isinstance(part, slice) or part is ... for part in parts if part not in lists)
    return len(lists) == 1 and others and not isinstance(lists[0], torch.Size)


def _sliced(span: Span, part: int | slice | tuple[int, ...], units: int) -> Span:
    if span.fixed:
        return span
    if isinstance(part, tuple):
        return span.of_all(units)
    if isinstance(part, int):
        return replace(span, low=span.low + (part % units) * span.jump, fixed=True)
    first, _, step = part.indices(units)
    return replace(span, low=span.low + first * span.jump, jump=span.jump * step)


def _reshaped(node: Node, inputs: Inputs) -> Field:
    """An axis survives where as many numbers stand before it as before, and as many in it."""
    known, shape = inputs[0]
    axes = tuple(
        None
        if axis is None
        else next(
            (
                new
                for new in range(len(node.shape))
                if node.shape[new] == shape[axis]
                and math.prod(node.shape[:new]) == math.prod(shape[:axis])
            ),
            None,
        )
        for axis in known.axes
    )
    return _moved(known, shape, axes)


def _moved(known: Field, shape: Sequence[int], axes: tuple[int | None, ...]) -> Field:
    """The same units under other axes; where an axis is gone, all of them are in one."""
    spans = tuple(
        _all_of(known, shape, dim) if axis is None else known.spans[dim]
        for dim, axis in enumerate(axes)
    )
    return Field(axes, spans)


def _permuted(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    args, named = node.call
    order = named.get("dims", args[1:])
    flat = order[0] if order and isinstance(order[0], tuple) else order
    places = [place % len(shape) for place in flat]
    axes = tuple(None if axis is None else places.index(axis) for axis in known.axes)
    return Field(axes, known.spans)


def _transposed(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    one = _argument(node, 1, "dim0", 0) % len(shape)
    other = _argument(node, 2, "dim1", 1) % len(shape)
    swap = {one: other, other: one}
    return Field(tuple(a if a is None else swap.get(a, a) for a in known.axes), known.spans)


def _reduced(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    dims = _argument(node, 1, "dim", None)
    if dims is None or isinstance(dims, bool):
        return _lost(inputs)
    gone = {dim % len(shape) for dim in ([dims] if isinstance(dims, int) else dims)}
    kept = len(node.shape) == len(shape)
    axes = tuple(
        None
        if a is None or (a in gone and not kept)
        else a
        if kept
        else a - sum(dim < a for dim in gone)
        for a in known.axes
    )
    spans = tuple(
        _all_of(known, shape, dim) if axis is not None and axis in gone else known.spans[dim]
        for dim, axis in enumerate(known.axes)
    )
    return Field(axes, spans)


def _fully_connected(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    last = len(shape) - 1
    axes = tuple(None if axis == last else axis for axis in known.axes)
    return _moved(known, shape, axes)


def _concatenated(node: Node, inputs: Inputs) -> Field:
    place = _argument(node, 1, "dim", 0) % len(node.shape)
    if any(place in known.axes for known, _ in inputs):
        return _lost(inputs)
    return pointwise(node, inputs)


def _interpolated(node: Node, inputs: Inputs) -> Field:
    """Neighbours are mixed by all modes but "nearest"; the jump may become a fraction."""
    known, shape = inputs[0]
    mode = _argument(node, 3, "mode", "nearest")
    reach = {"nearest": 1, "nearest-exact": 1, "bicubic": 4}.get(mode, 2)
    spans = list(known.spans)
    for dim, axis in enumerate(known.axes):
        if axis is None or spans[dim].fixed or node.shape[axis] == shape[axis]:
            continue
        wide = _Window(reach, 1, reach // 2).over(spans[dim])
        spans[dim] = replace(wide, jump=wide.jump * Fraction(shape[axis], node.shape[axis]))
    return Field(known.axes, tuple(spans))


def _everything(node: Node, inputs: Inputs) -> Field:
    return _lost(inputs)


_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d")
_RESHAPES = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as")
_MIX_ALL = (
    *("matmul", "mm", "bmm", "einsum", "tensordot", "scaled_dot_product_attention", "roll", "flip"),
    *("multi_head_attention_forward", "index_select", "gather", "take", "sort", "cumsum", "fft2"),
    *("pixel_shuffle", "pixel_unshuffle", "unfold", "fold", "grid_sample", "conv_transpose1d"),
    *("conv_transpose2d", "conv_transpose3d", "as_strided", "repeat", "tile", "lstm", "gru"),
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys((*_POOLS, *(f"{name}_with_indices" for name in _POOLS)), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _avg_pool),
    **{
        f"adaptive_{kind}_pool{rank}d": _adaptive_pool
        for kind in ("avg", "max")
        for rank in (1, 2, 3)
    },
    **dict.fromkeys(_RESHAPES, _reshaped),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var", "std", "logsumexp", "norm"), _reduced),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transposed),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    **dict.fromkeys(_MIX_ALL, _everything),
    "pad": _padded,
    "getitem": _indexed,
    "permute": _permuted,
    "linear": _fully_connected,
    "interpolate": _interpolated,
}
