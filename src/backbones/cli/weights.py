"""`backbones weights`: published weights, from the table to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.command import Command, new_group, with_groups
from backbones.cli.console import preparing, print_json, print_table, print_text, say, warn
from backbones.cli.options import Json, OutputOptions

if TYPE_CHECKING:
    from backbones.weights.table import WeightsRow

app = new_group("Published weights: list, get, verify, import, convert.")

NonFinite = Annotated[
    bool, typer.Option("--allow-non-finite", help="Accept NaN and infinite weights.")
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="An id of weights, see `backbones weights list`.")
]


@app.command("list", cls=Command)
def list_(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A part of an id, or a pattern ('vgg*').")
    ] = "",
    json: Json = False,
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
@with_groups
def get(name: Id, output: OutputOptions) -> None:
    """Download weights, and check them.

    They go to the cache (BACKBONES_CACHE), from BACKBONES_MIRROR if that is set; an interrupted
    download continues where it stopped.

    Examples:
        backbones weights get resnet18.tv_in1k
    """
    from backbones import get_weights

    with preparing() as bars:
        path = get_weights(name, downloading=bars.downloading)
    if output.json:
        print_json({"id": name, "path": str(path)})
    else:
        print_text(str(path))


@app.command(cls=Command)
def verify(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="Default: all.")] = None,
    json: Json = False,
) -> None:
    """Check the weights on this machine.

    Compares each file's SHA-256 with the published one, and with the one that it had when it
    arrived; exit code 1 if one differs.
    """
    from backbones import verify_weights

    found = list(verify_weights(name))
    rows = [(f.id, "bad" if f.problem else "ok", f.sha256) for f in found]
    if json:
        columns = ("id", "state", "sha256", "problem")
        known = zip(rows, found, strict=True)
        print_json([dict(zip(columns, (*row, f.problem), strict=True)) for row, f in known])
    elif found:
        print_table(("id", "state", "sha256"), rows)
    else:
        say("no weights are here yet; `backbones weights get ID` downloads some")
    for each in found:
        if each.problem:
            warn(each.problem)
    if any(each.problem for each in found):
        raise typer.Exit(1)


@app.command("import", cls=Command)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published weight file.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="ID", help="Id of these weights; default: recognised by SHA-256."
        ),
    ] = None,
    allow_non_finite: NonFinite = False,
    json: Json = False,
) -> None:
    """Add a file that you downloaded yourself.

    It is recognised by its SHA-256 and copied to its place.

    Examples:
        backbones weights import ~/Downloads/vgg16-397923af.pth
    """
    from backbones import import_weights

    found, path = import_weights(file, name=name, allow_non_finite=allow_non_finite)
    if json:
        print_json({"id": found, "path": str(path)})
    else:
        print_text(f"{found}\t{path}")


@app.command(cls=Command)
@with_groups
def convert(
    source: Annotated[
        str, typer.Argument(metavar="ID_OR_FILE", help="An id of weights, or a weight file.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Write the bundle here.")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Network of a file that is not recognised."),
    ] = None,
    entry: Annotated[
        str, typer.Option(metavar="NAME", help="Which of several networks in the file.")
    ] = "",
    allow_non_finite: NonFinite = False,
    *,
    output: OutputOptions,
) -> None:
    """Make a bundle of weights.

    From published ones or from anybody's .safetensors, .npz or PyTorch file, with the names of
    torchvision, timm, Caffe or Keras and whatever prefixes wrappers put before them.

    Examples:
        backbones weights convert vgg16.tv_in1k -o vgg16.safetensors
        backbones weights convert mine.pth --model resnet18 -o mine.safetensors
    """
    from backbones import convert_weights

    with preparing() as bars:
        bundle = convert_weights(
            source,
            out,
            variant=model,
            entry=entry,
            allow_non_finite=allow_non_finite,
            downloading=bars.downloading,
        )
    known = bundle.provenance or {}
    if output.json:
        facts = {"out": str(out), "variant": bundle.variant, "num_classes": bundle.num_classes}
        print_json({**facts, "provenance": known})
    say(f"wrote {out}: {bundle.variant}, {bundle.num_classes} classes")
    for change in known.get("changes", ()):
        say(f"note: {change}")
    for what in ("licence", "note"):
        if known.get(what):
            say(f"{what}: {known[what]}")
