"""From the graph of function calls to the steps that a paper's figure would draw.

A recorded graph has a node for every call: a convolution, its batch normalisation, its ReLU, a
`flatten`. A figure has one box for the three, and none for the last. This file folds one into the
other and keeps, for every step, which modules it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backbones.inspection.graph import Graph, Node

Kind = Literal[
    *("input", "convolution", "depthwise", "pooling", "linear", "norm", "activation"),
    *("gate", "attention", "add", "concat", "other"),
]

CONVOLUTIONS = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
}
POOLINGS = {
    "max_pool2d": "max",
    "avg_pool2d": "avg",
    "adaptive_avg_pool2d": "avg",
    "adaptive_max_pool2d": "max",
    "lp_pool2d": "lp",
    "mean": "avg",
}
NORMS = {
    "batch_norm": "BN",
    "layer_norm": "LN",
    "group_norm": "GN",
    "instance_norm": "IN",
    "rms_norm": "RMS",
    "local_response_norm": "LRN",
}
ACTIVATIONS = {
    **{"relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "gelu": "GELU", "tanh": "tanh"},
    **{"sigmoid": "sigmoid", "hardtanh": "ReLU6", "hardswish": "h-swish", "mish": "Mish"},
    **{"hardsigmoid": "h-sigmoid", "leaky_relu": "leaky ReLU", "elu": "ELU", "prelu": "PReLU"},
    **{"softmax": "softmax", "log_softmax": "log-softmax", "softplus": "softplus", "selu": "SELU"},
}
_ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_JOINS = {
    **{"add": "add", "sub": "add", "cat": "concat", "concat": "concat", "concatenate": "concat"},
    **{"stack": "concat", "mul": "other"},
}
# What leaves the numbers as they are, or only scales them: no figure draws it.
_UNSEEN = {
    *("flatten", "view", "reshape", "permute", "transpose", "getitem", "squeeze", "unsqueeze"),
    *("dropout", "pad", "contiguous", "clone", "detach", "expand", "expand_as", "to", "chunk"),
    *("div", "mul", "add", "sub", "float", "type_as", "movedim", "swapaxes", "size", "t", "T"),
    *("stochastic_depth", "unbind", "split", "setitem", "identity", "truediv", "unflatten"),
    *("roll", "feature_alpha_dropout", "alpha_dropout", "dropout2d", "unseen", "__get__", "get"),
}
_MAIN = {*CONVOLUTIONS, "linear", *_ATTENTION}


@dataclass(frozen=True)
class Step:
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

    @property
    def shape_text(self) -> str:
        """The shape as papers write it, channels first.

        Example:
            >>> Step(0, "input", "input", (3, 224, 224), (), ()).shape_text
            '3×224×224'
        """
        return "×".join(map(str, self.shape)) or "1"


@dataclass
class _Draft:
    """A step in the making."""

    kind: Kind
    title: str
    shape: tuple[int, ...]
    inputs: list[int]
    modules: list[str]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    channels_last: bool = False
    unseen: bool = False


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """Fold a graph into the steps of a figure: those that lead to the network's first output.

    Example:
        >>> from torch import nn
        >>> from backbones.inspection.graph import record
        >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
        >>> [(step.kind, step.shape, step.after) for step in steps_of(record(layers, (3, 3, 3)))]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('input', (3, 3, 3), ()), ('convolution', (8, 1, 1), ('ReLU',)), ('linear', (2,), ())]
    """
    drafts, place = _grouped(graph)
    if not graph.outputs:
        return ()
    output = place[graph.outputs[0]]
    output = _bypass(drafts, output)
    _keep_ancestors(drafts, output)
    _fold_attention(drafts)
    _fold_trimmings(drafts)
    _fold_gates(drafts)
    _keep_ancestors(drafts, output := _last(drafts, output))
    number = {key: index for index, key in enumerate(drafts)}
    return tuple(
        Step(
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


def renumbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The same steps, counted from 0; inputs that are not among them fall away."""
    listed = tuple(steps)
    number = {step.index: place for place, step in enumerate(listed)}
    return tuple(
        replace(
            step,
            index=number[step.index],
            inputs=tuple(number[source] for source in step.inputs if source in number),
        )
        for step in listed
    )


def _grouped(graph: Graph) -> tuple[dict[int, _Draft], dict[int, int]]:
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
            and not (node.op in _MAIN and any(n.op in _MAIN for n in groups[-1]))
        )
        if joins:
            groups[-1].append(node)
        else:
            groups.append([node])
    place = {node.index: number for number, group in enumerate(groups) for node in group}
    drafts: dict[int, _Draft] = {}
    for number, group in enumerate(groups):
        sources = [place[source] for node in group for source in node.inputs]
        inputs = list(dict.fromkeys(source for source in sources if source != number))
        drafts[number] = _draft(group, inputs, graph.kinds)
    return drafts, place


