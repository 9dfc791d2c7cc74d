"""Which units of its input each unit of an output is made of, where they do not move evenly.

Interpolation and transposed convolution are asked, not modelled: PyTorch runs them along one axis
on a matrix that tells every unit apart, and what comes out says who was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.inspection.spans import Number, Span, hull, span_of

Sources = Sequence[Sequence[int]]


def through(span: Span, units: int, sources: Sources) -> Span:
    """What the units of an output see.

    Args:
        span: of the input's units.
        units: how many these are.
        sources: for each unit of the output, the units that it reads; no more than these in doubt.
    """
    if span.fixed:
        return span
    known = span.units(units)
    each = [hull(known[source] for source in read) for read in sources]
    jump: Number = span.jump * Fraction(units, max(1, len(sources)))
    return span_of(each, int(jump) if jump == int(jump) else jump, span.doubt)


def of_interpolation(units: int, count: int, axis: int, rank: int, how: dict[str, Any]) -> Sources:
    """Of `torch.nn.functional.interpolate`.

    Args:
        units, count: of the input and the output, along the axis.
        axis: which of the `rank` axes of maps.
        rank: of the maps.
        how: its named arguments.
    """
    sides = [2] * rank  # a side of 1 is taken for another memory layout
    sides[axis] = units
    given = dict(how)
    for name in ("size", "scale_factor"):
        value = given.get(name)
        if value is not None:
            along = value[axis] if isinstance(value, list | tuple) else value
            usual = 2 if name == "size" else 1
            given[name] = [along if i == axis else usual for i in range(rank)]
    shape = [units if i == axis else 1 for i in range(rank)]
    marked = torch.eye(units).reshape(1, units, *shape).expand(1, units, *sides).contiguous()
    made = F.interpolate(marked, **given).movedim(2 + axis, 2)
    return _read(made.reshape(units, count, -1)[..., 0])


def of_transposed(units: int, kernel: int, stride: int, pad: int, more: int, gap: int) -> Sources:
    """Of a transposed convolution along one axis.

    Args:
        units: of the input.
        kernel, stride, pad, gap: of the convolution.
        more: its output padding.
    """
    marked = torch.eye(units)[:, None, :]
    weight = torch.ones(1, 1, kernel)
    made = F.conv_transpose1d(marked, weight, None, stride, pad, more, 1, gap)
    return _read(made[:, 0, :])


def of_padding(units: int, before: int, after: int, mode: str) -> Sources:
    """Of `torch.nn.functional.pad` along one axis; a constant is made of nothing."""
    marked = torch.eye(units)[:, None, :]
    return _read(F.pad(marked, (before, after), mode=mode)[:, 0, :])


def of_windows(units: int, count: int, size: int, stride: int, pad: int, gap: int) -> Sources:
    """Of a convolution or pooling along one axis; what lies on the border is nothing."""
    begins = (unit * stride - pad for unit in range(count))
    reads = (range(begin, begin + size * gap, gap) for begin in begins)
    return [[i for i in read if 0 <= i < units] for read in reads]


def of_adaptive_pooling(units: int, count: int) -> Sources:
    """Of adaptive pooling: windows of one or two sizes."""
    return [range(i * units // count, -(-(i + 1) * units // count)) for i in range(count)]


def _read(made: Tensor) -> Sources:
    """For each column of (units, count), the rows that are not zero."""
    return [column.nonzero().flatten().tolist() for column in made.unbind(1)]
