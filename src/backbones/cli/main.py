"""The command line: the verbs, and how failures are told.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. A user's mistake never shows a
traceback; `BACKBONES_TRACEBACK=1` shows it all the same, for whoever debugs this package.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from backbones.cli import data, demo, evaluate, predict, show, train
from backbones.cli import list as list_
from backbones.errors import BackbonesError

app = typer.Typer(
    name="backbones",
    help="The classic image-classification networks: look inside, train, evaluate, predict.",
    epilog="Start with: backbones demo",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(value: bool) -> None:
    """Print the version and stop."""
    if value:
        from backbones import __version__

        typer.echo(f"backbones {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """The classic image-classification networks: look inside, train, evaluate, predict."""


app.command("demo")(demo.demo)
app.command("list", add_help_option=False, context_settings=list_.RAW_ARGUMENTS)(list_.list_)
app.command("show")(show.show)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)


def main() -> None:
    """Run the command line; the entry point of the package."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        app()
    except BackbonesError as error:
        if os.environ.get("BACKBONES_TRACEBACK"):
            raise
        fail(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if os.environ.get("BACKBONES_TRACEBACK"):
            raise
        fail(f"error: {error.strerror or error}: {error.filename or 'no file named'}", 1)


def fail(message: str, code: int) -> None:
    """Say what happened on standard error, in one line, and end."""
    sys.stderr.write(" ".join(message.split()) + "\n")
    sys.exit(code)
