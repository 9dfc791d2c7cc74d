"""How the receptive field grows, one layer at a time: r += (k - 1) * d * j, then j *= s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backbones.inspection.node import Graph, Node
from backbones.inspection.spans import Field, Span
from backbones.inspection.windows import WINDOWED, Window, windows_of

Rule = Literal["window", "all", "joined", "followed"]


@dataclass(frozen=True)
class FieldStep:
    """One layer or function that changes what a unit sees along one axis.

    Args:
        name: module path; "module:function" of what is called outside layers.
        axis: of the input behind the channels: 0 for rows, 1 for columns.
        rule: "window" slides over its input, "all" makes every unit see what all of them see (a
            fully connected layer, a global average), "joined" has inputs that see different
            things, "followed" was worked out unit by unit, such as interpolation.
        sources: the steps before it, by their names; "input" for the image.
        before: what a unit of each input sees.
        after: what a unit of the output sees.
        window: of the rule "window"; for "all", as large as the input has units.
    """

    name: str
    axis: int
    rule: Rule
    sources: tuple[str, ...]
    before: tuple[Span, ...]
    after: Span
    window: Window | None = None

    def to_text(self) -> tuple[str, str, str]:
        """The window, and the lines of r and j with their numbers in them."""
        r, j = _told(self.after.size), _told(self.after.jump)
        if self.window is None:
            sizes = dict.fromkeys(_told(span.size) for span in self.before)
            largest = self.rule == "joined" and r in sizes
            return "", f"r = max({', '.join(sizes)}) = {r}" if largest else f"r = {r}", f"j = {j}"
        k, s, p, d = self.window.size, self.window.stride, self.window.padding, self.window.gap
        old_r, old_j = _told(self.before[0].size), _told(self.before[0].jump)
        grown = f"r = {old_r} + ({k}-1){f'*{d}' if d > 1 else ''}*{old_j} = {r}"
        if self.rule == "all":
            return f"all {k} units", grown, f"j = {j}"
        window = f"k={k} s={s}" + (f" p={p}" if p else "") + (f" d={d}" if d > 1 else "")
        return window, grown, f"j = {old_j}*{s} = {j}"

    def to_json(self) -> dict[str, Any]:
        """A flat dictionary."""
        window = self.window
        return {
            "name": self.name,
            "axis": self.axis,
            "rule": self.rule,
            "sources": list(self.sources),
            "kernel": None if window is None else window.size,
            "stride": None if window is None else window.stride,
            "padding": None if window is None else window.padding,
            "dilation": None if window is None else window.gap,
            "receptive_field": float(self.after.size),
            "jump": float(self.after.jump),
            "formula": self.to_text()[1],
        }


def recurrence(
    graph: Graph, fields: Sequence[Field | None], names: Sequence[str]
) -> tuple[FieldStep, ...]:
    """Every step at which a field grows or moves on, in the order of execution.

    Args:
        graph: a recorded pass.
        fields: of its nodes; see `receptive_fields`.
        names: of the layer or function that each node belongs to.
    """
    axes = range(len(graph.nodes[0].shape) - 2) if graph.nodes else ()
    return tuple(step for axis in axes for step in _along(graph, fields, names, axis))


def _along(
    graph: Graph, fields: Sequence[Field | None], names: Sequence[str], axis: int
) -> list[FieldStep]:
    found: list[FieldStep] = []
    last: list[str] = []  # for each node, the step that gave it its field
    for node in graph.nodes:
        sources = tuple(dict.fromkeys(last[index] for index in node.inputs))
        last.append(sources[0] if sources else "input")
        seen, read = fields[node.index], [fields[index] for index in node.inputs]
        known = [field.spans[axis] for field in read if field is not None]
        if seen is None or not known or len(known) < len(read):
            continue
        rule, window = _rule(graph, node, known, seen.spans[axis], axis)
        if rule is None:
            continue
        last[-1] = names[node.index]
        step = FieldStep(last[-1], axis, rule, sources, tuple(known), seen.spans[axis], window)
        if step not in found[-1:]:  # a layer of several convolutions alike
            found.append(step)
    return found


def _rule(
    graph: Graph, node: Node, before: Sequence[Span], after: Span, axis: int
) -> tuple[Rule | None, Window | None]:
    """None where units see what the units of the only input saw, or of all inputs alike."""
    first = before[0]
    if node.op in WINDOWED and not first.fixed:
        window = windows_of(node)[axis]
        if window == Window(1, 1, 0):
            return None, None
        plain = not first.each and window.over(first, 0, 0) == after
        return ("window", window) if plain else ("followed", None)
    if first.fixed or all(span == after for span in before):
        return None, None
    if len(set(before)) > 1:
        return "joined", None
    units = graph.nodes[node.inputs[0]].shape[2:][axis : axis + 1]
    if units == (1,) and after.size == first.size:
        return None, None
    if after.fixed and units and not first.each and first.of_all(units[0]).size == after.size:
        return "all", Window(units[0], 1, 0)
    return "followed", None


def _told(value: Any) -> str:
    return f"{float(value):g}"
