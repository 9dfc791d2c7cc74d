"""`backbones weights list`: the table of weights, answered without importing torch (see `list`)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backbones.cli.console import print_json, print_table, say
from backbones.weights import table


def run(arguments: Sequence[str]) -> None:
    """List the weights, or those that fit a pattern.

    Args:
        arguments: what stands behind `backbones weights list`.
    """
    parser = argparse.ArgumentParser(
        prog="backbones weights list", description="List published and shipped weights."
    )
    parser.add_argument("pattern", nargs="?", default="", help="a part of an id, or a pattern")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args(arguments)
    rows = table.matching(chosen.pattern)
    shipped = [name for name in table.shipped() if chosen.pattern.strip("*") in name]
    if chosen.json:
        here = [{"id": name, "shipped": True} for name in shipped]
        print_json([*here, *({"shipped": False, **row.to_json()} for row in rows)])
        return
    if not rows and not shipped:
        say(f"no weights fit {chosen.pattern!r}; `backbones weights list` shows all")
        return
    print_table(
        ("id", "network", "top-1", "top-5", "input", "MiB", "licence"),
        [(name, "", "", "", "", "", "comes with the package") for name in shipped]
        + [_cells(row) for row in rows],
        right="top-1 top-5 input MiB",
    )


def _cells(row: table.WeightsRow) -> tuple[str, ...]:
    first = row.results[0] if row.results else None
    top1 = f"{first.top1_accuracy:.4f}" if first else ""
    top5 = f"{first.top5_accuracy:.4f}" if first and first.top5_accuracy is not None else ""
    mib = row.num_bytes / 2**20 if row.num_bytes is not None else row.mib
    size = f"{mib:.1f}" if mib is not None else ""
    return row.id, row.variant, top1, top5, str(row.spec.size), size, row.licence
