"""`--device`, `--precision` and `--threads`, which every verb that computes understands."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps; auto is the fastest.")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Of the arithmetic. bf16 is faster where there are units for it."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="CPU threads of one operation; all cores if left out."),
]
