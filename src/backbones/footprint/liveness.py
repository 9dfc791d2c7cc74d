"""Which memory is alive when: a network followed through real autograd, without any numbers.

Everything that eager PyTorch does happens (frames that hold a tensor, tensors saved for the
backward pass, in-place layers, views, recomputation, the sums of gradients where branches met),
but on tensors without numbers. A ledger writes down when each piece of memory is taken and when
its last holder lets go of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backbones.footprint.outputs import (
    Layout,
    Layouts,
    Rule,
    UnlikeTheRule,
    aten,
    looks_of,
    question,
    rule_of,
)
from backbones.nn.meta import DispatchMode


class _Kind(NamedTuple):
    """What has to be known about an operator; see `_kind_of`."""

    operator: Any
    name: str
    in_place: bool
    is_view: bool
    makes_new: bool
    takes_device: bool
    rule: Rule | None


_ADD, _DETACH = aten.add.Tensor, aten.detach.default
_SEVERAL = (list, tuple)
_TENSORS = (Tensor, list, tuple)
_KINDS: dict[int, _Kind] = {}  # by id: hashing an operator takes longer than most of what follows


def _kind_of(operator: Any) -> _Kind:
    """Whether it overwrites its first argument, shows it otherwise, or makes new memory alone."""
    schema = operator._schema
    aliases = [a.alias_info for a in (*schema.arguments, *schema.returns) if a.alias_info]
    first = schema.arguments[0].alias_info if schema.arguments else None
    in_place = (
        schema.name.endswith("_")
        and first is not None
        and first.is_write
        and torch.Tag.inplace_view not in operator.tags
    )
    is_view = first is not None and all(
        result.alias_info is not None and not result.alias_info.is_write
        for result in schema.returns
    )
    # `_unsafe_view` shares memory though its schema denies it
    makes_new = not aliases and operator is not aten._unsafe_view.default
    takes_device = any(argument.name == "device" for argument in schema.arguments)
    name = schema.name.rpartition("::")[2]
    kind = _Kind(operator, name, in_place, is_view, makes_new, takes_device, rule_of(operator))
    return _KINDS.setdefault(id(operator), kind)


@dataclass
class Ledger:
    """What was taken and given back, in order.

    Args:
        changes: bytes of each event; negative where memory is given back.
        places: what ran at each event.
        marks: a moment's name -> how many events came before it.
    """

    changes: list[int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Give this moment a name."""
        self.marks[name] = len(self.changes)


class _Held(weakref.ref[Any]):
    """A piece of memory that is alive."""

    __slots__ = ("key", "num_bytes")

    key: int
    num_bytes: int


