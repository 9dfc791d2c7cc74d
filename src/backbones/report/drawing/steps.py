"""From the graph of function calls to the steps that a paper's figure would draw.

A recorded graph has a node for every call: a convolution, its batch normalisation, its ReLU, a
`flatten`. A figure has one box for the three, and none for the last. This file folds one into the
other and keeps, for every step, which modules it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backbones.inspection.graph import Graph, Node
from backbones.report.drawing.calls import (
    JOINS,
    MAIN,
    UNSEEN,
    Kind,
    input_shape,
    named,
    rank,
    side_of,
)
from backbones.report.drawing.folding import Draft, folded

ShapeOrder = Literal["chw", "hwc"]


@dataclass(frozen=True)
class DrawingStep:
    """One box of a figure.

    Args:
        index: place in the tuple of steps, the order of execution.
        kind: decides the colour.
        title: what is written on it, such as "3×3/2".
        shape: of its output, without the batch.
        inputs: the steps whose outputs it reads, each once.
        modules: paths of the modules that it stands for, the one that names it first.
        before, after: normalisations and activations that were folded into it.
        channels_last: the last axis of the shape counts channels.
    """

    index: int
    kind: Kind
    title: str
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    modules: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    channels_last: bool = False

    @property
    def module(self) -> str:
        """Path of the module that names the step; "" for the network's own forward."""
        return self.modules[0] if self.modules else ""

    def shape_text(self, order: ShapeOrder) -> str:
        """The shape, with its channels where `order` has them.

        Example:
            >>> DrawingStep(0, "input", "input", (3, 224, 224), (), ()).shape_text("hwc")
            '224×224×3'
        """
        shape = self.shape
        if order == "hwc" and len(shape) == 3 and not self.channels_last:
            shape = (*shape[1:], shape[0])
        return "×".join(map(str, shape)) or "1"


def steps_of(graph: Graph) -> tuple[DrawingStep, ...]:
    """Fold a graph into the steps of a figure: those that lead to the network's first output.

    Example:
        >>> from torch import nn
        >>> from backbones.inspection.graph import record
        >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
        >>> [(step.kind, step.shape, step.after) for step in steps_of(record(layers, (3, 3, 3)))]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('input', (3, 3, 3), ()), ('convolution', (8, 1, 1), ('ReLU',)), ('linear', (2,), ())]
    """
    if not graph.outputs:
        return ()
    drafts, place = _grouped(graph)
    drafts = folded(drafts, place[graph.outputs[0]])
    number = {key: index for index, key in enumerate(drafts)}
    return tuple(
        DrawingStep(
            index=number[key],
            kind=draft.kind,
            title=draft.title,
            shape=draft.shape,
            inputs=tuple(dict.fromkeys(number[source] for source in draft.inputs)),
            modules=tuple(dict.fromkeys(draft.modules)),
            before=tuple(draft.before),
            after=tuple(draft.after),
            channels_last=draft.channels_last,
        )
        for key, draft in drafts.items()
    )


def with_softmax(steps: tuple[DrawingStep, ...], title: str) -> tuple[DrawingStep, ...]:
    """The steps, and behind them the softmax that a figure draws and a network leaves to its loss.

    Args:
        steps: of `steps_of`.
        title: what the figure calls it; "" where it draws none.
    """
    if not title:
        return steps
    last = steps[-1]
    return (*steps, DrawingStep(len(steps), "softmax", title, last.shape, (last.index,), ()))


def _grouped(graph: Graph) -> tuple[dict[int, Draft], dict[int, int]]:
    """A draft for every call of a module without parts, and for every other function.

    Returns:
        The drafts by number, and for each node the draft that it is in.
    """
    parents = {path.rpartition(".")[0] for path in graph.kinds if path}
    groups: list[list[Node]] = []
    for node in graph.nodes:
        last = groups[-1][-1] if groups else None
        joins = (
            last is not None
            and node.module
            and node.module == last.module
            and node.module not in parents
            and last.index in node.inputs
            and not (node.op in MAIN and any(n.op in MAIN for n in groups[-1]))
            and not (len(node.inputs) > 1 and _joins_parts(node, groups[-1]))
        )
        if joins:
            groups[-1].append(node)
        else:
            groups.append([node])
    place = {node.index: number for number, group in enumerate(groups) for node in group}
    drafts: dict[int, Draft] = {}
    for number, group in enumerate(groups):
        sources = [place[source] for node in group for source in node.inputs]
        inputs = list(dict.fromkeys(source for source in sources if source != number))
        drafts[number] = _draft(group, inputs, graph.kinds)
    return drafts, place


def _joins_parts(node: Node, group: list[Node]) -> bool:
    """Whether it brings together what several layers made: LeNet-5's C3 is parallel parts."""
    inside = {member.index for member in group}
    return node.op in JOINS and any(source not in inside for source in node.inputs)


def _draft(group: list[Node], inputs: list[int], kinds: dict[str, str]) -> Draft:
    """The first draft of a step from the calls that it consists of."""
    node = min(group, key=rank)
    shape = tuple(group[-1].shape[1:])
    kind, title = named(node, len(inputs))
    draft = Draft(kind, title, shape, inputs, [node.module])
    if kind == "other" and title == node.op:
        whole = len(group) > 1 or node.op == "unseen"
        draft.title = kinds.get(node.module, node.op) if whole else node.op
        draft.unseen = len(inputs) < 2 and all(member.op in UNSEEN for member in group)
    if kind == "pooling" and node.op == "mean" and len(node.shape) > 2 and side_of(node.shape) > 1:
        draft.kind, draft.title = "other", "mean"
    if node.op == "adaptive_avg_pool2d" and input_shape(node) == node.shape:
        draft.unseen = True  # it averages windows of one pixel: at this size it does nothing
    draft.channels_last = len(shape) == 3 and node.op in ("linear", "layer_norm")
    return draft
