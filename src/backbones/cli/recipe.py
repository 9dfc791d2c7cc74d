"""`backbones recipe`: look at recipes, compare them, write them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.command import Command, new_group
from backbones.cli.console import print_json, print_table, print_text, say
from backbones.cli.options import Json, LabelPattern, Layout, Settings

app = new_group("Training recipes: show, diff, dump.")

Name = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="See `backbones list recipes`.")]


@app.command(cls=Command)
def show(
    name: Name,
    settings: Settings = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Draw it: a page (.html) or a .png."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Show its augmentation on these images.")
    ] = None,
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Training images, to count steps; default: those of --data."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a recipe sets; draw its learning rate and augmentation.

    Examples:
        backbones recipe show vgg -o vgg.html
    """
    from backbones import view_recipe
    from backbones.text import setting_text

    view = view_recipe(
        name,
        settings=settings or (),
        layout=layout,
        label_pattern=label_pattern,
        num_images=images,
        data=data,
    )
    recipe = view.recipe
    if json:
        print_json(recipe.to_json())
        return
    print_text(f"{recipe.name}: {recipe.summary}")
    for title, text in (("from", recipe.source), ("result", recipe.expected)):
        if text:
            print_text(f"{title}: {text}")
    print_table(("field", "value"), [(path, setting_text(value)) for path, value in view.fields()])
    if data is not None and view.source is not None:
        say(f"data: {view.source.summary()}")
    if out is not None:
        say(f"wrote {view.draw(out)}")
    say(f"every other field has its default: backbones recipe dump {name}")


@app.command(cls=Command)
def diff(
    one: Name,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another one.")],
    json: Json = False,
) -> None:
    """Show every field in which two recipes differ.

    Examples:
        backbones recipe diff vgg runs/mine/recipe.json
    """
    from backbones import compare_recipes
    from backbones.text import setting_text

    rows = compare_recipes(one, other)
    if json:
        print_json([{"field": path, "one": a, "other": b} for path, a, b in rows])
    elif rows:
        texts = [(path, setting_text(a), setting_text(b)) for path, a, b in rows]
        print_table(("field", one, other), texts)
    else:
        say(f"{one} and {other} are the same")


@app.command(cls=Command)
def dump(name: Name, settings: Settings = None) -> None:
    """Write a recipe with all its fields, as a recipe file.

    Examples:
        backbones recipe dump vgg --set model=vgg19 > mine.json
    """
    from backbones import dump_recipe

    print_text(dump_recipe(name, settings=settings or ()))
