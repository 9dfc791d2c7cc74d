"""`backbones list`: the tables, answered without importing torch.

Read by argparse: typer imports pydantic for any option, and this answer has to come in a tenth of
a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backbones.cli.console import print_json, print_table, print_text
from backbones.units import human_count


def run(arguments: Sequence[str]) -> None:
    """List the networks, or the recipes, or the protocols.

    Args:
        arguments: what stands behind `backbones list`.
    """
    parser = argparse.ArgumentParser(
        prog="backbones list", description="List the networks, the recipes or the protocols."
    )
    parser.add_argument(
        "what", nargs="?", default="networks", choices=("networks", "recipes", "protocols")
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args(arguments)
    tables = {"networks": list_networks, "recipes": list_recipes, "protocols": list_protocols}
    tables[chosen.what](chosen.json)


def list_networks(as_json: bool) -> None:
    """Every row of every family, with its exact counts."""
    from dataclasses import asdict

    from backbones import catalog

    rows = [catalog.facts(name) for name in catalog.names()]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for family in catalog.families():
        print_text(f"{family.title}: {family.summary}\n{family.citation}")
        print_table(
            ("name", "parameters", "MACs", "input", "what it is"),
            [
                (
                    row.name,
                    f"{row.params:,}",
                    human_count(row.macs),
                    f"{row.in_channels}x{row.input_px}x{row.input_px}",
                    row.summary,
                )
                for row in rows
                if row.family == family.name
            ],
            right="parameters MACs",
        )
        print_text("")


def list_recipes(as_json: bool) -> None:
    """Every recipe that ships with the package."""
    from backbones.training.settings import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        print_json([recipe.to_json() for recipe in recipes])
        return
    print_table(
        ("name", "network", "length", "batch", "what it is"),
        [(r.name, r.model, str(r.length), str(r.batch_size), r.summary) for r in recipes],
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
