"""The option `--lang` of the verbs that name classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from backbones.cli.console import say

Language = Annotated[
    Literal["en", "zh", "both"],
    typer.Option("--lang", help="Class names in English, Chinese or both, where they are known."),
]


def tell_nameless(classes: Sequence[str], lang: str) -> None:
    """Say so where another language than English is asked for, and the classes have no names."""
    if lang == "en":
        return
    from backbones.api.networks import nameless_note

    if note := nameless_note(classes):
        say(note)
