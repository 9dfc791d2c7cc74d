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
    """List the networks, the recipes, the protocols, or the label sets and their classes.

    Args:
        arguments: what stands behind `backbones list`.
    """
    parser = argparse.ArgumentParser(
        prog="backbones list",
        description="List the networks, the recipes, the protocols or the labels.",
    )
    tables = {"networks": list_networks, "recipes": list_recipes, "protocols": list_protocols}
    parser.add_argument("what", nargs="?", default="networks", choices=(*tables, "labels"))
    parser.add_argument("set", nargs="?", help="labels: the classes of this set, such as imagenet")
    parser.add_argument("--find", metavar="TEXT", help="labels: only classes with it in a name")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args(arguments)
    if chosen.set is None and chosen.find is not None:
        parser.error("--find looks in a set: backbones list labels imagenet --find crane")
    if chosen.set is None and chosen.what == "labels":
        list_label_sets(chosen.json)
    elif chosen.what == "labels":
        list_labels(chosen.set, chosen.find, chosen.json)
    elif chosen.set is not None:
        parser.error(f"{chosen.what} has no sets; only labels has: backbones list labels imagenet")
    else:
        tables[chosen.what](chosen.json)


def list_networks(as_json: bool) -> None:
    """Every row, paper by paper, with its exact counts."""
    from dataclasses import asdict
    from itertools import groupby

    from backbones import catalog

    rows = [catalog.facts(name) for name in catalog.names()]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for _, group in groupby(catalog.families(), key=lambda family: family.citation.title):
        families = {family.name: family for family in group}
        print_text(str(next(iter(families.values())).citation))
        for family in families.values():
            print_text(f"{family.title}: {family.summary}")
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
                if row.family in families
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

    if as_json:
        rows = [
            {"name": p.name, "citation": str(p.citation), "summary": p.summary} for p in PROTOCOLS
        ]
        print_json(rows)
        return
    print_table(
        ("name", "from", "printed", "what it is"),
        [(p.name, p.paper, str(len(p.printed)), p.summary) for p in PROTOCOLS],
        right="printed",
    )


def list_label_sets(as_json: bool) -> None:
    """Every set whose classes have names in English and Chinese."""
    from backbones.labels import label_sets

    sets = label_sets()
    if as_json:
        print_json([{"name": s.name, "classes": len(s), "summary": s.summary} for s in sets])
        return
    print_table(
        ("name", "classes", "what it is"),
        [(s.name, f"{len(s):,}", s.summary) for s in sets],
        right="classes",
    )


def list_labels(name: str, find: str | None, as_json: bool) -> None:
    """The classes of one set, or those with a text in their id or names.

    Raises:
        NotFound: no such set, or no such class.
    """
    from backbones.labels import label_set

    rows = label_set(name).find(find or "")
    if as_json:
        print_json([{"index": i, "id": r.id, "en": r.en, "zh": r.zh} for i, r in rows])
        return
    print_table(
        ("index", "id", "English", "Chinese"),
        [(str(i), r.id, r.en, r.zh) for i, r in rows],
        right="index",
    )
