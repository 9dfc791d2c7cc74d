"""What was found out about a network: the numbers alone, without any way to show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from backbones.errors import NotFound, WrongUse, nearest
from backbones.inspection.formulas import sum_of_products
from backbones.inspection.recurrence import FieldStep
from backbones.inspection.spans import Span
from backbones.inspection.stages import Stage, fold, parts_of, path_begin
from backbones.inspection.trace import Layer

CONVENTION = (
    "MACs: multiply-accumulates of convolutions and matrix products, attention included, as"
    " PyTorch's FlopCounterMode / 2 has them over shapes (on the CPU it leaves fused attention"
    " out); FLOPs are twice as many. Biases, norms, activations, poolings: none."
)


@dataclass(frozen=True)
class NotCounted:
    """A function whose multiply-accumulates nobody knows, and which `macs` leaves out.

    Args:
        op: the function.
        times: how often it ran.
        layer: module path of the part that called it; "" for the network itself.
    """

    op: str
    times: int
    layer: str


@dataclass(frozen=True)
class NetworkSummary:
    """What a network is made of, for images of one size.

    Args:
        name: of the variant, or the module's class.
        input: shape of one image.
        batch: images; MACs and bytes are for all of them.
        params: all parameters, those that evaluation does not run included.
        trainable: those that are trained.
        training_only_params: of parts that an evaluation does not run, such as auxiliary heads.
        layers: in the order of execution.
        stages: the same layers, part by part.
        every: the layers with all functions among them, by which parts end.
        depth: layers with weights on the longest way through, as papers count; see `depth`.
        field_steps: how the receptive field grows, axis by axis; see `recurrence`.
        paper_names: module path -> the paper's name, for every part that has one.
        notes: what papers print and why it differs, and what else a reader must know.
        missing: columns that cannot be told for this network.
        not_counted: functions whose cost is not known; sums leave them out.
    """

    name: str
    input: tuple[int, ...]
    batch: int
    params: int
    trainable: int
    training_only_params: int
    layers: tuple[Layer, ...]
    stages: tuple[Stage, ...]
    paper_names: dict[str, str]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_counted: tuple[NotCounted, ...] = ()
    every: tuple[Layer, ...] = ()
    depth: int = 0
    field_steps: tuple[FieldStep, ...] = ()

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """All layers' outputs together; what is alive at once is less, see `memory`."""
        return sum(layer.num_bytes for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """What a name in one of the tables stands for: the last run of a layer, or a part's end.

        Args:
            name: of a layer, by module path or by the paper's name; of a stage; or the path of a
                part, whose end may be a function, such as the sum of a residual block.

        Raises:
            NotFound: no such layer or part; names the nearest.
        """
        known = {
            **{path: layer for layer in self.every for path in parts_of(layer.name)},
            **{stage.name: stage.end for stage in self.stages},
            **{layer.name: layer for layer in (*self.every, *self.layers)},
            **{self._called(layer): layer for layer in self.layers if self._called(layer)},
        }
        folded = {title.lower(): layer for title, layer in known.items()}
        if name in known or name.lower() in folded:
            return known.get(name) or folded[name.lower()]
        raise NotFound(f"{self.name} has no layer or part {name!r}.{nearest(name, known)}")

    def sees(self, name: str, row: int, column: int) -> tuple[int, int, int, int]:
        """The box of the input that a unit of a layer sees, clipped to the image.

        Args:
            name: of the layer.
            row, column: of the unit in the layer's map.

        Returns:
            (top, left, bottom, right) in px; bottom and right are one past the last pixel.

        Raises:
            NotFound: no such layer.
            WrongUse: no such unit, or the layer's field is unknown.
        """
        layer = self.layer(name)
        if layer.field is None:
            raise WrongUse(f"the receptive field of {name} is not known, see the notes")
        if len(layer.field.spans) != 2:
            raise WrongUse(f"{name} sees no image with rows and columns: input {self.input}")
        sides = layer.output[-2:] if len(layer.output) == 3 else (1, 1)
        for what, at, side in (("row", row, sides[0]), ("column", column, sides[1])):
            if not 0 <= at < side:
                raise WrongUse(f"{what} {at} of {name}: its map has {side}, counted from 0")
        (top, bottom), (left, right) = layer.field.box((row, column))
        if top >= bottom or left >= right:
            raise WrongUse(f"unit ({row}, {column}) of {name} sees no pixel, only its bias")
        return math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right)

    def folded(self, depth: int) -> tuple[Layer, ...]:
        """Layers that share the first `depth` parts of their path in a row become one.

        Args:
            depth: parts of a module path, at least 1.
        """
        found = []
        for path, run in groupby(self.layers, key=lambda layer: path_begin(layer.name, depth)):
            layers = list(run)
            found.append(layers[0] if len(layers) == 1 else fold(path, layers))
        return tuple(found)

    def _called(self, layer: Layer) -> str:
        return self.paper_names.get(layer.name, "")

    def rows(self, layers: Sequence[Layer] | None = None) -> list[dict[str, Any]]:
        """A flat dictionary a layer, for tables and files."""
        return [
            {
                "name": layer.name,
                "paper_name": self._called(layer),
                "type": layer.kind,
                "detail": layer.detail,
                "output_shape": list(layer.output),
                "params": layer.params + layer.frozen,
                "trainable": layer.params,
                "shared": layer.shared,
                "macs": layer.macs,
                "activation_bytes": layer.num_bytes,
                **_field_columns(layer),
            }
            for layer in (self.layers if layers is None else layers)
        ]

    def formulas(self) -> list[dict[str, Any]]:
        """For each layer that counts something, the sums that its numbers come from."""
        return [
            {
                "name": layer.name,
                "paper_name": self._called(layer),
                "params": layer.params + layer.frozen,
                "params_formula": sum_of_products(layer.weights),
                "macs": layer.macs,
                "macs_formula": sum_of_products(layer.products),
            }
            for layer in self.layers
            if layer.macs or layer.weights
        ]

    def to_json(self) -> dict[str, Any]:
        """One dictionary: totals, stages, layers."""
        return {
            "name": self.name,
            "input": list(self.input),
            "batch": self.batch,
            "params": self.params,
            "trainable": self.trainable,
            "training_only_params": self.training_only_params,
            "idle_params": self.training_only_params,
            "depth": self.depth,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "convention": CONVENTION,
            "notes": list(self.notes),
            "missing": list(self.missing),
            "not_counted": [asdict(one) for one in self.not_counted],
            "stages": [
                {
                    "name": stage.name,
                    "output_shape": list(stage.output),
                    "params": stage.params,
                    "macs": stage.macs,
                    "activation_bytes": stage.num_bytes,
                }
                for stage in self.stages
            ],
            "layers": self.rows(),
        }


def _field_columns(layer: Layer) -> dict[str, Any]:
    spans: Sequence[Span] = layer.field.spans if layer.field else ()
    known = layer.field is not None
    return {
        "receptive_field": [_number(span.size) for span in spans] if known else None,
        "receptive_field_least": [_number(span.least) for span in spans] if known else None,
        "receptive_field_even": not any(span.each for span in spans) if known else None,
        "receptive_field_exact": not any(span.doubt for span in spans) if known else None,
        "jump": [_number(span.jump) for span in spans] if known else None,
        "start": [span.start for span in spans] if known else None,
        "sees_all": all(span.fixed for span in spans) if spans else None,
    }


def _number(value: Any) -> int | float:
    return int(value) if value == int(value) else float(value)
