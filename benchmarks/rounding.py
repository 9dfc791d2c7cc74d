"""What bf16 units would answer, on a processor that has none.

A bf16 unit multiplies numbers of 8 significant bits, adds the products up in fp32, and rounds the
sum once. PyTorch's kernels for processors without such units do the same a hundred times slower.
Inside `AsOnBf16Units`, products of bf16 matrices and convolutions, and their gradients, are
computed by the fp32 kernels from the same numbers, and rounded once. Everything else (what
autocast casts, layers between the products, the loss, the optimiser) is PyTorch's own, in the type
that it has anywhere. So accuracies are those of bf16; seconds are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten: Any = torch.ops.aten
PRODUCTS = frozenset(
    (
        aten.convolution.default,
        aten.convolution_backward.default,
        aten.mm.default,
        aten.addmm.default,
        aten.bmm.default,
        aten.baddbmm.default,
        aten.linear.default,
    )
)


class AsOnBf16Units(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, products of bf16 tensors are made in fp32 and rounded."""

    def __torch_dispatch__(
        self,
        operator: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if operator not in PRODUCTS or not any(_is_bf16(value) for value in args):
            return operator(*args, **named)
        return _cast(operator(*[_cast(value, torch.float32) for value in args], **named))


def _is_bf16(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bfloat16


def _cast(value: Any, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Tensors in another type, alone or in a tuple of results; everything else as it is."""
    if isinstance(value, tuple):
        return tuple(_cast(part, dtype) for part in value)
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
