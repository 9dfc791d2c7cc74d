"""What a recorded pass is made of: calls of functions, calls of layers, and the graph of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class Node:
    """One call of a function.

    Args:
        index: its place in `Graph.nodes`, the order of execution.
        op: "input", "unseen" (a part that hides what it does), or the function without the sign
            of working in place: "conv2d", "linear", "batch_norm", "relu", "add", "cat" ...
        module: path of the innermost module that called it; "" for the network itself.
        inputs: the nodes whose outputs it reads.
        shape: of its output, with the batch.
        num_bytes: of its output.
        macs: multiply-accumulates of convolutions and matrix products.
        call: its arguments and named arguments; shapes (`torch.Size`) stand in for tensors.
        reads: names of the parameters that it reads, itself or by way of others made of them.
        counted: whether all that ran in it is known; else `macs` leaves something out.
        pointwise: whether every unit is made of the units in its place, as far as the operators
            below say; what `field_rules` knows better is asked first.
    """

    index: int
    op: str
    module: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    num_bytes: int
    macs: int
    call: tuple[tuple[Any, ...], dict[str, Any]]
    reads: tuple[str, ...] = ()
    counted: bool = True
    pointwise: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module without parts.

    Args:
        name: module path.
        layer: the module.
        begin, end: its nodes are `Graph.nodes[begin:end]`.
        node: the one that made its output.
        output: shape of the (first) output, with the batch.
    """

    name: str
    layer: nn.Module
    begin: int
    end: int
    node: int
    output: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """All calls of one forward pass in evaluation mode.

    Args:
        nodes: calls of functions, in the order of execution.
        outputs: the nodes of what the network returns.
        kinds: module path -> class, for every module.
        calls: calls of modules without parts, in the order in which they end.
        on_meta: whether shapes alone were enough; otherwise numbers were computed.
        looks: whether Python was given numbers of the image, so that another may go another way.
        parameters: the network's own, by the names in `Node.reads`.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    kinds: dict[str, str]
    calls: tuple[Call, ...] = field(default=(), repr=False)
    on_meta: bool = True
    parameters: dict[str, nn.Parameter] = field(default_factory=dict, repr=False)
    looks: bool = False

    @property
    def num_unseen(self) -> int:
        """Parts that hid what they do."""
        return sum(node.op == "unseen" for node in self.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """For every node, the layer that called it; "module:function" outside layers."""
        found = [f"{node.module}:{node.op}" for node in self.nodes]
        for call in self.calls:
            found[call.begin : call.end] = [call.name] * (call.end - call.begin)
        return tuple(found)
