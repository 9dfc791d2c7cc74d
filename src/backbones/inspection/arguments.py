"""What rules for receptive fields are given: inputs with their fields, a call's arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backbones.inspection.graph import Node
from backbones.inspection.spans import Field

Inputs = Sequence[tuple[Field, tuple[int, ...]]]
Rule = Callable[[Node, Inputs], Field]


def argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a call, given by place or by name."""
    args, named = node.call
    value = named.get(name, args[place] if place < len(args) else default)
    return default if value is None else value


def each_axis(value: Any, count: int) -> list[int]:
    """One number for all axes, or one for each."""
    if isinstance(value, int):
        return [value] * count
    values = list(value)
    return values * count if len(values) == 1 else values
