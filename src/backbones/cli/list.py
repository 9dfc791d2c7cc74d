"""`backbones list`: the tables, answered without importing torch.

Its two options are read by argparse: typer would import pydantic for them, and this answer has to
come in a tenth of a second.
"""

from __future__ import annotations

import argparse

import typer

from backbones.cli.console import print_json, print_table, say
from backbones.units import human_count

RAW_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


def list_(context: typer.Context) -> None:
    """List the networks (or the recipes, or the protocols)."""
    parser = argparse.ArgumentParser(
        prog="backbones list", description="List the networks, the recipes or the protocols."
    )
    parser.add_argument(
        "what", nargs="?", default="networks", choices=("networks", "recipes", "protocols")
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args(context.args)
    {"networks": list_networks, "recipes": list_recipes, "protocols": list_protocols}[chosen.what](
        chosen.json
    )


def list_networks(as_json: bool) -> None:
    """Every row of every family, with its exact counts."""
    from backbones import catalog

    rows = [catalog.facts(name) for name in catalog.names()]
    if as_json:
        print_json(rows)
        return
    for family in catalog.families():
        say(f"{family.title}: {family.citation}")
        mine = [row for row in rows if row["family"] == family.name]
        print_table(
            ("name", "parameters", "MACs", "input", "classes", "what it is"),
            [
                (
                    row["name"],
                    f"{row['params']:,}",
                    human_count(row["macs"]),
                    "x".join(str(side) for side in row["input"]),
                    str(row["num_classes"]),
                    row["summary"],
                )
                for row in mine
            ],
            right="parameters MACs classes",
        )


def list_recipes(as_json: bool) -> None:
    """Every recipe that ships with the package."""
    from backbones.train.recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in recipes])
        return
    print_table(
        ("name", "network", "length", "batch", "what it is"),
        [(r.name, r.model or "any", str(r.length), str(r.batch_size), r.summary) for r in recipes],
        right="batch",
    )


def list_protocols(as_json: bool) -> None:
    """Every evaluation protocol."""
    from backbones.protocols.table import PROTOCOLS

    rows = [(p.name, str(p.citation), p.summary) for p in PROTOCOLS]
    if as_json:
        print_json([{"name": n, "citation": c, "summary": s} for n, c, s in rows])
        return
    print_table(("name", "from", "what it is"), rows)
