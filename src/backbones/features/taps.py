"""Taps: the values at named points inside a network, exact, and nothing computed past the last.

The network is left as it is. During a call its tapped layers carry a hook; afterwards, also after
an error, they do not. Which call of a layer is which, and which values are overwritten in place
later on, is found out beforehand by a run of a twin on the meta device, where tensors have shapes
and no numbers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import NotFound, WrongUse
from backbones.features.twin import Versions, on_meta
from backbones.nn.naming import module_path

INTO = "into:"  # in front of a name: the layer's input


def tap(model: nn.Module, names: str | Sequence[str]) -> Taps:
    """Read a network at named points.

    Args:
        model: any module that is called with images.
        names: of the points: the paper's name of a layer ("relu4_2"), of a stage ("conv3_x"), or a
            module path ("layer1.0.conv2"). A layer that runs several times in one pass, such as a
            ReLU that a whole block shares, gives its last call; "layer1.0.relu@1" is the first.
            "into:fc8" is what fc8 is given.

    Returns:
        A module that is called as `model` is, and answers with the values in the order of `names`.

    Raises:
        NotFound: the network has no such layer; names the nearest.
        WrongUse: no names.

    Example:
        >>> from backbones.models import build
        >>> taps = tap(build("vgg_tiny", seed=0).eval(), ["conv3_1", "relu2_1"])
        >>> {name: tuple(t.shape) for name, t in taps(torch.zeros(1, 3, 32, 32)).items()}
        {'conv3_1': (1, 16, 8, 8), 'relu2_1': (1, 16, 16, 16)}
    """
    return Taps(model, [names] if isinstance(names, str) else names)


@dataclass(frozen=True)
class _Point:
    """What the user asked for: a call of a layer, counted from one, or the last (None).

    Args:
        name: as the user has it.
        path: the module's; after "into:" where its input is meant.
        call: which.
    """

    name: str
    path: str
    call: int | None


@dataclass(frozen=True)
class _Plan:
    """What will happen in a pass, event by event; an event is one call of a tapped layer.

    Args:
        takes: event -> names of the points whose value it is.
        overwritten: events whose value something changes in place before the last one.
        stop: the last event that matters.
    """

    takes: dict[int, list[str]]
    overwritten: frozenset[int]
    stop: int


class _Enough(BaseException):
    """Ends a pass after its last tap; no `except Exception` of a network's own stops it."""


