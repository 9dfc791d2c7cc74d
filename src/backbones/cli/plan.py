"""`backbones plan`: a training step on several GPUs, on paper."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.cli.console import print_json, print_text
from backbones.cli.memory import CountedOptimizer, CountedPrecision
from backbones.cli.options import InputShape, Json, Network, shape_of


def plan(
    network: Network,
    gpus: Annotated[int, typer.Option(min=1, metavar="N", help="GPUs, a process each.")] = 1,
    batch: Annotated[
        int,
        typer.Option(
            "--batch-size", "-b", min=1, metavar="B", help="Images in one step of all GPUs."
        ),
    ] = 256,
    input: InputShape = None,
    optimizer: CountedOptimizer = "sgd_momentum",
    precision: CountedPrecision = "fp32",
    peak_tflops: Annotated[
        float | None,
        typer.Option(
            metavar="T", help="A GPU's peak; default: an A100's, 19.5 in fp32 and 312 in bf16."
        ),
    ] = None,
    utilisation: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of the peak that is reached; 0.3 is an assumption."
        ),
    ] = 0.3,
    bandwidth: Annotated[
        float,
        typer.Option(
            metavar="GB/S",
            help="From GPU to GPU: 300 NVLink of an A100, 25 PCIe 4.0 x16, 12.5 Ethernet of"
            " 100 Gbit/s.",
        ),
    ] = 300.0,
    json: Json = False,
) -> None:
    """Predict a training step on several GPUs: time and memory.

    From the network's MACs, its gradients' bytes and the link between the GPUs, each formula shown
    with its numbers and its source. Nothing is trained.

    Examples:
        backbones plan resnet50 --gpus 8 --batch 1024 --precision bf16
        backbones plan vgg16 --gpus 4 --batch 256 --bandwidth 12.5 --json
    """
    import backbones

    found = backbones.plan(
        network,
        shape_of(input),
        gpus=gpus,
        batch=batch,
        hardware=backbones.Hardware(peak_tflops, utilisation, bandwidth),
        optimizer=optimizer,
        precision=precision,
    )
    if json:
        print_json(found.to_json())
    else:
        print_text(found.to_text())
