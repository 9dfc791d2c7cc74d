"""Another processor's rounding, for finding tests that hang on that of one.

Kernels of another instruction set add in another order, and how a sum is blocked and where its
last vector ends depend on the shapes. Here each result of convolution, matrix product, batch norm
and softmax in fp32 or fp64, and so each gradient that goes back through it, is multiplied by
1 + k eps: k is -2..2, and made of the shapes. The same code run the same way gives the same bits;
another batch, or another way to the same number, gives others. (Half precision is left alone: its
sums are kept in fp32 and rounded once, so that two processors hardly differ.)

`make test-rounding` runs the tests that compute under it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import _disable_current_modes

FUNCTIONS: list[tuple[Any, str]] = [
    *((F, f"conv{n}d") for n in (1, 2)),
    (F, "conv_transpose2d"),
    *((F, name) for name in ("linear", "batch_norm", "softmax", "log_softmax")),
    *((torch, name) for name in ("conv2d", "matmul", "mm", "bmm", "addmm", "softmax")),
    *((Tensor, name) for name in ("matmul", "__matmul__", "mm", "bmm", "softmax", "log_softmax")),
]


@lru_cache(maxsize=256)
def factor(
    name: str, shapes: tuple[torch.Size, ...], out: torch.Size, dtype: torch.dtype
) -> Tensor:
    """What a result of this shape is multiplied by; the last dimensions decide, as a row's end."""
    numbers = torch.Generator().manual_seed(zlib.crc32(repr((name, shapes, dtype)).encode()))
    k = torch.randint(-2, 3, out[-2:], generator=numbers)
    return (1 + k * torch.finfo(dtype).eps).to(dtype)


def rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or type(result) is not Tensor:
            return result  # one more operator would be a wrong one
        if result.device.type != "cpu" or result.dtype not in (torch.float32, torch.float64):
            return result
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        shapes = tuple(tensor.shape for tensor in tensors)
        # Softmax keeps its result for the backward pass; that of the others may be overwritten.
        multiply = Tensor.mul if "softmax" in name else Tensor.mul_
        with _disable_current_modes():  # whoever counts operators counts this one not
            return multiply(result, factor(name, shapes, result.shape, result.dtype))

    return call


def install() -> None:
    """Round as the other processor does, from here to the end of the process."""
    for owner, name in FUNCTIONS:
        setattr(owner, name, rounded(getattr(owner, name)))
