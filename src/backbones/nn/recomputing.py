"""Less memory for more arithmetic: results that the backward pass computes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Tensor], norm: nn.BatchNorm2d, *tensors: Tensor) -> Tensor:
    """`function(*tensors)`, of which the backward pass keeps the arguments alone.

    What lies between is computed a second time there, without a second update of the running
    averages. It is a plain call where no gradients are wanted, and inside `torch.compile`, which
    decides by itself what to keep.

    Args:
        function: deterministic; calls `norm` once, and no other layer with state.
        norm: the batch normalisation inside.
        tensors: its arguments.
    """

    def first_and_second_time() -> tuple[
        AbstractContextManager[None], AbstractContextManager[None]
    ]:
        return nullcontext(), _averages_kept(norm)

    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*tensors)
    result: Tensor = checkpoint(
        function,
        *tensors,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=first_and_second_time,
    )
    return result


@contextmanager
def _averages_kept(norm: nn.BatchNorm2d) -> Iterator[None]:
    """In training mode, normalise by the batch and leave the running averages as they are."""
    momentum, counter = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, counter
