"""The words for a network and its pictures that several verbs have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.errors import WrongUse

Network = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A network, a bundle, or what makes a module: FILE.py:FUNCTION."
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option("--input", metavar="C,H,W", help="Of one picture; else the network's own."),
]


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """What `--input` says.

    Raises:
        WrongUse: it is not a shape.
    """
    if text is None:
        return None
    try:
        return tuple(int(side) for side in text.replace("x", ",").split(","))
    except ValueError:
        raise WrongUse(f"--input is {text!r}, expected C,H,W such as 3,224,224") from None
