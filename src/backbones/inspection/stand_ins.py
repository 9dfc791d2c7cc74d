"""A module made ready for a pass without numbers: stand-ins for what it holds, layers that say that
they run, and the layers that networks are mostly made of answered without running their Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from backbones.inspection.liveness import Follow
from backbones.inspection.outputs import UnlikeTheRule, aten, rule_of

_HOOKS = ("_backward_hooks", "_backward_pre_hooks")


@contextmanager
def stand_ins(modules: Mapping[str, nn.Module], follow: Follow) -> Iterator[list[Tensor]]:
    """Parameters and buffers without numbers in their places, and layers that say that they run.

    Args:
        modules: module path -> module, all of a network's.
        follow: the pass.
    """
    found: dict[int, Tensor] = {}
    put_back: list[Callable[[], Any]] = []

    def stand_in(tensor: Tensor) -> Tensor:
        if id(tensor) not in found:  # layers may share one
            found[id(tensor)] = _without_numbers(tensor, follow, put_back)
        return found[id(tensor)]

    try:
        for name, module in modules.items():
            for own in (module._parameters, module._buffers):
                if own:
                    put_back.append(partial(own.update, dict(own)))
                    own.update({k: t if t is None else stand_in(t) for k, t in own.items()})
            if not module._modules:
                _listen(name, module, follow, put_back)
        yield list(found.values())
    finally:
        for back in put_back:
            back()


def _without_numbers(tensor: Tensor, follow: Follow, put_back: list[Callable[[], Any]]) -> Tensor:
    """A stand-in; the tensor itself where it has no numbers and nobody listens to it."""
    listens = tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None)
    itself = tensor.is_meta and follow.device.type == "meta" and tensor.is_leaf and not listens
    if not itself or type(tensor) not in (Tensor, nn.Parameter):
        return follow.stand_in(tensor).requires_grad_(tensor.requires_grad)
    follow.own(tensor)
    if tensor.requires_grad:
        put_back.append(partial(setattr, tensor, "grad", tensor.grad))
        tensor.grad = None
    return tensor


def _listen(name: str, layer: nn.Module, follow: Follow, put_back: list[Callable[[], Any]]) -> None:
    """Let a layer say that it runs.

    Its forward pass says so where nothing is between that and a hook, which takes longer.
    """
    own = layer.__dict__
    if "forward" in own or any(own.get(hooks, True) for hooks in _HOOKS):
        hook = layer.register_forward_pre_hook(partial(_runs, follow, name))
        put_back.append(hook.remove)
        return
    own["forward"] = _saying(name, layer, follow)
    put_back.append(partial(own.pop, "forward"))


def _runs(follow: Follow, name: str, *_: object) -> None:
    follow.place = name


def _saying(name: str, layer: nn.Module, follow: Follow) -> Callable[..., Any]:
    forward = layer.forward
    shorter = _QUICK.get(type(layer)) if follow.device.type == "meta" else None

    def run(*args: Any, **kwargs: Any) -> Any:
        follow.place = name
        if shorter and len(args) == 1 and not kwargs and not torch.is_grad_enabled():
            answer = shorter(layer, args[0], follow)
            if answer is not None:
                return answer
        return forward(*args, **kwargs)

    return run


# Each gives what the layer would where no gradients are wanted, and leaves the same lines in the
# ledger; None where the case is unusual, and then the layer itself runs.

_RELU = rule_of(aten.relu.default)
_CONVOLUTION = rule_of(aten.convolution.default)
_BATCH_NORM = rule_of(aten.native_batch_norm.default)


def _is_plain(x: Any, *others: Tensor | None) -> bool:
    """Whether x is a batch of maps without numbers, and all have its type."""
    return (
        type(x) is Tensor
        and x.is_meta
        and x.dim() == 4
        and x.is_floating_point()
        and all(other is None or other.dtype == x.dtype for other in others)
    )


def _convolved(layer: nn.Conv2d, x: Tensor, follow: Follow) -> Tensor | None:
    weight, bias, padding = layer.weight, layer.bias, layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros" or not _is_plain(x, weight, bias):
        return None
    if x.shape[1] != weight.shape[1] * layer.groups:
        return None
    return follow.answer(
        _CONVOLUTION, x, weight, bias, layer.stride, padding, layer.dilation, False
    )


def _normalised(layer: nn.BatchNorm2d, x: Tensor, follow: Follow) -> Tensor | None:
    statistics = layer.running_mean, layer.running_var
    if layer.training or None in statistics or not _is_plain(x, layer.weight, *statistics):
        return None
    if x.shape[1] != layer.num_features:
        return None
    follow.write(0)  # for cuDNN
    return follow.answer(_BATCH_NORM, x, layer.weight, layer.bias, *statistics, False)


def _rectified(layer: nn.ReLU, x: Tensor, follow: Follow) -> Tensor | None:
    if not _is_plain(x):
        return None
    return x if layer.inplace else follow.answer(_RELU, x)


_QUICK: dict[type[nn.Module], Callable[[Any, Any, Follow], Tensor | None]] = {
    nn.Conv2d: _convolved,
    nn.BatchNorm2d: _normalised,
    nn.ReLU: _rectified,
}
