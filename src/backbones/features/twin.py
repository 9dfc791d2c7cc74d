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
_ADDING = {Tensor.add_, Tensor.__iadd__}
_ACTIVATIONS = {F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.silu}


class Versions(ShapesOnly):
    """`ShapesOnly`, where a value that is changed in place is still known by its version.

    What every network has does not ask PyTorch, which would first import symbolic algebra, for
    seconds.
    """

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
        if func in _ADDING and getattr(args[1], "shape", None) == args[0].shape:
            return args[0].zero_()
        if func is F.batch_norm or func in _ACTIVATIONS:
            inplace = func is torch.relu_ or given.get("inplace") or args[-1] is True
            return args[0].zero_() if inplace else _like(args[0], args[0].shape)
        if func in _SHAPED and (shape := _SHAPED[func](*args, **given)) is not None:
            return _like(args[0], shape)
        return super().__torch_function__(func, types, args, given)


def _like(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device="meta")


def _averaged(x: Tensor, size: int | Sequence[int | None]) -> tuple[int, ...] | None:
    """The shape of an adaptive pooling's output; None where PyTorch shall judge."""
    height, width = (size, size) if isinstance(size, int) else size
    if x.dim() != 4 or height is None or width is None:
        return None
    return (*x.shape[:2], height, width)


Pair = int | Sequence[int]


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[int, ...] | None:
    """The shape of a convolution's output; None for what PyTorch shall judge, such as an error."""
    if x.dim() != 4 or x.shape[1] != weight.shape[1] * groups or isinstance(padding, str):
        return None
    sides = _windows(x, tuple(weight.shape[2:]), stride, padding, dilation)
    return (len(x), len(weight), *sides) if min(sides) > 0 else None


def _pooled(
    x: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    *others: object,
    **named: object,
) -> tuple[int, ...] | None:
    """The shape of a pooling's output, rounded down; None for what PyTorch shall judge."""
    plain = {"dilation": 1, "return_indices": False, "count_include_pad": True}
    odd = any(named.get(key, usual) != usual for key, usual in plain.items())
    if x.dim() != 4 or others not in ((), (1,)) or odd or named.get("ceil_mode"):
        return None
    sides = _windows(x, kernel_size, kernel_size if stride is None else stride, padding, 1)
    return (*x.shape[:2], *sides) if min(sides) > 0 else None


def _windows(x: Tensor, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    """How many windows fit into the height and the width."""
    values = (size, stride, padding, dilation)
    pairs = [(v, v) if isinstance(v, int) else tuple(v) for v in values]
    return [
        (side + 2 * around - by * (window - 1) - 1) // step + 1
        for side, window, step, around, by in zip(x.shape[2:], *pairs, strict=True)
    ]


def _connected(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[int, ...] | None:
    """The shape of a fully connected layer's output; None where it does not fit."""
    return (*x.shape[:-1], len(weight)) if x.shape[-1:] == weight.shape[1:] else None


_SHAPED: dict[Any, Callable[..., tuple[int, ...] | None]] = {
    torch.conv2d: _convolved,
    F.max_pool2d: _pooled,
    F.linear: _connected,
    F.adaptive_avg_pool2d: _averaged,
}


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
        with Versions():
            twin(torch.empty_like(x, device="meta"))
    except Exception as error:
        raise WrongUse(
            f"{type(model).__name__} cannot be followed on the meta device ({error});"
            " name the layer to tap"
        ) from error
    if not seen[-1]:
        raise WrongUse(f"{type(model).__name__} has no layer with weights; name the layer to tap")
    return seen[-1]