class Follow(DispatchMode):  # type: ignore[no-untyped-call]
    """Inside, operators make tensors without numbers, and a ledger follows their memory.

    Args:
        device: "meta", or "cpu" inside a `FakeTensorMode`.

    Attributes:
        ledger: what happened so far.
        place: what runs now, for the ledger.
        backward: whether the backward pass runs; there, operators say themselves what runs.
    """

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger, self.place, self.backward = Ledger(), "", False
        self.device = torch.device(device)
        self._held: dict[int, _Held] = {}
        self._adopted: dict[int, tuple[Tensor, Tensor]] = {}
        self._known: dict[Any, Layouts | None] = {}
        self._left_out: Sequence[Tensor] = ()

    def hold(self, tensor: Tensor) -> Tensor:
        """Count a tensor's memory from now on, unless that is counted already."""
        self._list_left_out()
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._held:
            self._held[key] = held = _Held(storage, self._given_back)
            held.key, held.num_bytes = key, storage.nbytes()
            self.write(held.num_bytes)
        return tensor

    def _list_left_out(self) -> None:
        """List what is left out, when it first matters: results are mostly known to be new."""
        left_out, self._left_out = self._left_out, ()
        for storage in (tensor.untyped_storage() for tensor in left_out):
            key = storage._cdata
            if key not in self._held:
                self._held[key] = held = _Held(storage, self._given_back)
                held.key, held.num_bytes = key, 0

    def stand_in(self, tensor: Tensor) -> Tensor:
        """A tensor without numbers for one that has some, a weight or a constant; not counted."""
        other = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=self.device
        )
        storage = other.untyped_storage()
        self._held[storage._cdata] = held = _Held(storage, self._given_back)
        held.key, held.num_bytes = storage._cdata, 0
        return other

    def leave_out(self, tensors: Sequence[Tensor]) -> None:
        """Do not count these, which were there before."""
        self._left_out = tensors

    def _given_back(self, held: _Held) -> None:
        del self._held[held.key]
        if held.num_bytes:
            self.write(-held.num_bytes)

    def write(self, num_bytes: int) -> None:
        """Bytes that are taken now, or given back."""
        self.ledger.changes.append(num_bytes)
        self.ledger.places.append(self.place)

    def __torch_dispatch__(
        self,
        operator: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kind = _KINDS.get(id(operator)) or _kind_of(operator)
        if kind.in_place:
            return args[0]
        if kind.is_view and not kwargs and args[0].is_meta:
            return args[0].detach() if operator is _DETACH else operator(*args)
        if self.backward:
            if operator is _ADD and _sums_in_place(args):
                return args[0]
            self.place = kind.name
        args = [self._ours(v) if isinstance(v, _TENSORS) else v for v in args]
        named = {key: self._ours(value) for key, value in kwargs.items()} if kwargs else {}
        if kind.takes_device:
            named["device"] = self.device
        if kind.makes_new:
            return self._make(kind, args, named)
        return self._hold_all(operator(*args, **named))

    def _ours(self, value: Any) -> Any:
        """Arguments with numbers, such as a constant of the module, lose them."""
        if isinstance(value, Tensor):
            if value.is_meta or (value.device == self.device and type(value) is not Tensor):
                return value
            if id(value) not in self._adopted:  # kept beside its own, so that its id stays its own
                self._adopted[id(value)] = value, self.stand_in(value)
            return self._adopted[id(value)][1]
        if isinstance(value, _SEVERAL) and value and isinstance(value[0], Tensor):
            return [self._ours(part) for part in value]
        return value

    def _make(self, kind: _Kind, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """New memory as the operator would make it; PyTorch is asked once for equal arguments."""
        if kind.rule is not None:
            try:
                return self._new_of(kind.rule(*args, **kwargs))
            except UnlikeTheRule:
                pass
        asked = (id(kind.operator), question(args), question(kwargs.items()))
        try:
            looks = self._known.get(asked)
        except TypeError:  # an argument that cannot be compared
            return self._hold_all(kind.operator(*args, **kwargs))
        if looks is not None:
            return self._new_of(looks)
        results = kind.operator(*args, **kwargs)
        self._known[asked] = looks_of(results)
        return self._hold_all(results)

    def _new_of(self, looks: Layouts) -> Any:
        if isinstance(looks, Layout):
            return self._new(looks)
        return tuple([None if one is None else self._new(one) for one in looks])

    def _new(self, looks: Layout) -> Tensor:
        shape, strides, dtype = looks
        tensor = torch.empty_strided(shape, strides, dtype=dtype, device=self.device)
        storage = tensor.untyped_storage()
        key = storage._cdata
        self._held[key] = held = _Held(storage, self._given_back)
        held.key, held.num_bytes = key, storage.nbytes()
        self.write(held.num_bytes)
        return tensor

    def _hold_all(self, results: Any) -> Any:
        for result in results if isinstance(results, _SEVERAL) else (results,):
            if isinstance(result, Tensor):
                self.hold(result)
        return results


def _sums_in_place(args: Sequence[Any]) -> bool:
    """Whether the engine, unwatched, would add the second gradient to the first where that lies.

    It does where nothing else holds the first one; while a mode watches, it always makes a third.
    """
    first, second = args[0], args[1]
    return (
        first.is_contiguous()
        and _is_alone(first)
        and isinstance(second, Tensor)
        and first.shape == second.shape
        and first.dtype == second.dtype
        and not torch.is_grad_enabled()
    )


def _is_alone(tensor: Tensor) -> bool:
    """Whether the engine alone holds a gradient."""
    most, most_of_memory = when_alone()
    counted: Any = tensor
    return counted._use_count() <= most and _holders_of_memory(tensor) <= most_of_memory


def _holders(tensor: Tensor) -> tuple[int, int]:
    """How many hold this tensor, and how many hold its memory."""
    counted: Any = tensor
    return counted._use_count(), _holders_of_memory(tensor)


def _holders_of_memory(tensor: Tensor) -> int:
    memory: Any = tensor.untyped_storage()
    count: int = torch._C._storage_Use_Count(memory._cdata)
    return count


@cache
def when_alone() -> tuple[int, int]:
    """The holders of a gradient that only the engine holds; a property of the PyTorch version."""
    seen: list[tuple[int, int]] = []

    class Watch(DispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if operator is aten.add.Tensor and not torch.is_grad_enabled():
                seen.append(_holders(args[0]))
            return torch.empty((), device="meta")

    leaf = torch.empty((), device="meta", requires_grad=True)
    with Watch(), torch.enable_grad():  # type: ignore[no-untyped-call]
        torch.autograd.backward(leaf * 2.0 + leaf * 3.0)
    return seen[0]
