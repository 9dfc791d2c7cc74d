"""What a network's modules hold, and the modes that they are in, in one walk over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn


def own_tensors(
    modules: Mapping[str, nn.Module],
) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Parameters and buffers by name, shared ones once.

    Args:
        modules: module path -> module, all of a network's.
    """
    parameters: dict[str, nn.Parameter] = {}
    buffers: dict[str, Tensor] = {}
    seen: set[int] = set()
    for path, layer in modules.items():
        begin = f"{path}." if path else ""
        for found, own in ((parameters, layer._parameters), (buffers, layer._buffers)):
            for name, tensor in own.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[begin + name] = tensor  # type: ignore[assignment]
    return parameters, buffers


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, in lists, dictionaries and data classes too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


@contextmanager
def in_mode(model: nn.Module, modules: Mapping[str, nn.Module], training: bool) -> Iterator[None]:
    """A network in training or in evaluation, as its own `train` sees that; afterwards as before.

    Args:
        model: the network; a part of it may refuse, such as a frozen batch normalisation.
        modules: module path -> module, all of its.
        training: the mode.
    """
    modes = [(layer, layer.training) for layer in modules.values()]
    try:
        if all(_trains_plainly(layer) for layer in modules.values()):
            _set_training([layer for layer, mode in modes if mode != training], training)
        else:
            model.train(training)
        yield
    finally:
        for mode in (True, False):
            changed = [layer for layer, before in modes if before == mode != layer.training]
            _set_training(changed, mode)


def _trains_plainly(layer: nn.Module) -> bool:
    return type(layer).train is nn.Module.train and "train" not in layer.__dict__


def _set_training(layers: Sequence[nn.Module], training: bool) -> None:
    """What `layer.training = ...` does, past PyTorch's look for parameters in it."""
    for layer in layers:
        if "training" in layer.__dict__:
            layer.__dict__["training"] = training
        else:  # a compiled one
            layer.training = training
