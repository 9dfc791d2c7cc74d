"""`backbones compare`: networks side by side, as a table and as a chart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from backbones.cli.console import print_json, print_text, progress, say, terminal_width
from backbones.cli.options import (
    AnswerOptions,
    BatchTotal,
    Csv,
    InputShape,
    Json,
    Markdown,
    Quiet,
    shape_of,
)
from backbones.errors import WrongUse

Whose = Annotated[
    Literal["torchvision", "paper", "best"],
    typer.Option(
        help="Published accuracy: of one training recipe, as the papers print it, or the best."
    ),
]
Networks = Annotated[
    list[str],
    typer.Argument(
        metavar="NETWORK",
        help="Names, patterns ('resnet*'), ids of weights, bundles, or code that makes a module:"
        " FILE.py:FUNCTION.",
    ),
]
Chart = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Draw accuracy against cost: .png, .svg or .pdf."
    ),
]
Sort = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Smallest first; an unknown one lists all.")
]


def compare(
    names: Networks,
    input: InputShape = None,
    batch_size: BatchTotal = 1,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="Don't measure speed: answer at once.")
    ] = False,
    accuracy: Whose = "torchvision",
    *,
    compute: AnswerOptions,
    out: Chart = None,
    sort: Sort = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="With --sort: largest first.")] = False,
    json: Json = False,
    csv: Csv = False,
    markdown: Markdown = False,
    quiet: Quiet = False,
) -> None:
    """Compare networks: size, cost, published accuracy, speed here.

    Examples:
        backbones compare vgg16 resnet50 efficientnet_b0 -o chart.png
        backbones compare 'resnet*' --no-measure --sort macs
        backbones compare mynet.py:build resnet18 --batch-size 8
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
    with progress("measuring", unit="runs") as told:
        found = look(
            *(names, shape),
            batch=batch_size,
            measure=measure,
            accuracy=accuracy,
            **asdict(compute),
            progress=told,
        )
    if sort is not None:
        found = found.sorted(sort, reverse=reverse)
    if json:
        print_json(found.to_json())
    else:
        table = found.to_csv() if csv else found.to_markdown() if markdown else None
        print_text(found.to_text(terminal_width()) if table is None else table)
    if out is not None:
        say(f"wrote {found.draw(out)}")
