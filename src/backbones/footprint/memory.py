"""What an evaluation and a training step of a network need, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from backbones.footprint.estimates import (
    InferenceMemory,
    Optimizer,
    TrainingMemory,
    inference_memory,
    largest_batch,
    training_memory,
)
from backbones.footprint.passes import Precision
from backbones.footprint.printed import PrintedFigures, explain_figures, printed_figures
from backbones.footprint.torchsummary import TorchsummaryTotal, add_up, hearing_outputs
from backbones.text import preformatted
from backbones.units import human_bytes


@dataclass(frozen=True)
class Memory:
    """What a network needs.

    Args:
        evaluation, training: at their fullest moments.
        largest: (for evaluation, for training) the largest batches within the budget; None where
            there was none.
        budget: bytes.
        torchsummary: the sum that tutorials print.
        figures: what else is printed as the memory of a network.
    """

    evaluation: InferenceMemory
    training: TrainingMemory
    largest: tuple[int, int] | None
    budget: int | None
    torchsummary: TorchsummaryTotal
    figures: PrintedFigures

    def to_json(self) -> dict[str, Any]:
        """One dictionary, in bytes but for the torchsummary-style total."""
        return {
            "evaluation": self.evaluation.to_json(),
            "training": self.training.to_json(),
            "budget": self.budget,
            "largest_batch": None
            if self.largest is None
            else {"evaluation": self.largest[0], "training": self.largest[1]},
            "classic": self.torchsummary.to_json(),
            "printed": self.figures.to_json(),
        }

    def explain(self) -> str:
        """The figures that are printed as the memory of a network, and what each one counts.

        Example:
            >>> from backbones.models import build
            >>> print(memory_of(build("lenet5"), (1, 32, 32)).explain().splitlines()[4])
            outputs, by hand      9,118   35.6 KiB
        """
        return explain_figures(self.figures, self.evaluation, self.training, self.torchsummary)

    def to_text(self) -> str:
        """Short tables for people."""
        parts = [self.evaluation.to_text(), self.training.to_text()]
        if self.largest is not None and self.budget is not None:
            parts.append(
                f"largest batch in {human_bytes(self.budget)}: {self.largest[0]} in evaluation,"
                f" {self.largest[1]} in training"
            )
        return "\n\n".join([*parts, self.torchsummary.to_text()])

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


def memory_of(
    network: nn.Module,
    shape: tuple[int, ...],
    *,
    batch: int | None = None,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision = "fp32",
    budget: int | None = None,
) -> Memory:
    """What a network needs for images of a shape; arguments and errors as of `backbones.memory`."""
    largest = None
    if budget is not None:
        sizes = [
            largest_batch(
                network, shape, budget, training=training, optimizer=optimizer, precision=precision
            )
            for training in (False, True)
        ]
        largest = (sizes[0], sizes[1])
    with hearing_outputs(network) as heard:
        evaluation = inference_memory(network, shape, batch=batch or 1, precision=precision)
    return Memory(
        evaluation,
        training_memory(
            network, shape, batch=batch or 32, optimizer=optimizer, precision=precision
        ),
        largest,
        budget,
        add_up(network, shape, heard),
        printed_figures(network, shape, heard),
    )
