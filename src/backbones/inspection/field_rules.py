"""How each function moves, widens or joins what the units of a map see of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from backbones.inspection.arguments import Inputs, Rule, argument
from backbones.inspection.graph import Node
from backbones.inspection.index_maps import through
from backbones.inspection.spans import BOUND, EXACT, MERGED, Field, Span, hull, span_of
from backbones.inspection.uneven_rules import (
    adaptive_pool,
    flipped,
    interpolated,
    padded,
    shuffled,
    transposed_convolution,
    unshuffled,
)
from backbones.inspection.windows import WINDOWED, windows_of


def _lost(inputs: Inputs, doubt: int = BOUND) -> Field:
    """Every unit sees what any unit of any input sees, or less where there is doubt."""
    spans = tuple(
        _joined([_all_of(known, shape, dim, doubt) for known, shape in inputs], 1)
        for dim in range(len(inputs[0][0].spans))
    )
    return Field((None,) * len(spans), spans)


def _all_of(known: Field, shape: Sequence[int], dim: int, doubt: int = EXACT) -> Span:
    axis = known.axes[dim]
    return known.spans[dim].of_all(1 if axis is None else shape[axis], doubt)


def _joined(spans: Sequence[Span], units: int) -> Span:
    """The smallest intervals around several, of maps with the same number of units."""
    if len(set(spans)) == 1:
        return spans[0]
    doubt = max(span.doubt for span in spans)
    if len({(span.jump, span.fixed) for span in spans}) > 1 or any(span.each for span in spans):
        every = zip(*(span.units(units) for span in spans), strict=True)
        jump = next((span.jump for span in spans if not span.fixed), spans[0].jump)
        return span_of([hull(seen) for seen in every], jump, doubt)
    low = min(span.low for span in spans)
    high = max(span.low + span.size for span in spans)
    return Span(high - low, spans[0].jump, low, spans[0].fixed, doubt=doubt)


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
                known.spans[dim].of_all(1 if old is None else shape[old], BOUND)
                if whole
                else known.spans[dim]
            )
        axes.append(axis)
        spans.append(_gated(parts, units) or _joined(parts, units))
    return Field(tuple(axes), tuple(spans))


def _gated(parts: Sequence[Span], units: int) -> Span | None:
    """The interval of an input that all units see, where it is the whole of what the others see."""
    whole = [part for part in parts if part.fixed]
    if not whole:
        return None
    jump = next((part.jump for part in parts if not part.fixed), whole[0].jump)
    all_of = [replace(part.of_all(units), jump=jump) for part in parts]
    seen = _joined(all_of, 1)
    low, high = min(p.low for p in whole), max(p.low + p.size for p in whole)
    border = max((part.size for part in parts if not part.fixed), default=0)
    return seen if low - seen.low <= border and seen.low + seen.size - high <= border else None


def _aligned(known: Field, shape: Sequence[int], output: Sequence[int]) -> tuple[int | None, ...]:
    """Where the axes of an input are in the output, its last axes below the output's last."""
    shift = len(output) - len(shape)
    return tuple(
        None
        if axis is None or axis + shift < 0 or output[axis + shift] < shape[axis]
        else axis + shift
        for axis in known.axes
    )


def _windowed(node: Node, inputs: Inputs) -> Field:
    """Windows over the last axes of the first input."""
    known, shape = inputs[0]
    spans, windows = list(known.spans), windows_of(node)
    for dim, axis in enumerate(known.axes):
        place = -1 if axis is None else axis - (len(shape) - len(windows))
        if axis is not None and place >= 0:
            spans[dim] = windows[place].over(spans[dim], shape[axis], node.shape[axis])
        elif axis is not None and axis == len(shape) - len(windows) - 1:
            spans[dim] = spans[dim].of_all(shape[axis])  # the unit moved along the channels
    return Field(known.axes, tuple(spans))


