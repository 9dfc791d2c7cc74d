"""A module made ready for a pass without numbers: stand-ins for what it holds, layers that say that
they run, and the layers that networks are mostly made of answered without running their Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.inspection.liveness import Follow
from backbones.inspection.outputs import aten

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
            other = follow.stand_in(tensor)
            found[id(tensor)] = other.requires_grad_(tensor.requires_grad)
        return found[id(tensor)]

    on_meta = follow.device.type == "meta"
    themselves: list[Tensor] = []
    try:
        for name, module in modules.items():
            places: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for own in places:
                for key, tensor in own.items():
                    if tensor is None:
                        continue
                    if on_meta and _can_stay(tensor):
                        found[id(tensor)] = tensor
                        themselves.append(tensor)
                        continue
                    put_back.append(partial(own.__setitem__, key, tensor))
                    own[key] = stand_in(tensor)
            if not module._modules or isinstance(module, nn.MultiheadAttention):
                _listen(name, module, follow, put_back)
        put_back.append(_without_gradients(themselves))
        follow.leave_out(themselves)
        yield list(found.values())
    finally:
        for back in put_back:
            back()


def _can_stay(tensor: Tensor) -> bool:
    """Whether this has no numbers already, and nobody listens to it."""
    return (
        tensor.is_meta
        and type(tensor) in (nn.Parameter, Tensor)
        and tensor.is_leaf
        and not tensor._backward_hooks
        and not getattr(tensor, "_post_accumulate_grad_hooks", None)
    )


def _without_gradients(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Take their gradients away, and tell how to give them back."""
    gradients = [(t, t.grad) for t in tensors if t.requires_grad]
    for tensor, gradient in gradients:
        if gradient is not None:
            tensor.grad = None

    def give_back() -> None:
        for tensor, gradient in gradients:
            tensor.grad = gradient

    return give_back


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
    forward = partial(_connected, layer) if type(layer) is nn.Linear else layer.forward
    shorter = _QUICK.get(type(layer)) if follow.device.type == "meta" else None
    if shorter is None:

        def run(*args: Any, **kwargs: Any) -> Any:
            follow.place = name
            return forward(*args, **kwargs)

        return run

    def answer(*args: Any, **kwargs: Any) -> Any:
        follow.place = name
        with torch._C.DisableTorchFunction():  # it concatenates nothing
            if len(args) == 1 and not kwargs and not torch.is_grad_enabled():
                made = shorter(layer, args[0], follow)
                if made is not None:
                    return made
            return forward(*args, **kwargs)

    return answer


def _connected(layer: nn.Linear, x: Tensor) -> Tensor:
    """What the layer gives; its bias is added in place, as PyTorch does it where nobody watches."""
    if layer.bias is None or x.dim() < 3 or (x.dim() == 3 and x.is_contiguous()):
        return F.linear(x, layer.weight, layer.bias)
    products = F.linear(x, layer.weight)
    return products.add_(layer.bias.to(products.dtype))


# Each gives what the layer would where no gradients are wanted, and leaves the same lines in the
# ledger; None where the case is unusual, and then the layer itself runs.


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
    how = (layer.stride, padding, layer.dilation, False)
    return follow.answer(aten.convolution.default, x, weight, bias, *how)


def _normalised(layer: nn.BatchNorm2d, x: Tensor, follow: Follow) -> Tensor | None:
    mean, variance = layer.running_mean, layer.running_var
    if layer.training or mean is None or variance is None or layer.num_features != len(mean):
        return None
    if not _is_plain(x, layer.weight, mean, variance) or x.shape[1] != len(mean):
        return None
    if not x.is_contiguous():
        return None
    follow.write(0)  # what cuDNN keeps
    return follow.answer(
        aten.native_batch_norm.default, x, layer.weight, layer.bias, mean, variance, False
    )


def _rectified(layer: nn.ReLU, x: Tensor, follow: Follow) -> Tensor | None:
    if not _is_plain(x):
        return None
    return x if layer.inplace else follow.answer(aten.relu.default, x)


_QUICK: dict[type[nn.Module], Callable[[Any, Any, Follow], Tensor | None]] = {
    nn.Conv2d: _convolved,
    nn.BatchNorm2d: _normalised,
    nn.ReLU: _rectified,
}
