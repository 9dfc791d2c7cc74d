"""`--layout` and `--label-pattern`, which every verb that reads labels understands."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
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


def with_reading(
    settings: Sequence[str] | None, layout: str | None, label_pattern: str | None
) -> list[str]:
    """The settings of a recipe, with what was said about its data, which it keeps."""
    said = {"layout": layout, "label_pattern": label_pattern}
    return [*(settings or ()), *(f"{field}={dumps(text)}" for field, text in said.items() if text)]
