"""A module made ready for a pass without numbers: stand-ins for what it holds, and layers that
say that they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from backbones.footprint.liveness import Follow

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

    def run(*args: Any, **kwargs: Any) -> Any:
        follow.place = name
        return forward(*args, **kwargs)

    return run


def _connected(layer: nn.Linear, x: Tensor) -> Tensor:
    """What the layer gives; its bias is added in place, as PyTorch does it where nobody watches."""
    if layer.bias is None or x.dim() < 3 or (x.dim() == 3 and x.is_contiguous()):
        return F.linear(x, layer.weight, layer.bias)
    products = F.linear(x, layer.weight)
    return products.add_(layer.bias.to(products.dtype))
