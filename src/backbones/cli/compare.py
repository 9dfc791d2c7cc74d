"""`backbones compare`: networks side by side, as a table and as a chart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from backbones.cli.console import print_json, print_text, progress, say
from backbones.cli.network import InputShape, shape_of
from backbones.errors import WrongUse

Whose = Annotated[
    Literal["torchvision", "best"],
    typer.Option(help="Published for weights of one training, or for the best."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="To measure on; auto is the fastest there is."),
]


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Networks, patterns of them ('resnet*'), ids of weights, bundles, or what makes a"
            " module: FILE.py:FUNCTION.",
        ),
    ],
    input: InputShape = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures; costs are for all.")] = 1,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="Don't time anything: the answer comes at once.")
    ] = False,
    accuracy: Whose = "torchvision",
    device: Device = "cpu",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Draw accuracy against costs: .png, .svg or .pdf."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Smallest first; an unknown lists all.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="With --sort: largest first.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="One line a network.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table.")] = False,
) -> None:
    """Compare networks: size, cost, published accuracy, speed here.

    Examples:
        backbones compare vgg16 resnet50 efficientnet_b0 -o chart.png
        backbones compare 'resnet*' --no-measure --sort macs
        backbones compare mynet.py:build resnet18 --batch 8
    """
    from backbones import compare as look
    from backbones.report.columns import choose
    from backbones.report.comparison import COLUMNS
    from backbones.report.scatter import check_format

    if json + csv + markdown > 1:
        raise WrongUse("--json, --csv and --markdown exclude each other")
    if sort is not None:
        choose(COLUMNS, [sort])  # before the measuring, not after
    if out is not None:
        check_format(out)
    shape, measure = shape_of(input), not no_measure
    with progress("measuring", unit="turns") as told:
        found = look(
            *(names, shape),
            batch=batch,
            measure=measure,
            accuracy=accuracy,
            device=device,
            progress=told,
        )
    if sort is not None:
        found = found.sorted(sort, reverse=reverse)
    if json:
        print_json(found.to_json())
    else:
        write = found.to_csv if csv else found.to_markdown if markdown else found.to_text
        print_text(write())
    if out is not None:
        say(f"drawn in {found.draw(out)}")
