"""The verbs of the command line, as typer sees them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from backbones.cli.command import PANELS, Command, new_group
from backbones.cli.console import be_quiet

_ABOUT = "The classic image-classification networks: look inside, train, use."
VERBS = dict(
    zip(
        PANELS,
        (
            ("list", "show", "inspect", "compare", "memory", "draw"),
            ("demo", "data", "train", "tune", "lr-find", "reproduce"),
            ("predict", "evaluate", "explain", "features", "stylize"),
            ("weights", "recipe"),
        ),
        strict=True,
    )
)
"""Each is a module of `backbones.cli`, with a function of its name or, where the verb has verbs of
its own, an `app`."""


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line, as far as it is needed.

    Args:
        words: what was typed. Only the verb among them gets its options; of the others the help
            of all needs names and summaries, and other answers nothing.
    """
    app = new_group(_ABOUT, name="backbones", epilog="Start with: backbones demo")
    app.callback()(root)
    every = {verb: panel for panel, verbs in VERBS.items() for verb in verbs}
    wanted = next((word for word in words if not word.startswith("-")), None)
    for verb, panel in every.items():
        if verb == wanted or wanted not in every:
            _add(app, verb, panel, whole=verb == wanted)
    return app


def completed_words() -> list[str]:
    """What stands on the command line that a shell wants completed."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    return line.split()[1:]


def _add(app: typer.Typer, verb: str, panel: str, *, whole: bool) -> None:
    name = verb.replace("-", "_")
    module = import_module(f"backbones.cli.{name}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=verb, rich_help_panel=panel)
        return
    function = getattr(module, "list_" if verb == "list" else name)
    about = None if whole else function.__doc__
    app.command(verb, cls=Command, rich_help_panel=panel, help=about)(
        function if whole else _unread
    )


def _unread() -> None:
    """A verb that was not asked for: its options would take time to read."""


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
