"""`backbones playground`: a page on which LeNet-5 answers while one draws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import say
from backbones.cli.options import complete_weights
from backbones.units import human_bytes


def playground(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE]...",
            help="Bundles or runs of LeNet-5. Default: those that come with the package.",
            autocompletion=complete_weights,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the pages.")
    ] = Path("playground"),
) -> None:
    """Write a page to draw on, where LeNet-5 answers.

    Each page is one HTML file with the network inside: no server, and nothing is downloaded. It
    shows every layer's maps, and what a unit sees of the drawing.

    Examples:
        backbones playground -o folder
        backbones playground runs/demo -o folder
    """
    from backbones import write_playground

    for page in write_playground(out, bundles or ()):
        say(f"wrote {page} ({human_bytes(page.stat().st_size)})")
    say(f"Open {out / 'index.html'} in a browser.")
