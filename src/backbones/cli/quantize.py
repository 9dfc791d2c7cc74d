"""`backbones quantize`: a network in int8, judged before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import preparing, print_json, print_text, say
from backbones.cli.options import LabelPattern, Layout, OutputOptions, complete_weights
from backbones.units import human_bytes


@dataclass(frozen=True)
class CalibrationOptions:
    """What a network is calibrated on, and what it may lose; keywords of `backbones.quantize`."""

    num_images: Annotated[
        int | None,
        typer.Option(
            "--images", min=1, metavar="N", help="To calibrate on; default: 300 or what is there."
        ),
    ] = None
    seed: Annotated[int, typer.Option(metavar="N", help="Which images these are.")] = 0
    max_loss: Annotated[
        float,
        typer.Option(min=0, max=100, metavar="POINTS", help="Of top-1 accuracy that may be lost."),
    ] = 0.5
    layout: Layout = None
    label_pattern: LabelPattern = None


def quantize(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="A run folder, a bundle or an id of weights.",
            autocompletion=complete_weights,
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder, a manifest or a data set's name.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="OUT", help="A new folder, or a file that ends in .safetensors."
        ),
    ],
    *,
    calibration: CalibrationOptions,
    output: OutputOptions,
) -> None:
    """Write a network in int8, if it loses hardly any accuracy.

    It is calibrated on training images and judged on others. Where it loses more than it may, the
    layers that hurt stay in fp32; where that does not help, nothing is written. What is written
    works wherever a bundle does, and holds a card of sizes, speeds, agreement and loss.

    Examples:
        backbones quantize runs/photos photos -o small
        backbones quantize resnet50.tv_in1k imagenet -o small.safetensors
        backbones quantize runs/photos photos -o small --max-loss 1 --images 100
    """
    import backbones

    with preparing() as bars:
        done = backbones.quantize(
            bundle,
            data,
            out,
            **vars(calibration),
            staged=bars.stage,
            downloading=bars.downloading,
        )
    say(f"wrote {done.file} ({human_bytes(done.exported.bytes)})")
    if output.json:
        print_json(done.to_json())
    else:
        print_text(done.to_text())
