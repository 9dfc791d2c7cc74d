"""Mixed precision: bf16 products, but for the layers that are slow in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class _DepthwiseInFp32(TorchFunctionMode):
    """Inside, a convolution of one filter a channel computes in fp32 whatever autocast says.

    On processors the backward pass of these is 4 to 7 times slower in bf16 than in fp32 (two AMX
    cores: 94 against 14 ms for 144 channels of 56 px, 5 x 5, stride 2), and they were half of a
    training step of EfficientNet-B0; forward they take as long either way.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is not F.conv2d or args[1].shape[1] != 1 or args[1].shape[0] == 1:
            return func(*args, **given)
        images, *others = args
        with torch.autocast(images.device.type, enabled=False):
            return func(images.float(), *others, **given)


@contextmanager
def computing_in(precision: str, device: torch.device, *, compiled: bool = False) -> Iterator[None]:
    """Inside, a forward pass computes in this precision.

    Args:
        precision: "fp32" or "bf16"; the weights stay fp32.
        device: of the network.
        compiled: the network's form is one of torch.compile, which chooses by itself.
    """
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        if precision == "bf16" and device.type == "cpu" and not compiled:
            with _DepthwiseInFp32():
                yield
        else:
            yield