def _indexed(node: Node, inputs: Inputs) -> Field:
    """`x[...]` with whole numbers, slices, None, an ellipsis, and one list of places."""
    known, shape = inputs[0]
    index = argument(node, 1, "", ())
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
        if all(isinstance(place, int) for place in part):
            return through(span, units, [[place % units] for place in part])
        return span.of_all(units, BOUND)
    if isinstance(part, int):
        low, high = span.seen_by(part % units)
        return Span(high - low, span.jump, low, True, doubt=span.doubt)
    first, stop, step = part.indices(units)
    if span.each:
        return through(span, units, [[place] for place in range(first, stop, step)])
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
        _all_of(known, shape, dim, MERGED) if axis is None else known.spans[dim]
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
    one = argument(node, 1, "dim0", 0) % len(shape)
    other = argument(node, 2, "dim1", 1) % len(shape)
    swap = {one: other, other: one}
    return Field(tuple(a if a is None else swap.get(a, a) for a in known.axes), known.spans)


def _reduced(node: Node, inputs: Inputs) -> Field:
    known, shape = inputs[0]
    dims = argument(node, 1, "dim", None)
    if dims is None or isinstance(dims, bool):
        return _lost(inputs, EXACT)
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
    spans = [_all_of(known, shape, d) if a is None else known.spans[d] for d, a in enumerate(axes)]
    if last == 1:  # all that was merged into one vector is mixed
        spans = [replace(s, doubt=EXACT) if s.doubt == MERGED else s for s in spans]
    return Field(axes, tuple(spans))


def _concatenated(node: Node, inputs: Inputs) -> Field:
    place = argument(node, 1, "dim", 0) % len(node.shape)
    if any(place in known.axes for known, _ in inputs):
        return _lost(inputs)
    return pointwise(node, inputs)


def _shared_out(node: Node, inputs: Inputs) -> Field:
    """Softmax: what is on one axis is divided by its sum."""
    known, shape = inputs[0]
    dim = argument(node, 1, "dim")
    if not isinstance(dim, int):
        return _lost(inputs)
    spans = tuple(
        span.of_all(shape[axis]) if axis == dim % len(shape) else span
        for axis, span in zip(known.axes, known.spans, strict=True)
    )
    return Field(known.axes, spans)


def _everything(node: Node, inputs: Inputs) -> Field:
    return _lost(inputs)


_RESHAPES = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as")
_MIX_ALL = (
    *("matmul", "mm", "bmm", "einsum", "tensordot", "scaled_dot_product_attention", "roll"),
    *("multi_head_attention_forward", "index_select", "gather", "take", "sort", "cumsum", "fft2"),
    *("unfold", "fold", "grid_sample", "as_strided", "repeat", "tile", "lstm", "gru", "rnn_tanh"),
    *("linalg_matmul", "lstm_cell", "gru_cell", "rnn_relu", "repeat_interleave", "index", "mv"),
)
# Copies, parts and casts: units stay where they are, as far as their axes have the same length.
PLACED = frozenset(
    [
        *("chunk", "split", "narrow", "expand", "expand_as", "contiguous", "clone", "to", "float"),
        *("double", "half", "type", "type_as", "detach", "max", "min", "setitem", "stack", "glu"),
        *("unbind", "select", "data", "real", "imag", "embedding", "tensor_split", "slice"),
    ]
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(WINDOWED, _windowed),
    **{
        f"adaptive_{kind}_pool{rank}d": adaptive_pool
        for kind in ("avg", "max")
        for rank in (1, 2, 3)
    },
    **dict.fromkeys(_RESHAPES, _reshaped),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var", "std", "logsumexp", "norm"), _reduced),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transposed),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    **dict.fromkeys(_MIX_ALL, _everything),
    **{f"conv_transpose{rank}d": transposed_convolution for rank in (1, 2, 3)},
    **dict.fromkeys(("softmax", "log_softmax"), _shared_out),
    "pixel_shuffle": shuffled,
    "pixel_unshuffle": unshuffled,
    "flip": flipped,
    "pad": padded,
    "getitem": _indexed,
    "permute": _permuted,
    "linear": _fully_connected,
    "interpolate": interpolated,
}
