"""`backbones memory`: what an evaluation and a training step of a network need."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from backbones.cli.console import print_json, print_text
from backbones.cli.network import InputShape, Network, shape_of
from backbones.errors import WrongUse


def memory(
    name: Network,
    input: InputShape = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Pictures; else 1 in evaluation, 32 in training.")
    ] = None,
    optimizer: Annotated[
        Literal["sgd", "sgd_momentum", "adam", "adamw", "rmsprop", "rmsprop_momentum"],
        typer.Option(help="Of the training."),
    ] = "sgd_momentum",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="bf16 is autocast; it takes longer to tell.")
    ] = "fp32",
    budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Which batch fits in, say, 8GiB?")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show how much memory a network needs, and which batch fits.

    Counted is what is alive at once; nothing is computed. Also the sum that tutorials print.

    Examples:
        backbones memory resnet50 --batch 64 --optimizer adamw --budget 8GiB
    """
    from backbones import memory as need

    found = need(
        name,
        shape_of(input),
        batch=batch,
        optimizer=optimizer,
        precision=precision,
        budget=None if budget is None else _bytes(budget),
    )
    if json:
        print_json(found.to_json())
    else:
        print_text(found.to_text())


def _bytes(text: str) -> int:
    from backbones.units import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise WrongUse(f"--budget: {error}") from None
