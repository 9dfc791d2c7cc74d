"""`backbones inspect`: every layer of a network, with what it costs and what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import print_json, print_text, say, terminal_width
from backbones.cli.options import Csv, InputShape, Json, Markdown, Network, shape_of
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.inspection import Inspection


UNIT = "What one unit sees"
BY_HAND = "By hand"

Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Show the sums: each layer's parameters and MACs with the numbers in them.",
        rich_help_panel=BY_HAND,
    ),
]
ExplainField = Annotated[
    bool,
    typer.Option(
        "--explain-field",
        help="Show how the receptive field grows, line by line: r = r + (k-1)*j.",
        rich_help_panel=BY_HAND,
    ),
]

BatchTotal = Annotated[
    int | None,
    typer.Option(
        "--batch-size", "-b", min=1, metavar="N", help="Batch size; costs are batch totals."
    ),
]
Layer = Annotated[
    str | None, typer.Option(metavar="NAME", help="Layer of the unit.", rich_help_panel=UNIT)
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="Y,X",
        help="Place of the unit; LAYER,Y,X names its layer too.",
        rich_help_panel=UNIT,
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(metavar="IMAGE", help="Paint what it sees on this image.", rich_help_panel=UNIT),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write that image here.", rich_help_panel=UNIT
    ),
]


def inspect(
    network: Network,
    input: InputShape = None,
    batch_size: BatchTotal = None,
    depth: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Fold layers below this depth.")
    ] = None,
    functions: Annotated[
        bool, typer.Option("--functions", help="List sums, concatenations and so on too.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Show the memory that it needs too.")
    ] = False,
    explain: Explain = False,
    explain_field: ExplainField = False,
    layer: Layer = None,
    at: At = None,
    draw: Draw = None,
    out: Out = None,
    json: Json = False,
    csv: Csv = False,
    markdown: Markdown = False,
) -> None:
    """Look inside a network: every layer, with what it costs and sees.

    Shapes, parameters, multiply-accumulates (MACs) and receptive fields, layer by layer.
    Nothing is computed and no weights are needed.

    Examples:
        backbones inspect vgg16
        backbones inspect resnet50 --depth 2
        backbones inspect mynet.py:build --input 3,64,64 --json
        backbones inspect vgg16 --explain
        backbones inspect vgg16 --explain-field
        backbones inspect resnet50 --memory
        backbones inspect vgg16 --layer conv5_3 --at 7,7 --draw photo.jpg -o seen.png
    """
    from backbones import inspect as look
    from backbones import inspect_with_memory

    if json + csv + markdown > 1:
        raise WrongUse("--json, --csv and --markdown exclude each other")
    if layer is not None and at is None:
        raise WrongUse("--layer names the layer of a unit; add --at Y,X")
    if draw is not None and (at is None or out is None):
        raise WrongUse("--draw paints what a unit sees; add --at LAYER,Y,X and -o FILE")
    by_hand = explain or explain_field
    if by_hand and (csv or markdown or at is not None or depth is not None or memory):
        raise WrongUse("--explain and --explain-field go with --json, --input, --batch-size only")
    shape, needs = shape_of(input), None
    if memory and at is None:
        found, needs = inspect_with_memory(network, shape, batch=batch_size, functions=functions)
    else:
        found = look(network, shape, batch=batch_size or 1, functions=functions)
    if at is not None:
        _tell_box(found, at if layer is None else f"{layer},{at}", draw, out, json)
        return
    if by_hand:
        _explain(found, explain, explain_field, json)
        return
    layers = found.layers if depth is None else found.folded(depth)
    if json:
        also = {} if needs is None else {"memory": needs.to_json()}
        print_json({**found.to_json(), "layers": found.rows(layers), **also})
        return
    if csv or markdown:
        print_text(found.to_csv(layers) if csv else found.to_markdown(layers))
    else:
        print_text(found.to_text(layers, terminal_width()))
    if needs is not None and not csv:
        print_text("\n" + needs.to_text())


def _explain(found: Inspection, counts: bool, fields: bool, json: bool) -> None:
    if json:
        formulas = {"formulas": found.formulas()} if counts else {}
        steps = {"field_steps": [step.to_json() for step in found.field_steps]} if fields else {}
        print_json({"name": found.name, "input": list(found.input), **formulas, **steps})
        return
    parts = [found.explain()] if counts else []
    parts += [found.explain_field()] if fields else []
    print_text("\n\n".join(parts))


def _tell_box(found: Inspection, at: str, draw: Path | None, out: Path | None, json: bool) -> None:
    layer, row, column = _unit(at)
    top, left, bottom, right = found.sees(layer, row, column)
    if json:
        print_json(
            {"layer": layer, "unit": [row, column], "top": top, "left": left}
            | {"bottom": bottom, "right": right}
        )
    else:
        print_text(
            f"unit ({row}, {column}) of {layer} sees rows {top} to {bottom - 1} and columns"
            f" {left} to {right - 1} of {found.input[-2]}x{found.input[-1]} px"
        )
    if draw is not None and out is not None:
        from backbones import paint_field

        paint_field(found, (layer, row, column), draw, out)
        say(f"wrote {out}")


def _unit(text: str) -> tuple[str, int, int]:
    layer, _, place = text.rpartition(",")
    layer, _, row = layer.rpartition(",")
    if not layer or not row.strip().isdigit() or not place.strip().isdigit():
        raise WrongUse(
            f"--at is {text!r}, expected LAYER,Y,X such as conv5_3,7,7, or --layer conv5_3 --at 7,7"
        )
    return layer, int(row), int(place)
