"""`backbones show`: what a network is, or what is in a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.cli.console import print_json, print_text
from backbones.cli.language import Language, tell_nameless


def show(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_BUNDLE", help="A network or a bundle.")],
    lang: Language = "en",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a network is, or a bundle.

    Layer by layer, with its claims and deviations; of a bundle, all that it says of itself.

    Examples: `backbones show vgg16`, `backbones show runs/demo/best.safetensors`.
    """
    from backbones.api.networks import show as look

    tell_nameless(name, lang)
    shown = look(name, lang=lang)
    if json:
        print_json(shown.to_json())
    else:
        print_text(shown.to_text())
