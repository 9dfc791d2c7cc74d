"""`--layout` and `--label-pattern`, which every verb that reads labels understands."""

from __future__ import annotations

from typing import Annotated

import typer

Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How DATA is laid out, where looking does not tell: manifest, class-folders,"
        " split-folders, splits-in-classes, flat-folder, ...",
    ),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", help="Its first group, in a picture's path below DATA, is the class."
    ),
]
