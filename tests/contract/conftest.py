"""What makes a hundred networks pass in minutes: one thread, and quick shapes on meta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _Norm(Function):
    """What it answers and its gradients have the shapes of what they belong to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)  # so that PyTorch notices when x is changed in place
        assert weight.shape == bias.shape == x.shape[1:2]
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


@pytest.fixture(autouse=True)
def _batch_norm_on_meta_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes and dependencies only: PyTorch's own takes milliseconds a layer to find them."""
    original = F.batch_norm

    def batch_norm(x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        if not x.is_meta or torch._C._len_torch_function_stack():  # modes have their own rules
            return original(x, *arguments, **named)
        _, _, weight, bias, *_ = (
            *arguments,
            *(named[each] for each in ("weight", "bias") if named),
        )
        normed: Tensor = _Norm.apply(x, weight, bias)
        return normed

    monkeypatch.setattr(F, "batch_norm", batch_norm)
