"""`backbones show`: what a network is, what is known of weights, or what is in a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.cli.console import print_json, print_text
from backbones.cli.language import Language, tell_nameless


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME_OR_BUNDLE", help="A network, weights or a bundle.")
    ],
    lang: Language = "en",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a network is, or weights, or a bundle.

    Of a network its paper, its row of the paper's table, what it costs, what was published; of
    weights, all that was published about them; of a bundle, all that it says of itself.

    Examples:
        backbones show vgg16
        backbones show runs/demo/best.safetensors
    """
    from backbones import show as look
    from backbones.report.cards import BundleCard

    shown = look(name, lang=lang)
    if isinstance(shown, BundleCard):
        tell_nameless(shown.bundle.classes, lang)
    if json:
        print_json(shown.to_json())
    else:
        print_text(shown.to_text())
