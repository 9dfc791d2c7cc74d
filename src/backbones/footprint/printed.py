"""The figures that are printed as "the memory of a network": which of them counts what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from backbones.footprint.estimates import InferenceMemory, TrainingMemory
from backbones.footprint.torchsummary import HeardOutput, TorchsummaryTotal
from backbones.units import aligned, human_bytes

# What else is printed for a network, and how it comes about.
_NOTES = {
    "vgg16": (
        'lecture notes print "24 M values * 4 bytes, about 96 MB an image" for VGG-16 under a table'
        " of these outputs; the rows of that table add up to 15,237,608 values, 61.0 MB or 58.1 MiB"
    )
}


@dataclass(frozen=True)
class PrintedFigures:
    """Numbers of values that texts about networks add up.

    Args:
        name: of the variant, or the module's class.
        parameters: all of them.
        outputs_by_hand: of one image: the image itself, and the outputs of convolutions, fully
            connected layers and poolings that make maps smaller, each once.
        every_output: of one image, of every layer and block, activations in place too.
    """

    name: str
    parameters: int
    outputs_by_hand: int
    every_output: int

    def to_json(self) -> dict[str, Any]:
        """The fields, under their names."""
        return asdict(self)


def printed_figures(
    network: nn.Module, input_shape: Sequence[int], heard: Sequence[HeardOutput]
) -> PrintedFigures:
    """Count what texts count.

    Args:
        network: that ran.
        input_shape: of one image.
        heard: what `hearing_outputs` gave.
    """
    row = getattr(network, "row", None)
    return PrintedFigures(
        type(network).__name__ if row is None else row.name,
        sum(parameter.numel() for parameter in network.parameters()),
        math.prod(input_shape) + sum(output.num_values for output in heard if output.printed),
        sum(output.num_values for output in heard),
    )


def explain_figures(
    figures: PrintedFigures,
    evaluation: InferenceMemory,
    training: TrainingMemory,
    torchsummary: TorchsummaryTotal,
) -> str:
    """A table of the figures, and below it what each one counts."""
    kept = training.activations / training.batch
    rows = [
        ("parameters", f"{figures.parameters:,}", human_bytes(4 * figures.parameters)),
        ("outputs, by hand", f"{figures.outputs_by_hand:,}", _of_values(figures.outputs_by_hand)),
        ("every output", f"{figures.every_output:,}", _of_values(figures.every_output)),
        ("every output, twice", "", f"{torchsummary.passes_mib:.2f} MiB"),
        ("torchsummary total", "", f"{torchsummary.total_mib:.2f} MiB"),
        ("alive at once", "", human_bytes(evaluation.activations)),
        ("kept for backward", "", human_bytes(kept)),
    ]
    note = _NOTES.get(figures.name)
    return "\n".join(
        [
            f"{figures.name}: which figure is which",
            "",
            *aligned(("figure", "values", "memory"), rows, ("values", "memory")),
            "",
            *_legend(figures, evaluation, training),
            *([f"note: {note}"] if note else []),
        ]
    )


def _of_values(values: int) -> str:
    return human_bytes(4 * values)


def _legend(
    figures: PrintedFigures, evaluation: InferenceMemory, training: TrainingMemory
) -> list[str]:
    megabytes = 4 * figures.parameters / 1e6
    return [
        f"parameters: 4 bytes each; {megabytes:.1f} MB in powers of ten, as a weight file has it.",
        "outputs, by hand: the image, and what convolutions, fully connected layers and poolings",
        "  give, each once, 4 bytes a value: the sum of papers and lecture notes, for one image.",
        'every output, twice: torchsummary\'s "Forward/backward pass size (MB)", in MiB: what works'
        " in place",
        "  and whole blocks count too, and all of it twice. Its total adds image and parameters.",
        f"alive at once: activations at the fullest moment of an evaluation, batch"
        f" {evaluation.batch}, in {evaluation.layer}.",
        f"kept for backward: by each image of a training batch ({training.precision}); gradients"
        " and the optimizer's",
        "  state come on top, whatever the batch: `backbones memory` without --explain.",
    ]
