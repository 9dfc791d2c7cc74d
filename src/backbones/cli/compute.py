"""`--device`, `--precision` and `--threads`, which every verb that computes understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from backbones.api.opening import Classifier
    from backbones.labels import Lang

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


def opened(
    what: str | list[str], lang: Lang, device: str, precision: str, threads: int | None
) -> Classifier:
    """Open a classifier with a bar for what is fetched, and say which classes have no names."""
    import backbones
    from backbones.cli.console import preparing, tell_nameless

    backbones.keep_large_buffers()
    with preparing() as bars:
        found = backbones.open(
            what,
            device=device,
            precision=precision,
            threads=threads,
            downloading=bars.downloading,
        )
    tell_nameless(found.classes, lang)
    return found
