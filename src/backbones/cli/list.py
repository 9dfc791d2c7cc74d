"""`backbones list`: the tables, answered without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from backbones.cli.console import print_json, print_table, print_text
from backbones.cli.options import Json
from backbones.errors import NotFound, WrongUse, nearest
from backbones.units import human_count

_TABLES = ("networks", "recipes", "protocols", "labels", "ledger")
_USUAL = "name,year,params,macs,input,top1,summary"


def list_(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE|PATTERN",
            help=f"{', '.join(_TABLES)}; or networks by name, part of a name, family or pattern"
            " ('vgg*'); after labels, the set whose classes to list, such as imagenet.",
        ),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="labels: only classes with this text in a name."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="networks: these columns; an unknown one lists all."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="networks: sort by this column, smallest first."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="networks: largest first.")] = False,
    json: Json = False,
) -> None:
    """List networks, recipes, protocols, labels or the ledger.

    Examples:
        backbones list
        backbones list 'vgg*' --columns name,params,macs,top1 --sort macs
        backbones list recipes
        backbones list labels imagenet --find crane
    """
    words = what or []
    table, rest = (words[0], words[1:]) if words and words[0] in _TABLES else ("networks", words)
    order = (sort, reverse)
    if table != "networks" and (columns or sort or reverse):
        raise WrongUse(f"{table} has no --columns, --sort or --reverse; only networks has")
    if find is not None and not (table == "labels" and rest):
        raise WrongUse("--find looks in a set: backbones list labels imagenet --find crane")
    if table == "networks":
        _list_some_networks(rest, columns, order, json)
    elif table == "labels" and len(rest) < 2:
        list_labels(rest[0], find, json) if rest else list_label_sets(json)
    elif rest:
        raise WrongUse(f"{table} takes no {rest[-1]!r}; labels takes one set: list labels mnist")
    else:
        tables = {"recipes": list_recipes, "protocols": list_protocols, "ledger": list_ledger}
        tables[table](json)


def _list_some_networks(
    patterns: Sequence[str], columns: str | None, order: tuple[str | None, bool], as_json: bool
) -> None:
    from backbones import catalog

    found: list[str] = []
    for pattern in patterns:
        try:
            found += catalog.matching(pattern)
        except NotFound as error:
            _tell_tables(pattern, error)
    names = tuple(dict.fromkeys(found)) if patterns else catalog.names()
    if columns or any(order):
        list_columns(names, columns, *order, as_json)
    else:
        list_networks(names, as_json)


def _tell_tables(word: str, error: Exception) -> NoReturn:
    """A word that fits no network may have been meant for a table."""
    hint = nearest(word, _TABLES, count=1)
    if not hint:
        raise error
    raise NotFound(f"no network fits {word!r}, and there is no such table.{hint}") from error


def list_columns(
    names: Sequence[str], columns: str | None, sort: str | None, reverse: bool, as_json: bool
) -> None:
    """One table of networks with the columns of one's choice.

    Args:
        names: of the networks.
        columns: names of columns, separated by commas; the usual ones where None.
        sort: the column to sort by, smallest first; as in the catalog where None.
        reverse: the largest first.
        as_json: one object a network; the columns are its keys.

    Raises:
        NotFound: no such column; lists all.
    """
    from backbones import catalog
    from backbones.report.columns import NETWORK_COLUMNS, choose, ordered

    listed = [name.strip() for name in (columns or _USUAL).split(",") if name.strip()]
    shown = choose(NETWORK_COLUMNS, listed)
    rows = [catalog.facts(name) for name in names]
    if sort is not None:
        rows = ordered(rows, choose(NETWORK_COLUMNS, [sort])[0], reverse=reverse)
    elif reverse:
        rows = rows[::-1]
    if as_json:
        print_json([{column.name: column.value(row) for column in shown} for row in rows])
        return
    print_table(
        [column.heading for column in shown],
        [[column.text(column.value(row)) for column in shown] for row in rows],
        right=" ".join(column.heading for column in shown if column.right),
    )


def list_networks(names: Sequence[str], as_json: bool) -> None:
    """Networks paper by paper, with their exact counts."""
    from dataclasses import asdict
    from itertools import groupby

    from backbones import catalog

    rows = [catalog.facts(name) for name in names]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    listed = {row.family for row in rows}
    shown = (family for family in catalog.families() if family.name in listed)
    for _, group in groupby(shown, key=lambda family: family.citation.title):
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
    from backbones import load_recipe, recipe_names

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
    from backbones import find_protocol, protocol_names

    protocols = [find_protocol(name) for name in protocol_names()]
    if as_json:
        rows = [
            {"name": p.name, "citation": str(p.citation), "summary": p.summary} for p in protocols
        ]
        print_json(rows)
        return
    print_table(
        ("name", "from", "printed", "what it is"),
        [(p.name, p.paper, str(len(p.printed)), p.summary) for p in protocols],
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


def list_ledger(as_json: bool) -> None:
    """Every claim that can be tried, and what trying it here found."""
    from backbones.ledger.table import entries, shipped
    from backbones.ledger.text import outcome

    found = shipped()
    told = [(e, outcome(e, found[e.id]) if e.id in found else "not run here") for e in entries()]
    if as_json:
        print_json(
            [{**e.model_dump(mode="json", by_alias=True), "outcome": said} for e, said in told]
        )
        return
    print_table(
        ("id", "data", "claim", "outcome"), [(e.id, e.data, e.claim, said) for e, said in told]
    )
