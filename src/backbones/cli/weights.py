"""`backbones weights`: published weights, from the table to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.command import Command, new_group
from backbones.cli.console import preparing, print_json, print_table, print_text, say
from backbones.cli.offline import Offline

if TYPE_CHECKING:
    from backbones.weights.table import WeightsRow

app = new_group("Published weights: list, get, verify, import, convert.")

NonFinite = Annotated[
    bool, typer.Option("--allow-non-finite", help="Take NaN and infinities in the weights.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="See `backbones weights list`.")]


@app.command("list", cls=Command)
def list_(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A part of an id, or a pattern ('vgg*').")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List published weights.

    Examples:
        backbones weights list resnet
    """
    from backbones import published_weights, shipped_weights

    rows = published_weights(pattern)
    shipped = [name for name in shipped_weights() if pattern.strip("*") in name]
    if json:
        here = [{"id": name, "shipped": True} for name in shipped]
        print_json([*here, *({"shipped": False, **row.to_json()} for row in rows)])
        return
    if not rows and not shipped:
        say(f"no weights fit {pattern!r}; `backbones weights list` shows all")
        return
    print_table(
        ("id", "network", "top-1", "top-5", "input", "MiB", "licence"),
        [(name, "", "", "", "", "", "comes with the package") for name in shipped]
        + [_cells(row) for row in rows],
        right="top-1 top-5 input MiB",
    )


def _cells(row: WeightsRow) -> tuple[str, ...]:
    first = row.results[0] if row.results else None
    top1 = f"{first.top1_accuracy:.4f}" if first else ""
    top5 = f"{first.top5_accuracy:.4f}" if first and first.top5_accuracy is not None else ""
    mib = row.num_bytes / 2**20 if row.num_bytes is not None else row.mib
    size = f"{mib:.1f}" if mib is not None else ""
    return row.id, row.variant, top1, top5, str(row.spec.size), size, row.licence


@app.command(cls=Command)
def get(name: Id, offline: Offline = False) -> None:
    """Fetch weights, and check them.

    They go to the cache (BACKBONES_CACHE), from BACKBONES_MIRROR where that is set; a download
    that was cut goes on where it broke.

    Examples:
        backbones weights get resnet18.tv_in1k
    """
    from backbones import get_weights

    with preparing() as bars:
        path = get_weights(name, downloading=bars.downloading)
    print_text(str(path))


@app.command(cls=Command)
def verify(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="All if left out.")] = None,
) -> None:
    """Check the weights that are here.

    Compares the hash of each file with what was published, and with what it was when it arrived;
    exit code 1 if one differs.
    """
    from backbones import verify_weights

    found = list(verify_weights(name))
    if not found:
        say("no weights are here yet; `backbones weights get ID` fetches some")
        return
    print_table(
        ("id", "state", "sha256"), [(f.id, "bad" if f.problem else "ok", f.sha256) for f in found]
    )
    for each in found:
        if each.problem:
            say(each.problem)
    if any(each.problem for each in found):
        raise typer.Exit(1)


@app.command("import", cls=Command)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published weight file.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="ID", help="What it is; else told by its hash.")
    ] = None,
    allow_non_finite: NonFinite = False,
) -> None:
    """Take in a file that was fetched by hand.

    It is recognised by its hash and copied to its place.
    """
    from backbones import import_weights

    found, path = import_weights(file, name=name, allow_non_finite=allow_non_finite)
    print_text(f"{found}\t{path}")


@app.command(cls=Command)
def convert(
    source: Annotated[str, typer.Argument(metavar="ID_OR_FILE", help="Weights or a weight file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="BUNDLE", help="Write this bundle.")],
    variant: Annotated[
        str | None, typer.Option(help="The network, for a file that is not recognised.")
    ] = None,
    entry: Annotated[
        str, typer.Option(metavar="NAME", help="Which of several networks in the file.")
    ] = "",
    allow_non_finite: NonFinite = False,
    offline: Offline = False,
) -> None:
    """Make a bundle of weights.

    Of published ones or of anybody's .safetensors, .npz or file of torch.save, under names of
    torchvision, timm, Caffe or Keras and whatever wrappers put before them.

    Examples:
        backbones weights convert vgg16.tv_in1k -o vgg16.safetensors
    """
    from backbones import convert_weights

    with preparing() as bars:
        bundle = convert_weights(
            source,
            out,
            variant=variant,
            entry=entry,
            allow_non_finite=allow_non_finite,
            downloading=bars.downloading,
        )
    say(f"wrote {out}: {bundle.variant}, {bundle.num_classes} classes")
    known = bundle.provenance or {}
    for change in known.get("changes", ()):
        say(f"note: {change}")
    for what in ("licence", "note"):
        if known.get(what):
            say(f"{what}: {known[what]}")
