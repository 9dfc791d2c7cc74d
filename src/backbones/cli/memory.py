"""`backbones memory`: what an evaluation and a training step of a network need."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from backbones.cli.console import print_json, print_text
from backbones.cli.options import InputShape, Json, Network, shape_of
from backbones.errors import WrongUse

CountedOptimizer = Annotated[
    Literal["sgd", "sgd_momentum", "adam", "adamw", "rmsprop", "rmsprop_momentum"],
    typer.Option(help="Optimizer whose state is counted."),
]
CountedPrecision = Annotated[
    Literal["fp32", "bf16"], typer.Option(help="bf16 is autocast; slower to compute.")
]


def memory(
    network: Network,
    input: InputShape = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "-b",
            min=1,
            metavar="N",
            help="Images in a batch; default: 1 in evaluation, 32 in training.",
        ),
    ] = None,
    optimizer: CountedOptimizer = "sgd_momentum",
    precision: CountedPrecision = "fp32",
    budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Find the batch that fits, such as 8GiB.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say which published figure counts what."),
    ] = False,
    json: Json = False,
) -> None:
    """Show how much memory a network needs, and which batch fits.

    Counts what is alive at once, without computing anything; and the sum that tutorials print.

    Examples:
        backbones memory vgg16 --explain
        backbones memory resnet50 --batch-size 64 --optimizer adamw --budget 8GiB
    """
    from backbones import memory as need

    found = need(
        network,
        shape_of(input),
        batch=batch_size,
        optimizer=optimizer,
        precision=precision,
        budget=None if budget is None else _bytes(budget),
    )
    if json:
        print_json(found.to_json())
    else:
        print_text(found.explain() if explain else found.to_text())


def _bytes(text: str) -> int:
    from backbones.units import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise WrongUse(f"--budget: {error}") from None
