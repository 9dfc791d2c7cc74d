"""What a network does to a batch of pictures, call by call: the graph that all numbers come from.

The network runs once, on the meta device, and every function that it calls is written down with
the tensors it reads. Nothing is parsed or compiled, so that any `nn.Module` can be followed, with
whatever Python its forward pass holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from backbones.inspection.node import Call, Graph, Node
from backbones.inspection.own import evaluating, own_tensors
from backbones.inspection.quick import QUICK
from backbones.inspection.replay import Recording, Replays
from backbones.nn.meta import ShapesOnly, without_collecting

__all__ = ["Call", "Graph", "Node", "record"]

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
    with without_collecting(), evaluating(modules), torch.no_grad():
        try:
            return _recorded(model, modules, (batch, *input_shape), on_meta=True)
        except (NotImplementedError, RuntimeError):
            # Python that looks at numbers (`.item()`, `nonzero`), or a part without a meta form.
            # A picture that is too small fails here again, in the network's own words.
            if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
                raise
            return _recorded(model, modules, (batch, *input_shape), on_meta=False)


def _recorded(
    model: nn.Module, modules: Mapping[str, nn.Module], shape: tuple[int, ...], *, on_meta: bool
) -> Graph:
    parameters, buffers, shared = own_tensors(modules)
    own: dict[str, Tensor] = {**parameters, **buffers}
    shapes = _stand_ins(own) if on_meta else own
    names = {id(tensor): name for name, tensor in shapes.items()}
    kind = _Recorder if on_meta else _RecorderOfNumbers
    recorder = kind(names, Replays(modules, shared))
    with recorder.following(modules), _in_their_places(modules, own, shapes):
        x = torch.empty(shape, device="meta") if on_meta else torch.rand(shape)
        recorder.add("input", (), x)
        with recorder:
            output = model(x)
    kinds = {name: type(layer).__name__ for name, layer in modules.items()}
    outputs = tuple(dict.fromkeys(node for node in map(_node_of, _tensors(output)) if node >= 0))
    return Graph(tuple(recorder.nodes), outputs, kinds, tuple(recorder.calls), on_meta, parameters)


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


class _Recorder(ShapesOnly):
    """Writes down every function that is called while it is on."""

    skips_numbers = True

    def __init__(self, names: Mapping[int, str], replays: Replays) -> None:
        super().__init__()
        self._replays = replays
        self._names = names  # of the parameters, by identity
        self._reads: list[str] = []  # since the last node
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
        shorter: Callable[[str, nn.Module, Tensor], Tensor | None] | None = None
        if self.skips_numbers and leaf and type(layer) in QUICK and "forward" not in layer.__dict__:
            shorter = self._quickly
        elif self._replays.possible and self.skips_numbers and not leaf and name:
            shorter = self._again

        def run(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != self._thread:  # somebody else uses the network at the same time
                return own(*args, **kwargs)
            begin = len(self.nodes), len(self.calls)
            self._path.append(name)
            try:
                if shorter and not kwargs and len(args) == 1 and isinstance(args[0], Tensor):
                    x = args[0]
                    source, pending = _node_of(x), bool(self._reads)
                    output = shorter(name, layer, x)
                    if output is None:
                        output = own(x)
                        if not leaf and not pending:
                            self._keep(name, layer, x, source, begin, output)
                else:
                    output = own(*args, **kwargs)
                if leaf:
                    self._end_layer(name, layer, args, output, begin[0])
                return output
            finally:
                self._path.pop()

        return run

    def _quickly(self, name: str, layer: nn.Module, x: Tensor) -> Tensor | None:
        """A layer that networks are mostly made of, without running its Python."""
        with torch._C.DisableTorchFunction():
            made = QUICK[type(layer)](layer, x)
            if made is None:
                return None
            inputs = self._inputs(made.reads)
            self.add(made.op, inputs, made.output, made.macs, (made.args, made.named))
        return made.output

    def _again(self, name: str, part: nn.Module, x: Tensor) -> Tensor | None:
        """A part whose twin ran before on such a tensor."""
        source = _node_of(x)
        if source < 0 or self._reads:
            return None
        with torch._C.DisableTorchFunction():
            known = self._replays.find(part, x)
            if known is None:
                return None
            begin = len(self.nodes)
            nodes, calls = self._replays.copies(known, name, source, begin)
            self.nodes += nodes
            self.calls += calls
            output = known.answer.detach()
        setattr(output, _MARK, begin + known.made)
        return output

    def _keep(
        self,
        name: str,
        part: nn.Module,
        x: Tensor,
        source: int,
        begin: tuple[int, int],
        output: Any,
    ) -> None:
        """Write down what a part did, for its twins, if it only read a tensor and made one."""
        first, first_call = begin
        if type(output) is not Tensor or type(x) is not Tensor or self._reads:
            return
        made = _node_of(output) - first
        if source < 0 or _node_of(x) != source or made < 0 or output is x or not x.is_meta:
            return
        with torch._C.DisableTorchFunction():
            answer = output.detach()
            nodes, calls = tuple(self.nodes[first:]), tuple(self.calls[first_call:])
            kept = Recording(name, part, source, nodes, calls, made, answer)
            self._replays.keep(x, kept)

    def _end_layer(self, name: str, layer: nn.Module, args: Any, output: Any, begin: int) -> None:
        first = next(_tensors(output), None)
        if first is None:
            return
        if _node_of(first) < 0:
            self.add("unseen", self._inputs(args), first)
        node = _node_of(first)
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
