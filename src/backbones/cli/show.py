"""`backbones show`: what a network is, what is known of weights, or what is in a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.cli.console import print_json, print_text, tell_nameless
from backbones.cli.options import Json, Language


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A network's name, an id of weights, a bundle or a run folder."
        ),
    ],
    lang: Language = "en",
    json: Json = False,
) -> None:
    """Show a card of a network, of weights or of a bundle.

    Of a network: its paper, its row of the paper's table, its cost, published weights. Of weights:
    everything published about them. Of a bundle: everything that it says about itself.

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
