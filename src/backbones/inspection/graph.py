"""What a network does to a batch of pictures, call by call: the graph that all numbers come from.

The network runs once, on the meta device, and every function that it calls is written down with
the tensors it reads. Nothing is parsed or compiled, so that any `nn.Module` can be followed, with
whatever Python its forward pass holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from backbones.inspection.quick import QUICK, Made
from backbones.nn.meta import ShapesOnly, without_collecting

_MARK = "_backbones_node"  # an attribute of a tensor: the node that made it
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
# Functions that may multiply matrices, and are too various for a formula: they are counted by
# PyTorch's own counter, operator by operator.
_MAY_MULTIPLY = {
    *("matmul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "einsum", "tensordot", "bilinear"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "chain_matmul", "multi_dot"),
    *("scaled_dot_product_attention", "multi_head_attention_forward", "inner", "kron", "addbmm"),
    *("lstm", "gru", "rnn_tanh", "rnn_relu", "conv_tbc"),
}
# They answer with a number, not with a tensor.
_ASKS = {"get", "dim", "size", "numel", "stride", "is_floating_point", "is_complex", "_assert"}


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
        parameters: the network's own, by the names in `Node.reads`.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    kinds: dict[str, str]
    calls: tuple[Call, ...] = field(default=(), repr=False)
    on_meta: bool = True
    parameters: dict[str, nn.Parameter] = field(default_factory=dict, repr=False)

    @property
    def num_unseen(self) -> int:
        """Parts that hid what they do."""
        return sum(node.op == "unseen" for node in self.nodes)


def record(model: nn.Module, input_shape: Sequence[int], batch: int = 1) -> Graph:
    """Follow a batch through a network in evaluation mode, and leave the network as it was.

    Args:
        model: any module that takes one tensor.
        input_shape: of one picture, such as (3, 224, 224).
        batch: pictures.

    Raises:
        Exception: what the network raises on such a batch with and without numbers.

    Example:
        >>> graph = record(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 9, 9))
        >>> [(node.op, node.shape) for node in graph.nodes][1:]
        [('conv2d', (1, 8, 7, 7)), ('relu', (1, 8, 7, 7))]
    """
    modules = dict(model.named_modules())
    with without_collecting(), _evaluating(modules), torch.no_grad():
        try:
            return _recorded(model, modules, (batch, *input_shape), on_meta=True)
        except (NotImplementedError, RuntimeError):
            # Python that looks at numbers (`.item()`, `nonzero`), or a part without a meta form.
            # A picture that is too small fails here again, in the network's own words.
            if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
                raise
            return _recorded(model, modules, (batch, *input_shape), on_meta=False)


@contextmanager
def _evaluating(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """All modules in evaluation mode; afterwards in the modes that they were in, part by part."""
    training = [layer for layer in modules.values() if layer.training]
    try:
        for layer in training:
            layer.training = False
        yield
    finally:
        for layer in training:
            layer.training = True


def _recorded(
    model: nn.Module, modules: Mapping[str, nn.Module], shape: tuple[int, ...], *, on_meta: bool
) -> Graph:
    parameters, buffers = _own_tensors(modules)
    own: dict[str, Tensor] = {**parameters, **buffers}
    state = _stand_ins(own) if on_meta else None
    names = {id(tensor): name for name, tensor in (state or own).items()}
    recorder = _Recorder(names) if on_meta else _RecorderOfNumbers(names)
    with ExitStack() as stack:
        for name, layer in modules.items():
            leaf = next(layer.children(), None) is None
            stack.callback(recorder.follow(name, layer, leaf))
        x = torch.empty(shape, device="meta") if on_meta else torch.rand(shape)
        recorder.add("input", (), x)
        with recorder:
            output = torch.func.functional_call(model, state, (x,)) if state else model(x)
    kinds = {name: type(layer).__name__ for name, layer in modules.items()}
    outputs = tuple(dict.fromkeys(node for node in map(_node_of, _tensors(output)) if node >= 0))
    return Graph(tuple(recorder.nodes), outputs, kinds, tuple(recorder.calls), on_meta, parameters)


def _own_tensors(
    modules: Mapping[str, nn.Module],
) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Parameters and buffers by name, shared ones once: all in one walk."""
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


