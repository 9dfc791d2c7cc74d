"""The parts of a network: stages of its paper, and what lies below one path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from backbones.inspection.trace import Layer


@dataclass(frozen=True)
class Stage:
    """A part of a network, in the paper's terms.

    Args:
        name: the paper's; of a foreign network the module's path.
        end: its last layer or function.
        layers: in the order of execution.
    """

    name: str
    end: Layer
    layers: tuple[Layer, ...]

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of what it gives, for one image."""
        return self.end.output

    @property
    def params(self) -> int:
        return sum(layer.params + layer.frozen for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def num_bytes(self) -> int:
        return sum(layer.num_bytes for layer in self.layers)


def stages_of(network: Any, layers: Sequence[Layer], every: Sequence[Layer]) -> tuple[Stage, ...]:
    """Each layer belongs to the first stage that is not over; foreign ones to a child module.

    `every` has functions too: a module of branches ends in a concatenation, not in a layer.
    """
    stages = getattr(network, "stages", None)
    if not hasattr(network, "row") or not isinstance(stages, tuple):
        runs = groupby(layers, key=lambda layer: path_begin(layer.name, 1))
        parts = [(name, tuple(run)) for name, run in runs]
        return tuple(Stage(name, _end(every, name, run[-1]), run) for name, run in parts)
    found, rest = [], list(layers)
    for title, path in stages:
        inside = [
            i for i, layer in enumerate(rest) if layer.name == path or _within(layer.name, path)
        ]
        if not inside:
            continue
        end = _end(every, path, rest[inside[-1]])
        found.append(Stage(title, end, tuple(rest[: inside[-1] + 1])))
        rest = rest[inside[-1] + 1 :]
    if rest and found:
        last = found.pop()
        found.append(replace(last, layers=(*last.layers, *rest)))
    return tuple(found)


def _end(every: Sequence[Layer], path: str, last: Layer) -> Layer:
    inside = (layer for layer in reversed(every) if layer.name == path or _within(layer.name, path))
    return next(inside, last)


def parts_of(name: str) -> list[str]:
    """All paths that hold a layer or function: "a", "a.b" of "a.b.c" and of "a.b:add"."""
    inside, function, _ = name.partition(":")
    steps = inside.split(".")
    return [".".join(steps[:depth]) for depth in range(1, len(steps) + bool(function)) if inside]


def _within(name: str, path: str) -> bool:
    return name.startswith((f"{path}.", f"{path}:"))


def path_begin(name: str, depth: int) -> str:
    """The first `depth` parts of a layer's path."""
    return ".".join(name.split(":")[0].split(".")[:depth]) or name


def fold(path: str, layers: Sequence[Layer]) -> Layer:
    """Layers in a row as one."""
    last = layers[-1]
    return Layer(
        path,
        f"{len(layers)} layers",
        last.output,
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.connections for layer in layers),
        sum(layer.frozen for layer in layers),
        sum(layer.num_bytes for layer in layers),
        "",
        last.field,
        all(layer.shared for layer in layers),
    )
