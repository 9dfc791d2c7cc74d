"""`backbones engines`: what computes answers on this machine."""

from __future__ import annotations

from backbones.cli.console import print_json, print_table, say
from backbones.cli.options import Json


def engines(json: Json = False) -> None:
    """List what can compute answers on this machine.

    An engine turns a network into a program that answers images. The one that --engine auto takes
    is marked; `--engine` of the verbs that answer names another.

    Examples:
        backbones engines
        backbones engines --json
    """
    from backbones import list_engines

    found = list_engines()
    if json:
        print_json(found.to_json())
        return
    print_table(
        ("engine", "version", "devices", "precisions", "what it is"),
        [
            (
                f"{row['engine']} *" if row["chosen"] else row["engine"],
                row["version"] or row["install"],
                ", ".join(row["devices"]),
                ", ".join(row["precisions"]),
                row["summary"],
            )
            for row in found.to_json()
        ],
    )
    for reason in found.reasons():
        say(reason)