class _Events:
    """What happens in the pass of a twin: which layers end, and which values are changed when."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._values: list[tuple[Tensor, int]] = []  # and how often it had been changed by then
        self._changed: list[set[int]] = []  # for every event, the earlier ones changed until then

    def hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def see(_layer: nn.Module, _given: Any, output: Any) -> None:
            value = output if isinstance(output, Tensor) else torch.empty(0, device="meta")
            self.paths.append(path)
            self._values.append((value, value._version))
            changed = {e for e, (t, v) in enumerate(self._values, 1) if t._version != v}
            self._changed.append(changed)

        return see

    def plan(self, points: Sequence[_Point]) -> _Plan | None:
        """The plan for these points, or None where one of them does not occur."""
        takes: dict[int, list[str]] = {}
        for point in points:
            calls = [event for event, path in enumerate(self.paths, 1) if path == point.path]
            if len(calls) < (point.call or 1):
                return None
            event = calls[-1 if point.call is None else point.call - 1]
            takes.setdefault(event, []).append(point.name)
        stop = max(takes)
        return _Plan(takes, frozenset(self._changed[stop - 1]), stop)


class _Pass:
    """One run of a network, as its hooks see it."""

    def __init__(self, points: Sequence[_Point], plan: _Plan | None) -> None:
        self._points, self._plan = points, plan
        self._event = 0
        self._calls: dict[str, int] = {}
        self.taken: dict[str, Tensor] = {}

    def hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def see(_layer: nn.Module, _given: Any, output: Any) -> None:
            if _running()[-1:] == [self]:  # not of another thread, nor of a pass inside this one
                self._see(path, output)

        return see

    def _see(self, path: str, output: Any) -> None:
        self._event += 1
        self._calls[path] = self._calls.get(path, 0) + 1
        if self._plan is None:
            for point in self._points:
                if point.path == path and point.call in (None, self._calls[path]):
                    self.taken[point.name] = _value(point, output).clone()
            return
        for name in self._plan.takes.get(self._event, ()):
            point = next(point for point in self._points if point.name == name)
            value = _value(point, output)
            self.taken[name] = value.clone() if self._event in self._plan.overwritten else value
        if self._event == self._plan.stop:
            raise _Enough


class Taps(nn.Module):
    """The values at named points of a network; see `tap`.

    Its parameters, mode and device are those of `model`, in its state under "model.".

    A network is run as far as the last point. One whose flow depends on the images' values cannot
    be looked at beforehand, and is run to its end. What was found out is kept for each size of
    image: a network whose layers are exchanged afterwards needs new taps.

    Args:
        model: any module that is called with images.
        names: see `tap`.
        entry: the method or part of the model to call instead of itself, such as "features" for a
            network of this package whose head shall not be looked at.

    Shapes: (N, C, H, W) -> a value a name, as its layer gives it.

    Raises:
        NotFound, WrongUse: see `tap`; and when called, WrongUse where a layer does not run in the
            model's present mode, or gives something else than a tensor.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], entry: str | None = None) -> None:
        super().__init__()
        if not names:
            raise WrongUse("tap was given no names: expected at least one layer, such as 'conv1'")
        # A compiled network ignores hooks; what it was compiled from heeds them.
        model = getattr(model, "_orig_mod", model)
        self.model = model
        self.entry = entry
        self.training = model.training  # and not train(), which would touch the model's parts
        self.points = tuple(_point(model, name) for name in dict.fromkeys(names))
        self._plans: dict[object, _Plan | None] = {}

    def extra_repr(self) -> str:
        return ", ".join(point.name for point in self.points)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        if torch.compiler.is_dynamo_compiling():  # hooks that come and go cannot be compiled
            disable: Any = torch.compiler.disable  # untyped
            whole: OrderedDict[str, Tensor] = disable(self._values)(x)
            return whole
        return self._values(x)

    def _values(self, x: Tensor) -> OrderedDict[str, Tensor]:
        plan = None if _is_recorded() else self._plan_for(x)
        taken = self._run(x, plan)
        if len(taken) < len(self.points) and plan is not None:
            taken = self._run(x, None)  # it went another way than its twin
        missing = [point.name for point in self.points if point.name not in taken]
        if missing:
            mode = "training" if self.model.training else "evaluation"
            raise WrongUse(
                f"{type(self.model).__name__} did not run {', '.join(missing)} in {mode} mode:"
                " tap a layer that it calls, or another of its calls"
            )
        return OrderedDict((point.name, taken[point.name]) for point in self.points)

    def _plan_for(self, x: Tensor) -> _Plan | None:
        key = (x.shape[1:], x.dtype, self.model.training)
        if key not in self._plans:
            self._plans[key] = self._look_ahead(x)
        return self._plans[key]

    def _run(self, x: Tensor, plan: _Plan | None) -> dict[str, Tensor]:
        """The values at the points, as far as the network ran there."""
        seen = _Pass(self.points, plan)
        with _hooks(self.model, self.points, seen.hook):
            _running().append(seen)
            try:
                self._call(self.model, x)
            except _Enough:
                pass
            finally:
                _running().pop()
        return seen.taken

    def _call(self, model: nn.Module, x: Tensor) -> None:
        (getattr(model, self.entry) if self.entry else model)(x)

    def _look_ahead(self, x: Tensor) -> _Plan | None:
        """Run a twin on the meta device, or None where that is not possible."""
        events = _Events()
        try:
            twin = on_meta(self.model)
            with _hooks(twin, self.points, events.hook), torch.inference_mode(False), Versions():
                self._call(twin, torch.empty_like(x, device="meta"))
        except Exception as error:
            # What only the meta device cannot do says so. Else the network would stop there too.
            if not events.paths or "meta" in str(error).lower():
                return None
        return events.plan(self.points)


def _is_recorded() -> bool:
    """Whether an engine records a graph of the network, from which it leaves out what is unused."""
    return torch._C._is_tracing() or torch.compiler.is_exporting()


def _point(model: nn.Module, name: str) -> _Point:
    side = INTO if name.startswith(INTO) else ""
    said, at, call = name.removeprefix(side).rpartition("@")
    if not at or not call.isdecimal():
        return _Point(name, side + module_path(model, name.removeprefix(side)), None)
    if int(call) < 1:
        raise NotFound(f"{name!r} asks for call {call}: calls are counted from 1")
    return _Point(name, side + module_path(model, said), int(call))


def _value(point: _Point, output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    raise WrongUse(
        f"{point.name} gives a {type(output).__name__}, expected a tensor: tap a layer inside it"
    )


_THREAD = threading.local()


def _running() -> list[_Pass]:
    """The passes of this thread, the innermost last."""
    if not hasattr(_THREAD, "passes"):
        _THREAD.passes = []
    passes: list[_Pass] = _THREAD.passes
    return passes


@contextmanager
def _hooks(
    model: nn.Module,
    points: Sequence[_Point],
    hook: Callable[[str], Callable[[nn.Module, Any, Any], None]],
) -> Iterator[None]:
    """Inside, each tapped layer has one hook, also where several names mean it."""
    handles = []
    for path in dict.fromkeys(point.path for point in points):
        layer, see = model.get_submodule(path.removeprefix(INTO)), hook(path)
        handles.append(
            layer.register_forward_pre_hook(_before(see))
            if path.startswith(INTO)
            else layer.register_forward_hook(see)
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(see: Callable[[nn.Module, Any, Any], None]) -> Callable[[nn.Module, Any], None]:
    """A hook that shows what a layer is given in place of what it gives."""

    def given(layer: nn.Module, inputs: Any) -> None:
        see(layer, None, inputs[0] if len(inputs) == 1 else inputs)

    return given
