"""Writes down what a network calls while it runs: functions, and the operators below them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from backbones.inspection.node import Call, Node
from backbones.inspection.operators import Below, OperatorCount, name_of
from backbones.nn.held import tensors_in
from backbones.nn.meta import ShapesOnly, has_shape_rule

_MARK = "_backbones_node"  # an attribute of a tensor: the node that made it
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
# They answer with a number, not with a tensor.
_ASKS = {"dim", "size", "numel", "stride", "is_floating_point", "is_complex", "_assert"}
# Numbers leave for NumPy or plain Python, and come back as tensors that nobody knows.
_LEAVES = {"numpy", "tolist", "array", "dlpack"}
_COMES_BACK = {"tensor", "as_tensor", "asarray", "from_numpy", "lift_fresh", "from_dlpack"}


class Recorder(ShapesOnly):
    """Writes down every function that is called while it is on."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names  # of the parameters, by identity
        self._reads: list[str] = []  # since the last node
        self._before = OperatorCount()  # what ran since then, over parameters alone
        self._left: tuple[int, ...] = ()  # nodes whose numbers left PyTorch
        self.looks = False
        self.below = Below(self._stray)
        self.nodes: list[Node] = []
        self.calls: list[Call] = []
        self._path = [""]  # of the modules that are running, outermost first
        self._thread = get_ident()

    @contextmanager
    def following(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Hear when modules begin and end.

        In place of hooks, which take longer than what they hear of.
        """
        replaced = {}
        try:
            for name, layer in modules.items():
                if "forward" in layer.__dict__:
                    replaced[name] = layer.__dict__["forward"]
                layer.__dict__["forward"] = self._follow(name, layer)
            yield
        finally:
            for name, layer in modules.items():
                layer.__dict__.pop("forward", None)
                if name in replaced:
                    layer.__dict__["forward"] = replaced[name]

    def _follow(self, name: str, layer: nn.Module) -> Callable[..., Any]:
        own: Callable[..., Any] = layer.forward
        leaf = next(layer.children(), None) is None

        def run(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != self._thread:  # somebody else uses the network at the same time
                return own(*args, **kwargs)
            begin = len(self.nodes)
            self._path.append(name)
            try:
                output = own(*args, **kwargs)
                if leaf:
                    self._end_layer(name, layer, args, output, begin)
                return output
            finally:
                self._path.pop()

        return run

    def _end_layer(self, name: str, layer: nn.Module, args: Any, output: Any, begin: int) -> None:
        first = next(tensors_in(output), None)
        if first is None:
            return
        if node_of(first) < 0:
            self.add("unseen", self._inputs(args), first)
        node = node_of(first)
        self.calls.append(Call(name, layer, begin, len(self.nodes), node, tuple(first.shape)))

    def add(
        self,
        op: str,
        inputs: tuple[int, ...],
        output: Tensor,
        macs: int = 0,
        call: Any = ((), {}),
        tally: OperatorCount | None = None,
    ) -> None:
        """Write down one call, and mark its output as made by it."""
        index, shape = len(self.nodes), tuple(output.shape)
        num_bytes = output.element_size() * math.prod(shape)
        module = self._path[-1]
        reads = tuple(self._reads)
        self._reads.clear()
        counted, pointwise = not self._before.unknown, True
        macs += self._before.macs
        if self._before.macs or self._before.unknown:
            self._before = OperatorCount()
        if tally is not None:
            counted, pointwise = counted and not tally.unknown, tally.pointwise
        node = Node(index, op, module, inputs, shape, num_bytes, macs, call, reads)
        if not (counted and pointwise):
            node = replace(node, counted=counted, pointwise=pointwise)
        self.nodes.append(node)
        setattr(output, _MARK, index)

    def end(self, output: Any) -> None:
        """What came out, and what was made of parameters and read by nobody."""
        for tensor in tensors_in(output):
            if node_of(tensor) < 0:
                self.add("unseen", self._left, tensor)
        if (self._before.macs or self._before.unknown) and self.nodes:
            last, before = self.nodes[-1], self._before
            counted = last.counted and not before.unknown
            self.nodes[-1] = replace(last, macs=last.macs + before.macs, counted=counted)

    def compute(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What the function returns."""
        return super().__torch_function__(func, (), args, kwargs)

    def _inputs(self, values: Sequence[Any]) -> tuple[int, ...]:
        """The nodes that made the tensors among the values; parameters are remembered as read."""
        found: dict[int, None] = {}
        for tensor in tensors_in(values):
            node = node_of(tensor)
            if node >= 0:
                found[node] = None
            elif id(tensor) in self._names:
                self._reads.append(self._names[id(tensor)])
        return tuple(found)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        op = _op(func)
        if op in _ASKS:
            return func(*args, **given)
        if op == "get":  # an attribute: `x.shape`, `x.T`
            value, op = func(*args, **given), getattr(func, "__self__", func).__name__
            if isinstance(value, Tensor):
                self._write(op, args, given, value, OperatorCount())
            return value
        if op in _CONVOLUTIONS or op == "linear" or has_shape_rule(func):
            with torch._C._DisableTorchDispatch():
                output, tally = self.compute(func, args, given), OperatorCount()
            tally.macs = _formula(op, args, given, output)
        else:
            output, tally = self.below.tallied(self.compute, func, args, given)
        self._write(op, args, given, output, tally)
        return output

    def _stray(self, operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """An operator that runs in no function of PyTorch, such as in a TorchScript one."""
        output, tally = operator(*args, **kwargs), OperatorCount()
        tally.add(operator, args, kwargs, output)
        self._write(_op(operator), args, kwargs, output, tally)
        return output

    def _write(
        self,
        op: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        output: Any,
        tally: OperatorCount,
    ) -> None:
        """A node for each tensor made of the image; the rest is remembered for the next."""
        inputs = self._inputs((*args, *kwargs.values()))
        if op in _LEAVES and inputs:
            self._left, self.looks = (*self._left, *inputs), True
        self.looks |= tally.looks and bool(inputs)
        made = (output,) if isinstance(output, Tensor) else tuple(tensors_in(output))
        if not inputs and self._left and op in _COMES_BACK and made:
            self.add("unseen", self._left, made[0])
            return
        if not inputs:  # of parameters and constants alone
            self._before.macs += tally.macs
            self._before.unknown |= tally.unknown
            return
        call = (tuple(map(_shown, args)), {key: _shown(value) for key, value in kwargs.items()})
        for number, tensor in enumerate(made):
            self.add(op, inputs, tensor, 0 if number else tally.macs, call, tally)
        if op == "setitem":
            self.add(op, inputs, args[0], 0, call)


class RecorderOfNumbers(Recorder):
    """The same where the network has to see numbers."""

    def compute(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        return func(*args, **kwargs)


def node_of(tensor: Tensor) -> int:
    """The node that made a tensor; -1 where none did."""
    found: int = getattr(tensor, _MARK, -1)
    return found


def _formula(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Multiply-accumulates of what is called most often, by its shapes alone."""
    if op in _CONVOLUTIONS:
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        return int(output.numel() * (weight.numel() // weight.shape[0]))
    if op == "linear":
        x = args[0] if args else kwargs["input"]
        return int(output.numel() * x.shape[-1])
    return 0


def _op(func: Any) -> str:
    """The function's name, the same for `torch.add`, `x.add_`, `x + y`, and its operator.

    Operators of other libraries keep their library's name: whatever is called "add" there.
    """
    if isinstance(func, torch._ops.OpOverload):
        name = name_of(func)
        return _plain(name) if func.namespace in ("aten", "prim") else f"{func.namespace}.{name}"
    if isinstance(func, torch._ops.OpOverloadPacket):
        library, _, name = func._qualified_op_name.partition("::")
        return _plain(name) if library in ("aten", "prim") else f"{library}.{name}"
    return _plain(func.__name__)


@cache
def _plain(name: str) -> str:
    """Without the signs of Python's operators and of working in place."""
    if name.startswith("__"):
        name = name.strip("_")
        return name[1:] if name in ("iadd", "imul", "isub", "radd", "rmul", "rsub") else name
    return name.rstrip("_")


def _shown(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, list | tuple):
        return tuple(map(_shown, value))
    return value
