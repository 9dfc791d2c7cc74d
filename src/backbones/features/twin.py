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
_FILLING = {Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_}
_ACTIVATIONS = {F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.silu}


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
        if func in _FILLING:
            return func(*args, **given)
        if func is F.batch_norm or func in _ACTIVATIONS:
            inplace = func is torch.relu_ or given.get("inplace") or args[-1] is True
            return args[0].zero_() if inplace else torch.empty_like(args[0])
        return super().__torch_function__(func, types, args, given)


def on_meta(model: nn.Module) -> nn.Module:
    """A copy without numbers and without anybody's hooks."""
    memo: dict[int, Any] = {}
    for layer in model.modules():
        memo |= {id(hooks): OrderedDict() for hooks in (getattr(layer, name) for name in _HOOKS)}
        for parameter in layer._parameters.values():
            if parameter is not None:
                meta = torch.empty_like(parameter, device="meta")
                memo[id(parameter)] = nn.Parameter(meta, requires_grad=False)
        for buffer in layer._buffers.values():
            if buffer is not None:
                memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo)


def last_layer(model: nn.Module, x: Tensor) -> str:
    """The path of the last layer with weights of its own that evaluates pictures, usually "fc".

    Args:
        model: any module that is called with pictures.
        x: one or more of them; only their shape counts.

    Raises:
        WrongUse: the model has no such layer, or cannot run on the meta device.
    """
    twin, seen = on_meta(model).eval(), [""]
    for path, layer in twin.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(lambda *_, path=path: seen.append(path))
    try:
        with ShapesOnly():
            twin(torch.empty_like(x, device="meta"))
    except Exception as error:
        raise WrongUse(
            f"{type(model).__name__} cannot be followed on the meta device ({error});"
            " name the layer to tap"
        ) from error
    if not seen[-1]:
        raise WrongUse(f"{type(model).__name__} has no layer with weights; name the layer to tap")
    return seen[-1]
