"""What a network does to a batch of images, call by call: the graph that all numbers come from.

The network runs once, on the meta device, and every function that it calls is written down with
the tensors it reads. Nothing is parsed or compiled, so that any `nn.Module` can be followed, with
whatever Python its forward pass holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from backbones.inspection.node import Call, Graph, Node
from backbones.inspection.recorder import Recorder, RecorderOfNumbers, node_of
from backbones.nn.held import in_mode, own_tensors, tensors_in
from backbones.nn.meta import without_collecting
from backbones.nn.refusals import check_forward

__all__ = ["Call", "Graph", "Node", "record"]


def record(model: nn.Module, input_shape: Sequence[int], batch: int = 1) -> Graph:
    """Follow a batch through a network in evaluation mode, and leave the network as it was.

    Args:
        model: any module that takes one tensor.
        input_shape: of one image, such as (3, 224, 224).
        batch: images.

    Raises:
        WrongUse: a module that takes something else than one tensor, or hides its layers.
        Exception: what the network raises on such a batch with and without numbers.

    Example:
        >>> graph = record(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 9, 9))
        >>> [(node.op, node.shape) for node in graph.nodes][1:]
        [('conv2d', (1, 8, 7, 7)), ('relu', (1, 8, 7, 7))]
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    check_forward(model)
    modules = dict(model.named_modules())
    with without_collecting(), in_mode(model, modules, training=False), torch.no_grad():
        try:
            return _recorded(model, modules, (batch, *input_shape), on_meta=True)
        except Exception:
            # Python that looks at numbers (`.item()`, `.numpy()`), or a part without a meta form.
            # An image that is too small fails here again, in the network's own words.
            if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
                raise
            return _recorded(model, modules, (batch, *input_shape), on_meta=False)


def _recorded(
    model: nn.Module, modules: Mapping[str, nn.Module], shape: tuple[int, ...], *, on_meta: bool
) -> Graph:
    parameters, buffers = own_tensors(modules)
    own: dict[str, Tensor] = {**parameters, **buffers}
    shapes = _stand_ins(own) if on_meta else own
    names = {id(tensor): name for name, tensor in shapes.items()}
    kind = Recorder if on_meta else RecorderOfNumbers
    recorder = kind(names)
    with recorder.following(modules), _in_their_places(modules, own, shapes):
        x = torch.empty(shape, device="meta") if on_meta else torch.rand(shape)
        recorder.add("input", (), x)
        with recorder.below, recorder:
            output = model(x)
        recorder.end(output)
    kinds = {name: type(layer).__name__ for name, layer in modules.items()}
    outputs = tuple(dict.fromkeys(node for node in map(node_of, tensors_in(output)) if node >= 0))
    return Graph(
        tuple(recorder.nodes),
        outputs,
        kinds,
        tuple(recorder.calls),
        on_meta,
        parameters,
        recorder.looks,
    )


def _stand_ins(own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Shapes that stand in for parameters and buffers: themselves where they are shapes already."""
    if all(tensor.is_meta for tensor in own.values()):
        return own
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in own.items()}


@contextmanager
def _in_their_places(
    modules: Mapping[str, nn.Module], own: Mapping[str, Tensor], shapes: Mapping[str, Tensor]
) -> Iterator[None]:
    """Stand-ins in the modules; afterwards what was there, in every module that shares it too."""
    if own is shapes:
        yield
        return
    places = {id(tensor): shapes[name] for name, tensor in own.items()}
    before: list[tuple[Any, dict[str, Tensor | None]]] = [
        (held, dict(held))
        for layer in modules.values()
        for held in (layer._parameters, layer._buffers)
        if held
    ]
    try:
        for held, tensors in before:
            held.update({k: t if t is None else places[id(t)] for k, t in tensors.items()})
        yield
    finally:
        for held, tensors in before:
            held.update(tensors)
