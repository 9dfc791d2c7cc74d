"""A network followed once, and all its numbers in one object: per layer, per stage, in sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from backbones.errors import BackbonesError, WrongUse
from backbones.inspection.depth import depth
from backbones.inspection.explanation import explain_counts, explain_fields
from backbones.inspection.fields import receptive_fields
from backbones.inspection.graph import Graph, record
from backbones.inspection.network_summary import NetworkSummary, NotCounted
from backbones.inspection.printed import PRINTED
from backbones.inspection.recurrence import recurrence
from backbones.inspection.stages import stages_of
from backbones.inspection.text import to_csv, to_markdown, to_text
from backbones.inspection.trace import Layer, layers_of, on_meta
from backbones.nn.naming import paper_names
from backbones.nn.refusals import refusal
from backbones.text import preformatted

_DEFAULT_SHAPE = (3, 224, 224)


class Inspection(NetworkSummary):
    """A summary that shows itself; `layers` are those to list, all where None."""

    def to_text(self, layers: Sequence[Layer] | None = None, width: int | None = None) -> str:
        """Totals, notes, layers and stages, in columns; lines of so many letters at most."""
        return to_text(self, layers, width)

    def to_markdown(self, layers: Sequence[Layer] | None = None) -> str:
        """Totals as a line, layers as a table."""
        return to_markdown(self, layers)

    def to_csv(self, layers: Sequence[Layer] | None = None) -> str:
        """One line a layer, numbers without units."""
        return to_csv(self, layers)

    def explain(self) -> str:
        """The sums of parameters and MACs by hand: each layer's formula with the numbers in it.

        Example:
            >>> print(inspect("vgg11").explain().splitlines()[4])
            conv2_1  parameters  3*3*64*128 + 128 = 73,856
        """
        return explain_counts(self)

    def explain_field(self) -> str:
        """The receptive field by hand: r = r + (k-1)*j and j = j*s, line by line."""
        return explain_fields(self)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


def inspect(
    model: nn.Module | str,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    functions: bool = False,
) -> Inspection:
    """A module, or a variant by its name; arguments and errors as of `backbones.inspect`."""
    network: Any = on_meta(model) if isinstance(model, str) else model
    shape = tuple(input_shape) if input_shape is not None else own_shape(network)
    if batch < 1 or not shape or any(side < 1 for side in shape):
        raise WrongUse(f"batch {batch} of {shape}: expected whole numbers of at least 1")
    graph = _followed(network, shape, batch)
    fields = receptive_fields(graph)
    every = layers_of(graph, fields, functions=True)
    layers = every if functions else tuple(layer for layer in every if not layer.is_mere_function)
    name = network.row.name if hasattr(network, "row") else type(network).__name__
    named = paper_names(network)
    parameters = list(network.parameters())
    run = sum(layer.params + layer.frozen for layer in layers)
    total = sum(p.numel() for p in parameters)
    printed = tuple(p.explain(layers) for p in PRINTED.get(name, ()))
    left_out = _not_counted(graph)
    return Inspection(
        name,
        shape,
        batch,
        total,
        sum(p.numel() for p in parameters if p.requires_grad),
        max(0, total - run),
        layers,
        stages_of(network, layers, every),
        named,
        (*_notes(graph, total - run, left_out), *(f"printed: {line}" for line in printed)),
        _missing(graph, layers),
        left_out,
        every,
        depth(graph),
        recurrence(graph, fields, graph.names),
    )


def own_shape(network: Any) -> tuple[int, ...]:
    row = getattr(network, "row", None)
    if row is None or not hasattr(row, "input_px"):
        return _DEFAULT_SHAPE
    return (network.in_channels, row.input_px, row.input_px)


def _followed(network: nn.Module, shape: tuple[int, ...], batch: int) -> Graph:
    try:
        return record(network, shape, batch)
    except BackbonesError:
        raise
    except Exception as error:
        advice = "give another with --input or input_shape"
        raise refusal(network, error, shape, advice) from error


def _not_counted(graph: Graph) -> tuple[NotCounted, ...]:
    """In the order in which they first ran."""
    found = Counter((node.op, node.module) for node in graph.nodes if not node.counted)
    return tuple(NotCounted(op, times, layer) for (op, layer), times in found.items())


def _notes(graph: Graph, training_only_params: int, left_out: Sequence[NotCounted]) -> list[str]:
    notes = [] if graph.on_meta else ["numbers were computed: shapes alone were not enough"]
    if graph.looks:
        notes.append("forward looks at the image's numbers: another image may take another path")
    if any(node.op in ("group_norm", "instance_norm") for node in graph.nodes):
        notes.append("fields leave out the statistics of group and instance norms, of whole maps")
    if left_out:
        told = [
            one.op
            + (f" x {one.times}" if one.times > 1 else "")
            + (f" in {one.layer}" if one.layer else "")
            for one in left_out
        ]
        notes.append(f"not counted in MACs, whatever they cost: {', '.join(told)}")
    if training_only_params > 0:
        notes.append(
            f"{training_only_params:,} parameters are in parts that an evaluation does not run"
        )
    return notes


def _missing(graph: Graph, layers: Sequence[Layer]) -> tuple[str, ...]:
    if not graph.num_unseen:
        return ()
    hidden = [layer.name for layer in layers if layer.field is None]
    where = f" behind {hidden[0]}" if hidden else ""
    return (f"MACs of {graph.num_unseen} parts that hide what they do", f"receptive field{where}")