def _stand_ins(own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Shapes that stand in for parameters and buffers; None where these are shapes already."""
    if all(tensor.is_meta for tensor in own.values()):
        return None
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in own.items()}


class _Recorder(ShapesOnly):
    """Writes down every function that is called while it is on."""

    skips_numbers = True

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names  # of the parameters, by identity
        self._reads: list[str] = []  # since the last node
        self.nodes: list[Node] = []
        self.calls: list[Call] = []
        self._path = [""]  # of the modules that are running, outermost first
        self._begins: list[int] = []
        self._thread = get_ident()

    def follow(self, name: str, layer: nn.Module, leaf: bool) -> Callable[[], None]:
        """Hear when a module begins and ends; returns what undoes that.

        In place of hooks, which take longer than what they hear of.
        """
        replaced = layer.__dict__.get("forward")
        own: Callable[..., Any] = layer.forward
        quick = QUICK.get(type(layer)) if replaced is None and self.skips_numbers else None

        def run(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != self._thread:  # somebody else uses the network at the same time
                return own(*args, **kwargs)
            self._path.append(name)
            self._begins.append(len(self.nodes))
            try:
                output = self._quickly(quick, layer, args) if quick and not kwargs else None
                if output is None:
                    output = own(*args, **kwargs)
                if leaf:
                    self._end_layer(name, layer, args, output)
                return output
            finally:
                self._begins.pop()
                self._path.pop()

        def undo() -> None:
            del layer.__dict__["forward"]
            if replaced is not None:
                layer.__dict__["forward"] = replaced

        layer.__dict__["forward"] = run
        return undo

    def _quickly(
        self, quick: Callable[[Any, Tensor], Made | None], layer: nn.Module, args: tuple[Any, ...]
    ) -> Tensor | None:
        if len(args) != 1 or not isinstance(args[0], Tensor):
            return None
        with torch._C.DisableTorchFunction():
            made = quick(layer, args[0])
            if made is None:
                return None
            inputs = self._inputs(made.reads)
            self.add(made.op, inputs, made.output, made.macs, (made.args, made.named))
        return made.output

    def _end_layer(self, name: str, layer: nn.Module, args: Any, output: Any) -> None:
        first = next(_tensors(output), None)
        if first is None:
            return
        if _node_of(first) < 0:
            self.add("unseen", self._inputs(args), first)
        begin, node = self._begins[-1], _node_of(first)
        self.calls.append(Call(name, layer, begin, len(self.nodes), node, tuple(first.shape)))

    def add(
        self, op: str, inputs: tuple[int, ...], output: Tensor, macs: int = 0, call: Any = ((), {})
    ) -> None:
        """Write down one call, and mark its output as made by it."""
        index, shape = len(self.nodes), tuple(output.shape)
        num_bytes = output.element_size() * math.prod(shape)
        module = self._path[-1]
        reads = tuple(self._reads)
        self._reads.clear()
        self.nodes.append(Node(index, op, module, inputs, shape, num_bytes, macs, call, reads))
        setattr(output, _MARK, index)

    def compute(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What the function returns."""
        return super().__torch_function__(func, (), args, kwargs)

    def _inputs(self, values: Sequence[Any]) -> tuple[int, ...]:
        """The nodes that made the tensors among the values; parameters are remembered as read."""
        found: dict[int, None] = {}
        for tensor in _tensors(values):
            node = _node_of(tensor)
            if node >= 0:
                found[node] = None
            elif id(tensor) in self._names:
                self._reads.append(self._names[id(tensor)])
        return tuple(found)

    def _count(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, int]:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            output = self.compute(func, args, kwargs)
        return output, counter.get_total_flops() // 2

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        op = _op(func.__name__)
        if op in _ASKS:
            return func(*args, **given)
        inputs = self._inputs((*args, *given.values()))
        if op in _MAY_MULTIPLY and inputs:
            output, macs = self._count(func, args, given)
        else:
            output, macs = self.compute(func, args, given), 0
        if not inputs:
            return output  # of parameters and constants alone
        made = (output,) if isinstance(output, Tensor) else tuple(_tensors(output))
        if made and op in _CONVOLUTIONS:
            weight = args[1] if len(args) > 1 else given["weight"]
            macs = made[0].numel() * (weight.numel() // weight.shape[0])
        elif made and op == "linear":
            macs = made[0].numel() * args[0].shape[-1]
        call = (tuple(map(_shown, args)), {key: _shown(value) for key, value in given.items()})
        for number, tensor in enumerate(made):
            self.add(op, inputs, tensor, 0 if number else macs, call)
        if op == "setitem":
            self.add(op, inputs, args[0], 0, call)
        return output


class _RecorderOfNumbers(_Recorder):
    """The same where the network has to see numbers."""

    skips_numbers = False

    def compute(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        return func(*args, **kwargs)


@cache
def _op(name: str) -> str:
    """The function's name, the same for `torch.add`, `x.add_`, `x + y` and `x += y`."""
    if name.startswith("__"):
        name = name.strip("_")
        return name[1:] if name in ("iadd", "imul", "isub", "radd", "rmul", "rsub") else name
    return name.rstrip("_")


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, in lists and dictionaries too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


def _node_of(tensor: Tensor) -> int:
    return getattr(tensor, _MARK, -1)


def _shown(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, list | tuple):
        return tuple(map(_shown, value))
    return value