def _draft(group: list[Node], inputs: list[int], kinds: dict[str, str]) -> _Draft:
    """The first draft of a step from the calls that it consists of."""
    node = min(group, key=_rank)
    shape = tuple(group[-1].shape[1:])
    kind, title = _named(node, len(inputs))
    draft = _Draft(kind, title, shape, inputs, [node.module])
    if kind == "other" and title == node.op:
        draft.title = kinds.get(node.module, node.op) if len(group) > 1 else node.op
        draft.unseen = len(inputs) < 2 and all(member.op in _UNSEEN for member in group)
    if kind == "pooling" and node.op == "mean" and len(node.shape) > 2 and _side(node.shape) > 1:
        draft.kind, draft.title = "other", "mean"
    if node.op == "adaptive_avg_pool2d" and _input_shape(node) == node.shape:
        draft.unseen = True  # it averages windows of one pixel: at this size it does nothing
    draft.channels_last = len(shape) == 3 and node.op in ("linear", "layer_norm")
    return draft


def _rank(node: Node) -> int:
    """Which call of a module says best what the module is."""
    for rank, ops in enumerate((_MAIN, POOLINGS, NORMS, ACTIVATIONS)):
        if node.op in ops:
            return rank
    return 4


def _named(node: Node, num_inputs: int) -> tuple[Kind, str]:
    """The kind of a call, and what to write on it."""
    op = node.op
    if op == "input":
        return "input", "input"
    if op in CONVOLUTIONS:
        return _convolution(node)
    if op == "linear":
        return "linear", "fc"
    if op in POOLINGS:
        return "pooling", _pooling(node)
    if op in NORMS:
        return "norm", NORMS[op]
    if op in ACTIVATIONS:
        return "activation", ACTIVATIONS[op]
    if op in _ATTENTION:
        return "attention", "attention"
    if num_inputs > 1 and op in _JOINS:
        kind = _JOINS[op]
        return ("add", "+") if kind == "add" else ("concat", "concat") if kind != "other" else (
            "other",
            "×",
        )
    return "other", op


def _argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a call, given by place or by name."""
    given, named = getattr(node, "call", ((), {}))
    if name in named:
        return named[name]
    return given[place] if len(given) > place else default


def _input_shape(node: Node) -> tuple[int, ...]:
    return tuple(_argument(node, 0, "input", ()))


def _convolution(node: Node) -> tuple[Kind, str]:
    weight = tuple(_argument(node, 1, "weight", ()))
    stride = _one_or_many(_argument(node, 3, "stride", 1))
    dilated = _argument(node, 5, "dilation", 1)
    groups = _argument(node, 6, "groups", 1)
    if "transpose" in node.op:
        dilated, groups = 1, 1  # their arguments have another order
    sides = "×".join(map(str, weight[2:]))
    title = sides + (f"/{stride}" if stride != "1" else "")
    if _one_or_many(dilated) != "1":
        title += f" d{_one_or_many(dilated)}"
    if isinstance(groups, int) and groups > 1:
        if weight[1] == 1:
            return "depthwise", title
        return "convolution", f"{title} g{groups}"
    return "convolution", title if sides else "conv"


def _pooling(node: Node) -> str:
    word = POOLINGS[node.op]
    if node.op == "mean" or (node.op.startswith("adaptive") and _side(node.shape) == 1):
        return f"global {word}"
    size = _argument(node, 1, "output_size" if node.op.startswith("adaptive") else "kernel_size")
    if size is None:
        return word
    sides = "×".join(map(str, size if isinstance(size, tuple) else (size, size)))
    if node.op.startswith("adaptive"):
        return f"{word} to {sides}"
    stride = _argument(node, 2, "stride")
    step = _one_or_many(size if stride in (None, ()) else stride)
    return f"{word} {sides}" + (f"/{step}" if step != "1" else "")


def _one_or_many(value: Any) -> str:
    """One number where all are equal; "2,1" otherwise."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))


def _side(shape: tuple[int, ...]) -> int:
    return max(shape[2:], default=1)


def _readers(drafts: dict[int, _Draft]) -> dict[int, list[int]]:
    """For every draft, those that read it, in order."""
    readers: dict[int, list[int]] = {key: [] for key in drafts}
    for key, draft in drafts.items():
        for source in dict.fromkeys(draft.inputs):
            readers[source].append(key)
    return readers


def _drop(drafts: dict[int, _Draft], key: int, stand_in: int) -> None:
    """Take a draft out; whoever read it reads `stand_in`, and an heir keeps its modules."""
    gone = drafts.pop(key)
    drafts[stand_in].modules += gone.modules
    for draft in drafts.values():
        if key in draft.inputs:
            draft.inputs = [stand_in if source == key else source for source in draft.inputs]


def _bypass(drafts: dict[int, _Draft], output: int) -> int:
    """Take out what no figure draws; returns the output's draft, which may have become another."""
    for key in [key for key, draft in drafts.items() if draft.unseen and draft.inputs]:
        source = drafts[key].inputs[0]
        gone = drafts.pop(key)
        del gone
        for draft in drafts.values():
            if key in draft.inputs:
                draft.inputs = [source if other == key else other for other in draft.inputs]
        output = source if key == output else output
    for draft in drafts.values():  # a sum of a thing and its own reshaped self
        draft.inputs = list(dict.fromkeys(draft.inputs))
    return output


