"""`backbones draw`: a network as its paper would draw it, or as a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from backbones.cli.console import say
from backbones.cli.options import InputShape, Network, shape_of
from backbones.errors import WrongUse


def draw(
    network: Network,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".svg, .png or .pdf.")],
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw a graph with a node per layer.")
    ] = False,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="With --graph: draw every repeat.")
    ] = False,
    shape: Annotated[
        Literal["chw", "hwc"],
        typer.Option(help="Shapes as PyTorch has them, or as most papers print them."),
    ] = "chw",
    input: InputShape = None,
    dots: Annotated[
        int,
        typer.Option(min=20, max=1200, metavar="N", help="PNG resolution, dots per inch."),
    ] = 200,
) -> None:
    """Draw a network, as its paper would or as a graph.

    Feature maps are boxes of their sizes, branches are branches; what repeats is drawn once, with
    a count. Nothing is computed and no weights are needed.

    Examples:
        backbones draw vgg16 -o vgg16.svg
        backbones draw resnet50 --graph -o graph.pdf
        backbones draw mynet.py:build --input 3,64,64 -o mynet.png
    """
    if unfold and not graph:
        raise WrongUse("--unfold draws every layer of the graph; say --graph --unfold")
    from backbones import draw as make
    from backbones.report.drawing.drawing import format_of

    format_of(out)  # a wrong suffix is told before the work, not after
    drawing = make(
        network,
        shape_of(input),
        style="full" if unfold else "graph" if graph else "blocks",
        shape=shape,
    )
    drawing.save(out, dots=dots)
    say(f"wrote {out}")
