"""Networks that have shapes and no numbers: building and running one takes milliseconds and no
memory, because nothing is computed but shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor, torch.arange}
# What leaves the shape of its first argument alone. On the meta device PyTorch finds that out in
# Python, operator by operator, and takes longer over it than over everything else.
_SAME_SHAPE = {
    *(Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_),
    *(F.batch_norm, F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.silu, F.dropout),
}


class ShapesOnly(TorchFunctionMode):
    """Inside, tensors are made on the meta device, nothing is filled, and only shapes follow.

    Modes belong to a thread: others go on computing.

    Example:
        >>> with ShapesOnly():
        ...     layer = torch.nn.Linear(4096, 4096)
        >>> layer.weight.is_meta
        True
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _SAME_SHAPE:
            return args[0]
        given = dict(kwargs or {})
        if func is torch.cat and all(tensor.is_meta for tensor in args[0]):
            return _joined(*args, **given)
        if func in _MAKERS and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return torch.empty(shape, dtype=tensors[0].dtype, device="meta")