def _keep_ancestors(drafts: dict[int, _Draft], output: int) -> None:
    """Take out what does not lead to the output."""
    wanted, pending = {output}, [output]
    while pending:
        for source in drafts[pending.pop()].inputs:
            if source not in wanted:
                wanted.add(source)
                pending.append(source)
    for key in [key for key in drafts if key not in wanted]:
        del drafts[key]


def _last(drafts: dict[int, _Draft], output: int) -> int:
    return output if output in drafts else max(drafts)


def _fold_trimmings(drafts: dict[int, _Draft]) -> None:
    """Fold normalisations and activations into the step before them, or into the one after.

    Into the one before where that is a convolution or a fully connected layer that nothing else
    reads; into a convolution after them where they come first ("pre-activation"); activations
    also into a sum or anything else that nothing else reads. What is left is drawn by itself.
    """
    for key in list(drafts):
        draft = drafts[key]
        if draft.kind not in ("norm", "activation") or len(draft.inputs) != 1:
            continue
        if draft.title == "LRN":  # a layer of its own in every paper that has it
            continue
        (source,) = draft.inputs
        readers = _readers(drafts)
        alone = readers[source] == [key]
        before = drafts[source]
        if alone and (
            before.kind in ("convolution", "depthwise", "linear")
            or (draft.kind == "activation" and before.kind not in ("input", "norm"))
            or (draft.kind == "activation" and before.title == "LRN")
        ):
            before.after.append(draft.title)
            before.shape = draft.shape
            _drop(drafts, key, source)
    for key in reversed(list(drafts)):
        draft = drafts[key]
        if draft.kind not in ("norm", "activation") or len(draft.inputs) != 1:
            continue
        readers = _readers(drafts)
        if draft.title == "LRN" or len(readers[key]) != 1:
            continue
        after = drafts[readers[key][0]]
        if after.kind in ("convolution", "depthwise", "linear", "attention") and after.inputs == [
            key
        ]:
            after.before.insert(0, draft.title)
            after.modules += draft.modules
            after.inputs = list(draft.inputs)
            del drafts[key]
    for key in list(drafts):
        draft = drafts[key]
        if draft.kind == "activation" and len(draft.inputs) == 1:
            (source,) = draft.inputs
            if drafts[source].kind == "norm" and _readers(drafts)[source] == [key]:
                drafts[source].after.append(draft.title)
                _drop(drafts, key, source)


def _fold_gates(drafts: dict[int, _Draft]) -> None:
    """Squeeze-and-excitation: maps, multiplied by what a few layers say of their averages."""
    for key in list(drafts):
        draft = drafts.get(key)
        if draft is None or draft.title != "×" or len(draft.inputs) != 2:
            continue
        for maps, gate in (draft.inputs, draft.inputs[::-1]):
            chain = _gate(drafts, maps, gate, key)
            if chain:
                widths = [drafts[link].shape[0] for link in chain if drafts[link].shape]
                draft.kind, draft.title = "gate", f"SE {min(widths)}"
                draft.modules += [path for link in chain for path in drafts[link].modules]
                draft.modules.sort(key=len)
                draft.inputs = [maps]
                for link in chain:
                    del drafts[link]
                break


def _gate(drafts: dict[int, _Draft], maps: int, gate: int, product: int) -> list[int]:
    """The layers from the average of `maps` to `gate`; empty where it is anything else."""
    chain: list[int] = []
    readers = _readers(drafts)
    while gate != maps:
        draft = drafts[gate]
        expected = product if not chain else chain[-1]
        if len(draft.inputs) != 1 or readers[gate] != [expected]:
            return []
        chain.append(gate)
        (gate,) = draft.inputs
    squeezed = bool(chain) and drafts[chain[-1]].kind == "pooling"
    return chain if squeezed and max(drafts[chain[-1]].shape[1:], default=1) == 1 else []


def _fold_attention(drafts: dict[int, _Draft]) -> None:
    """Everything inside a module that attends becomes one step."""
    for key in list(drafts):
        draft = drafts.get(key)
        if draft is None or draft.kind != "attention" or not draft.module:
            continue
        inside = [
            other
            for other, d in drafts.items()
            if d.module == draft.module or d.module.startswith(f"{draft.module}.")
        ]
        outer = [s for o in inside for s in drafts[o].inputs if s not in inside]
        last = max(inside)
        leaks = [o for o, d in drafts.items() if o not in inside and set(d.inputs) & set(inside)]
        if any(set(drafts[o].inputs) & set(inside) - {last} for o in leaks):
            continue
        drafts[last].kind, drafts[last].title = "attention", "attention"
        drafts[last].inputs = list(dict.fromkeys(outer))
        drafts[last].modules = [draft.module]
        drafts[last].channels_last = False
        for other in inside:
            if other != last:
                del drafts[other]
