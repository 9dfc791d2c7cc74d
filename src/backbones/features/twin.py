"""The twin of a network: the same layers without numbers, to find out what the network would do."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.nn.meta import ShapesOnly

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# What gives a tensor of its own unless it is told to work in place.
_FRESH = {
    *(F.batch_norm, F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.silu),
    *(torch.sigmoid, torch.tanh, F.local_response_norm),
}
_AUGMENTED = {"__iadd__", "__isub__", "__imul__", "__itruediv__"}


class Versions(ShapesOnly):
    """`ShapesOnly`, where a value that is changed in place is still known by its version."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        first = args[0] if args and isinstance(args[0], Tensor) else None
        fresh = func in _FRESH and first is not None and first.is_meta
        named = func.__name__
        in_place = (
            named in _AUGMENTED
            or (named.endswith("_") and not named.endswith("__"))
            or given.get("inplace")
            or (fresh and args[-1] is True)
        )
        if first is None or not in_place:
            if fresh and first is not None:
                return torch.empty(first.shape, dtype=first.dtype, device="meta")
            return super().__torch_function__(func, types, args, given)
        before = first._version
        found = super().__torch_function__(func, types, args, given)
        if first._version == before:  # only the shape was followed
            first.zero_()
        return first if fresh else found


def on_meta(model: nn.Module) -> nn.Module:
    """A copy without numbers and without anybody's hooks."""
    memo: dict[int, Any] = {}
    for layer in model.modules():
        memo |= {id(hooks): OrderedDict() for hooks in (getattr(layer, name) for name in _HOOKS)}
        for parameter in layer._parameters.values():
            if parameter is not None:
                memo[id(parameter)] = nn.Parameter(_shape_of(parameter), requires_grad=False)
        for buffer in layer._buffers.values():
            if buffer is not None:
                memo[id(buffer)] = _shape_of(buffer)
    return copy.deepcopy(model, memo)


def _shape_of(tensor: Tensor) -> Tensor:
    """The tensor without numbers; of one that has none, `empty_like` imports an algebra system."""
    shape, strides = tensor.shape, tensor.stride()
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")


def last_layer(model: nn.Module, x: Tensor) -> str:
    """The path of the last layer with weights of its own that evaluates images, usually "fc".

    Args:
        model: any module that is called with images.
        x: one or more of them; only their shape counts.

    Raises:
        WrongUse: the model has no such layer, or cannot run on the meta device.
    """
    twin, seen = on_meta(model).eval(), [""]
    for path, layer in twin.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(lambda *_, path=path: seen.append(path))
    try:
        with Versions():
            twin(_shape_of(x))
    except Exception as error:
        raise WrongUse(
            f"{type(model).__name__} cannot be followed on the meta device ({error});"
            " name the layer to tap"
        ) from error
    if not seen[-1]:
        raise WrongUse(f"{type(model).__name__} has no layer with weights; name the layer to tap")
    return seen[-1]
