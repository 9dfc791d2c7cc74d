"""Equal parts of a network do equal things to equal inputs: one is followed, the others copied.

A network of a thousand layers is mostly the same block over and over. What a block did is written
down once; for a block that is equal to it in everything but its numbers, and is called with a
tensor of the same shape, the lines are copied under its own names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import eq
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from backbones.inspection.node import Call, Node

# What their forward passes do depends on themselves and their input, and they keep nothing of it.
_KNOWN = ("torch.nn.modules.", "backbones.nn.", "backbones.models.")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_COMPARED_APART = {"_parameters": None, "_buffers": None, "_modules": None, "forward": None}
_NUM_TRIED = 3  # twins that a part is compared with; a network has as many kinds in turns, or fewer


@dataclass(slots=True)
class Recording:
    """What one part did when it was called.

    Args:
        path: module path of the part.
        part: itself.
        source: the node that it read.
        nodes, calls: what was written down meanwhile.
        made: the place in `nodes` of what it answered.
        answer: without numbers, and nobody else's.
        looks: what its twins look like; nothing where it has none for sure, None if not asked yet.
    """

    path: str
    part: nn.Module
    source: int
    nodes: tuple[Node, ...]
    calls: tuple[Call, ...]
    made: int
    answer: Tensor
    looks: tuple[Any, ...] | None = None


class Replays:
    """What the parts of one network did so far.

    Args:
        modules: module path -> module, all of the network's, before a forward pass is replaced.
        shared: whether several modules share a parameter or a buffer.
    """

    def __init__(self, modules: Mapping[str, nn.Module], shared: bool) -> None:
        self._modules = modules
        self._found: dict[Any, list[Recording]] = {}
        children = sum(len(layer._modules) - _num_absent(layer) for layer in modules.values())
        self.possible = not (
            shared
            or children + 1 != len(modules)  # a module has several paths
            or any(getattr(torch_module, f"_global{hooks}") for hooks in _HOOKS)
            or any("forward" in layer.__dict__ for layer in modules.values())
        )

    def find(self, part: nn.Module, x: Tensor) -> Recording | None:
        """What a twin of this part did when it was given such a tensor."""
        for known in self._found.get(_key(part, x), ()):
            if known.looks is None:
                is_sure = _is_closed(known) and _is_known(known.part)
                known.looks = tuple(_looks(known.part)) if is_sure else ()
            try:
                if known.looks and all(map(eq, known.looks, _looks(part))):
                    return known
            except (RuntimeError, ValueError, TypeError):  # settings without a plain equality
                continue
        return None

    def keep(self, x: Tensor, recording: Recording) -> None:
        """Write down what a part did with a tensor."""
        known = self._found.setdefault(_key(recording.part, x), [])
        known.insert(0, recording)
        del known[_NUM_TRIED:]

    def copies(
        self, recording: Recording, path: str, source: int, begin: int
    ) -> tuple[list[Node], list[Call]]:
        """The lines for a twin.

        Args:
            recording: what the first of them did.
            path: module path of the twin.
            source: the node that the twin reads.
            begin: place of its first node.
        """
        cut = len(recording.path)
        shift = begin - recording.nodes[0].index
        old = recording.source
        nodes = [
            Node(
                node.index + shift,
                node.op,
                path + node.module[cut:],
                tuple([source if i == old else i + shift for i in node.inputs]),
                node.shape,
                node.num_bytes,
                node.macs,
                node.call,
                tuple([path + name[cut:] for name in node.reads]),
                node.counted,
                node.pointwise,
            )
            for node in recording.nodes
        ]
        calls = []
        for call in recording.calls:
            name = path + call.name[cut:]
            begin, end, node = call.begin + shift, call.end + shift, call.node
            node = source if node == old else node + shift
            calls.append(Call(name, self._modules[name], begin, end, node, call.output))
        return nodes, calls


def _num_absent(layer: nn.Module) -> int:
    return sum(child is None for child in layer._modules.values())


def _key(part: nn.Module, x: Tensor) -> Any:
    return type(part), x.shape, x.dtype, x.stride()


def _is_closed(recording: Recording) -> bool:
    """Whether a part reads its input and what it made, and runs and reads parts of its own."""
    begin, path = recording.nodes[0].index, recording.path
    inside = f"{path}."
    return all(
        (i >= begin or i == recording.source) for node in recording.nodes for i in node.inputs
    ) and all(
        name == path or name.startswith(inside)
        for name in (
            *(node.module for node in recording.nodes),
            *(name for node in recording.nodes for name in node.reads),
            *(call.name for call in recording.calls),
        )
    )


def _is_known(part: nn.Module) -> bool:
    """Whether it and all in it are PyTorch's layers or ours, and nobody listens."""
    return all(
        f"{type(layer).__module__}.".startswith(_KNOWN)
        and not any(layer.__dict__.get(hooks) for hooks in _HOOKS)
        for layer in part.modules()
    )


def _looks(part: nn.Module) -> Iterator[tuple[Any, ...]]:
    """Everything that a part is but its numbers, layer by layer."""
    children = part._modules
    yield (
        type(part),
        {**part.__dict__, **_COMPARED_APART},
        *((name, child is None) for name, child in children.items()),
        *(
            (name, None if tensor is None else (tensor.shape, tensor.dtype))
            for own in (part._parameters, part._buffers)
            for name, tensor in own.items()
        ),
    )
    for child in children.values():
        if child is not None:
            yield from _looks(child)
