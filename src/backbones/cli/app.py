"""The verbs of the command line, as typer sees them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from backbones.cli.command import Command, new_group, with_groups
from backbones.cli.console import be_quiet, show_log

_ABOUT = "The classic image-classification networks: look inside, train, use."
VERBS = {
    "Look": {
        "list": "List networks, recipes, protocols, labels or the ledger.",
        "show": "Show a card of a network, of weights or of a bundle.",
        "inspect": "Look inside a network: every layer, with what it costs and sees.",
        "compare": "Compare networks: size, cost, published accuracy, speed here.",
        "plan": "Predict a training step on several GPUs: time and memory.",
        "memory": "Show how much memory a network needs, and which batch fits.",
        "draw": "Draw a network, as its paper would or as a graph.",
    },
    "Train": {
        "demo": "Train, evaluate and predict, in a minute.",
        "data": "Look at a data set, or write it as shards.",
        "train": "Train a network on images.",
        "tune": "Search for a better recipe.",
        "lr-find": "Suggest a learning rate.",
        "reproduce": "Reproduce claims of papers and tutorials.",
    },
    "Use": {
        "predict": "Classify images.",
        "evaluate": "Measure a trained network, or several averaged.",
        "explain": "Show where in images a network sees a class.",
        "features": "Turn images into vectors.",
        "stylize": "Render an image in the style of another.",
    },
    "Ship": {
        "quantize": "Write a network in int8, if it loses hardly any accuracy.",
        "export": "Write a network for other runtimes, with proof.",
        "serve": "Serve classifiers over HTTP.",
        "playground": "Write a page to draw on, where LeNet-5 answers.",
        "engines": "List what can compute answers on this machine.",
    },
    "Manage": {
        "weights": "Published weights: list, get, verify, import, convert.",
        "recipe": "Training recipes: show, diff, dump.",
    },
}
"""The verbs by group, and what each does. A verb is a module of `backbones.cli` with a function of
its name or, where it has verbs of its own, an `app`; help knows them without importing any."""


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line, as far as it is needed.

    Args:
        words: what was typed. Only the verb among them gets its options; of the others the help
            of all needs names and summaries, and other answers nothing.
    """
    app = new_group(_ABOUT, name="backbones", epilog="Start with: backbones demo")
    app.callback()(root)
    wanted = next((word for word in words if not word.startswith("-")), None)
    every = {verb: (panel, said) for panel, verbs in VERBS.items() for verb, said in verbs.items()}
    for verb, (panel, said) in every.items():
        if verb == wanted:
            _add(app, verb)
        elif wanted not in every:
            app.command(verb, help=said, rich_help_panel=panel)(_unread)
    return app


def completed_words() -> list[str]:
    """What stands on the command line that a shell wants completed."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    return line.split()[1:]


def _add(app: typer.Typer, verb: str) -> None:
    name = verb.replace("-", "_")
    module = import_module(f"backbones.cli.{name}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=verb)
    else:
        does = getattr(module, "list_" if verb == "list" else name)
        app.command(verb, cls=Command)(with_groups(does))


def _unread() -> None:
    """A verb that was not asked for: its module would take time to import."""


def print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from backbones import __version__

        typer.echo(f"backbones {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", callback=be_quiet, help="Print results and errors only, no progress."
        ),
    ] = False,
) -> None:
    """The classic image-classification networks: look inside, train, use."""
    show_log()
