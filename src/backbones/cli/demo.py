"""`backbones demo`: the whole working life of a network in under a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="The run folder; an earlier demo in it is replaced.")],
) -> None:
    """Train, evaluate and predict, in a minute."""
