"""Networks that have shapes and no numbers: building one takes milliseconds and no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLS = {Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_}


class _NothingToFill(TorchFunctionMode):
    """Initialisations do nothing: PyTorch takes longer to fill a tensor of no numbers than the
    rest of the network takes to be built. Modes belong to a thread, so others are left alone."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return args[0] if func in _FILLS else func(*args, **(kwargs or {}))


@contextmanager
def shapes_only() -> Iterator[None]:
    """Inside, tensors are made on the meta device and left unfilled.

    Example:
        >>> with shapes_only():
        ...     layer = torch.nn.Linear(4096, 4096)
        >>> layer.weight.is_meta
        True
    """
    with torch.device("meta"), _NothingToFill():
        yield
