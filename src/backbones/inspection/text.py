"""An inspection as a page of text, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from backbones.inspection.network_summary import CONVENTION, NetworkSummary
from backbones.inspection.spans import Field, Span
from backbones.inspection.trace import Layer
from backbones.units import Room, aligned, human_bytes, human_count

_COLUMNS = (
    *("layer", "paper", "type", "kernel", "output", "parameters", "MACs"),
    *("field", "jump", "start", "bytes"),
)
_RIGHT = frozenset(_COLUMNS[5:])
# What a terminal without room for all columns does without, the first of them first.
_GIVES_WAY = ("start", "jump", "bytes", "field", "paper", "kernel")


def to_text(
    found: NetworkSummary, layers: Sequence[Layer] | None = None, width: int | None = None
) -> str:
    """Totals, notes, layers and stages, in columns.

    Args:
        found: what to tell.
        layers: those to list; all where None.
        width: letters that a line has room for; None means any number.
    """
    room = Room(width, _GIVES_WAY)
    shown = found.layers if layers is None else layers
    named = any(found.paper_names.get(layer.name) for layer in shown)
    places = [place for place, each in enumerate(_COLUMNS) if named or each != "paper"]
    rows = [[cells[place] for place in places] for cells in (_cells(found, each) for each in shown)]
    table, hidden = room.table([_COLUMNS[place] for place in places], rows, _RIGHT)
    lines = [*room.prose(_head(found)), "", *table]
    if len(found.stages) > 1:
        columns = ("stage", "output", "parameters", "MACs", "bytes")
        stages = [
            (
                stage.name,
                _shape(stage.output),
                f"{stage.params:,}",
                f"{stage.macs:,}",
                human_bytes(stage.num_bytes),
            )
            for stage in found.stages
        ]
        lines += ["", *aligned(columns, stages, _RIGHT)]
    return "\n".join([*lines, "", *room.prose([*_legend(found), *hidden])])


def to_markdown(found: NetworkSummary, layers: Sequence[Layer] | None = None) -> str:
    """Totals as a line, layers as a table."""
    shown = found.layers if layers is None else layers
    rows = [_COLUMNS, ["---:" if column in _RIGHT else "---" for column in _COLUMNS]]
    rows += [_cells(found, layer) for layer in shown]
    table = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*_head(found), "", *table, "", *_legend(found)])


def to_csv(found: NetworkSummary, layers: Sequence[Layer] | None = None) -> str:
    """One line a layer, numbers without units; pairs become one column an axis."""
    rows = [_flat(row) for row in found.rows(layers)]
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key == "output_shape":
            flat[key] = "x".join(map(str, value))
        elif isinstance(value, list) and len(value) == 2:
            flat[f"{key}_height"], flat[f"{key}_width"] = value
        else:
            flat[key] = value
    return flat


def _head(found: NetworkSummary) -> list[str]:
    batch = f", batch {found.batch}" if found.batch > 1 else ""
    frozen = found.params - found.trainable
    told = f", {frozen:,} of them frozen" if frozen else ""
    return [
        f"{found.name}: {found.params:,} parameters{told}, {found.macs:,} MACs"
        f" ({human_count(found.macs)}), input {_shape(found.input)}{batch}",
        *(f"note: {note}" for note in found.notes),
        *(f"missing: {column}" for column in found.missing),
    ]


def _legend(found: NetworkSummary) -> list[str]:
    lines = [CONVENTION]
    if any(layer.field and layer.field.spans for layer in found.layers):
        lines.append(
            "field: px that one unit sees; jump: px between neighbours' fields; start: centre of"
            " the first unit's field, where the first pixel's centre is 0.5. * all units see this."
            " a..b: units see unequal fields; ~: on average, they do not move evenly;"
            " <=: at most, not followed unit by unit."
        )
    return lines


def _cells(found: NetworkSummary, layer: Layer) -> tuple[str, ...]:
    params = "(shared)" if layer.shared and not layer.params else f"{layer.params:,}"
    if layer.frozen:
        params = f"{layer.frozen:,} frozen" if not layer.params else f"{params} + {layer.frozen:,}"
    return (
        layer.name,
        found.paper_names.get(layer.name, ""),
        layer.kind,
        layer.detail,
        _shape(layer.output),
        params,
        f"{layer.macs:,}",
        *_field(layer.field),
        human_bytes(layer.num_bytes),
    )


def _field(field: Field | None) -> tuple[str, str, str]:
    if field is None or not field.spans:
        return "", "", ""
    fixed = "*" if all(span.fixed for span in field.spans) else ""
    most = "<=" if any(span.doubt for span in field.spans) else ""
    sizes = [_sizes(span) for span in field.spans]
    jumps = [("~" if span.each else "") + f"{float(span.jump):g}" for span in field.spans]
    starts = [f"{span.start:g}" for span in field.spans]
    return most + _same(sizes) + fixed, _same(jumps), _same(starts)


def _sizes(span: Span) -> str:
    """One size, or "from..to" where units see unequal intervals."""
    least, size = f"{float(span.least):g}", f"{float(span.size):g}"
    return size if least == size else f"{least}..{size}"


def _same(sides: Sequence[str]) -> str:
    return sides[0] if len(set(sides)) == 1 else "x".join(sides)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
