"""A page for every recipe: what it sets, its learning rate, what it does to images."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import backbones
from backbones.text import setting_text
from backbones.workflows.recipe_view import RecipeView
from generators.language import LANGS, Lang, Words
from generators.markdown import cell, code, folded, literal, page, table

_QUALITY = 82  # of the charts as WebP; as PNG they are six times as large

_RECIPES_INTRO = (
    "A recipe is everything that decides the numbers of a training. Each page shows what it "
    "sets, its learning rate, and what it does to images."
)


def names() -> list[str]:
    """All recipes that come with the package."""
    return list(backbones.recipe_names())


def write_page(docs: Path, name: str) -> None:
    """The page of one recipe in both languages, and its picture."""
    view = backbones.view_recipe(name)
    figure = docs / "_build" / "figures" / "recipes" / f"{name}.webp"
    figure.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        drawn = view.draw(Path(folder) / "recipe.png")
        with Image.open(drawn) as image:
            image.convert("RGB").save(figure, quality=_QUALITY)
    for lang in LANGS:
        target = docs / lang / "know" / "recipes" / f"{name}.md"
        target.write_text(_page(name, view, Words(lang)), encoding="utf-8")


def write_index(docs: Path, lang: Lang, chosen: Sequence[str]) -> None:
    """All recipes in one table."""
    say = Words(lang)
    rows = []
    for name in chosen:
        recipe = backbones.load_recipe(name)
        summary = literal(say.of_package(recipe.summary))
        rows.append((f"[{name}]({name}.md)", summary, f"`{recipe.model}`", str(recipe.length)))
    headings = [say(word) for word in ("recipe", "what it is", "network", "length")]
    text = page(say("Recipes"), [say(_RECIPES_INTRO), ""], table(headings, rows))
    (docs / lang / "know" / "recipes" / "index.md").write_text(text, encoding="utf-8")


def _page(name: str, view: RecipeView, say: Words) -> str:
    recipe = view.recipe
    told = [
        f"* {say(what)}: {literal(say.of_package(text))}"
        for what, text in (("from", recipe.source), ("expected", recipe.expected))
        if text
    ]
    fields = [(f"`{path}`", f"`{setting_text(value)}`") for path, value in view.fields()]
    commands = [
        f"backbones train DATA --recipe {name}",
        f"backbones recipe show {name} -o {name}.html",
        f"backbones recipe dump {name}",
    ]
    return page(
        name,
        [literal(say.of_package(recipe.summary)), "", *told, ""],
        [f"## {say('What it sets')}", *table([say("field"), say("value")], fields)],
        [say("Every other field has its default."), ""],
        [f"## {say('Learning rate, augmentation, one batch')}", ""],
        ["```{image} ../../../_build/figures/recipes/" + f"{name}.webp"],
        [f":alt: {cell(say('chart of {name}', name=name))}", "```", ""],
        [f"## {say('All fields')}", ""],
        folded(say("the recipe as a file"), code(backbones.dump_recipe(name), "json")),
        [f"## {say('Commands')}", *code("\n".join(commands), "sh")],
        above=say("Recipes"),
    )
