"""Concatenation whose backward pass takes a gradient apart in one call.

PyTorch's takes it apart tensor by tensor, and whoever watches hears of every one: in a dense
network they are most of all calls. No memory is taken meanwhile, so that nobody misses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_JOINS = {torch.cat, torch.concat, torch.concatenate}


class _Joined(torch.autograd.Function):
    """`torch.cat` of tensors of one type."""

    @staticmethod
    def forward(ctx: Any, dim: int, *tensors: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.dim, ctx.sizes = dim, [tensor.shape[dim] for tensor in tensors]
        return torch.cat(tensors, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        gradient, dim, sizes = gradients[0], ctx.dim, ctx.sizes
        if gradient is None:
            return (None,) * (1 + len(sizes))
        if torch.is_grad_enabled():  # somebody will differentiate again
            begins = [sum(sizes[:number]) for number in range(len(sizes))]
            parts = [gradient.narrow(dim, at, size) for at, size in zip(begins, sizes, strict=True)]
        else:
            with torch._C._DisableTorchDispatch():
                parts = list(torch.split(gradient, sizes, dim))
        wanted = ctx.needs_input_grad[1:]
        return None, *(part if want else None for part, want in zip(parts, wanted, strict=True))


class QuickJoins(TorchFunctionMode):
    """Inside, tensors are concatenated by `_Joined` where gradients are wanted."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _JOINS and args and len(args) + len(kwargs or ()) <= 2:
            dim = args[1] if len(args) == 2 else (kwargs or {}).get("dim", None if kwargs else 0)
            if isinstance(dim, int) and _is_plain(args[0]):
                return _Joined.apply(dim, *args[0])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


def _is_plain(tensors: Any) -> bool:
    """Whether these are tensors without numbers, of one type, and with as many sides."""
    if not isinstance(tensors, list | tuple) or not torch.is_grad_enabled():
        return False
    if not all(isinstance(tensor, Tensor) and tensor.is_meta for tensor in tensors):
        return False
    first = next(iter(tensors), None)
    return (
        first is not None
        and first.dim() > 0
        and all(t.dtype == first.dtype and t.dim() == first.dim() for t in tensors)
        and any(tensor.requires_grad for tensor in tensors)
    )
