"""The verbs of the command line, as typer sees them."""

from __future__ import annotations

from typing import Annotated

import typer

from backbones.cli import (
    compare,
    data,
    demo,
    draw,
    evaluate,
    explain,
    features,
    inspect,
    lr_find,
    memory,
    predict,
    recipe,
    reproduce,
    show,
    stylize,
    train,
    tune,
    weights,
)

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


@app.command("list", add_help_option=False)
def list_() -> None:
    """List networks, recipes, protocols, labels or the ledger."""
    # Only named here, for `--help`: `main` answers it before typer is imported.


app.command("demo")(demo.demo)
app.command("show")(show.show)
app.command("inspect")(inspect.inspect)
app.command("compare")(compare.compare)
app.command("memory")(memory.memory)
app.command("draw")(draw.draw)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("lr-find")(lr_find.lr_find)
app.add_typer(recipe.app, name="recipe")
app.command("evaluate")(evaluate.evaluate)
app.command("reproduce")(reproduce.reproduce)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("features")(features.features)
app.command("stylize")(stylize.stylize)
