"""What a network is, on one page: its paper, its row, what it costs, what there is of it."""

from __future__ import annotations

import importlib
import textwrap
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from backbones import catalog
from backbones.inspection.summary import Inspection, inspect
from backbones.inspection.trace import last_field
from backbones.models import Row, find_row
from backbones.report.rows import row_lines
from backbones.spec import Family
from backbones.text import preformatted
from backbones.units import aligned, human_bytes, human_count
from backbones.weights import table
from backbones.weights.rows import row_to_json

_FP32_BYTES = 4
_COLUMNS = 100


@dataclass(frozen=True)
class NetworkCard:
    """A variant: its paper, its row, its claims, where it deviates, what was published, its stages.

    Args:
        facts: the catalog's row.
        row: of the model file, with the paper's table and the claims.
        contribution: of the paper, in a few sentences.
        inspection: at the row's own input size.
        weights: published ones that fit, the most accurate first.
        shipped: ids of bundles that come with the package.
    """

    facts: catalog.Facts
    row: Row
    contribution: str
    inspection: Inspection
    weights: tuple[table.WeightsRow, ...]
    shipped: tuple[str, ...]

    @property
    def receptive_field(self) -> tuple[tuple[int | float, ...], bool] | None:
        """Px (height, width) that units of the last maps see; whether they all see the same."""
        return last_field(self.inspection.layers)

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary, the layers in `layers`."""
        field = self.receptive_field
        layers = zip(self.inspection.layers, self.inspection.rows(), strict=True)
        plain = ((asdict(replace(layer, field=None)), row) for layer, row in layers)
        found = self.inspection.to_json()
        return {
            "kind": "network",
            **asdict(self.facts),
            "citation": str(self.row.citation),
            "contribution": self.contribution,
            "row": row_to_json(self.row),
            "claims": [asdict(claim) for claim in self.row.claims],
            "notes": found["notes"],
            "receptive_field": list(field[0]) if field else None,
            "published": [
                {"weights": row.id, **asdict(result)}
                for row in self.weights
                for result in row.results
            ],
            "weights": [*self.shipped, *(row.id for row in self.weights)],
            "stages": found["stages"],
            "layers": [{**layer, **row} for layer, row in plain],
        }

    def to_text(self) -> str:
        """The same as a page of text, stage by stage."""
        facts = self.facts
        parts: list[list[str]] = [
            [f"{facts.name}: {facts.summary}", str(self.row.citation)],
            textwrap.wrap(self.contribution, _COLUMNS),
            self._counts(),
            ["the row:", *row_lines(self.row)],
            self._deviations(),
            self._weights(),
            self._stages(),
            [
                f"`backbones inspect {facts.name}` lists every layer,"
                f" `backbones draw {facts.name} -o {facts.name}.svg` draws it."
            ],
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())

    def _counts(self) -> list[str]:
        facts = self.facts
        side = facts.input_px
        lines = [
            f"input        {facts.in_channels} x {side} x {side}, {facts.num_classes} classes",
            f"parameters   {facts.params:,} ({human_bytes(facts.params * _FP32_BYTES)} in fp32)",
            f"MACs         {facts.macs:,} ({human_count(facts.macs)}; FLOPs are twice as many)",
        ]
        if self.receptive_field is not None:
            (height, width), all_see = self.receptive_field
            told = "all units of the last maps see" if all_see else "a unit of the last maps sees"
            lines.append(f"field        {told} {height} x {width} px")
        for source, claims in groupby(self.row.claims, key=lambda claim: claim.source):
            told = ", ".join(f"{claim.value:,} {claim.name}" for claim in claims)
            lines += _wrapped(f"claim        {told} [{source}]")
        for note in self.inspection.notes:
            word, _, text = note.rpartition("printed: ")
            printed = not word and text != note
            lines += _wrapped(f"{'printed' if printed else 'note':<12} {text}")
        return lines

    def _deviations(self) -> list[str]:
        if not self.facts.deviations:
            return ["no deviation from the paper"]
        lines = ["deviations from the paper:"]
        for deviation in self.facts.deviations:
            text = f"{deviation.field}: {deviation.what} [{deviation.source}]"
            lines += textwrap.wrap(text, _COLUMNS, initial_indent="  ", subsequent_indent="    ")
        return lines

    def _weights(self) -> list[str]:
        if not self.weights and not self.shipped:
            return ["no published weights are known here"]
        lines = [f"{name}: trained, and comes with the package" for name in self.shipped]
        if not self.weights:
            return lines
        headings = ("weights", "top-1", "top-5", "at px", "licence")
        cells = [_weights_cells(row, self.facts.input_px) for row in self.weights]
        lines += aligned(headings, cells, headings[1:4])
        printed = {f"{p.protocol} [{p.source}]" for row in self.weights for p in row.results}
        return [*lines, *(f"accuracy: {where}" for where in sorted(printed))]

    def _stages(self) -> list[str]:
        headings = ("stage", "layers", "output", "parameters", "MACs")
        cells = [
            (
                stage.name,
                str(len(stage.layers)),
                " x ".join(map(str, stage.output)),
                f"{stage.params:,}",
                f"{stage.macs:,}",
            )
            for stage in self.inspection.stages
        ]
        layers = self.inspection.layers
        params = sum(stage.params for stage in self.inspection.stages)
        cells.append(("total", str(len(layers)), "", f"{params:,}", f"{self.inspection.macs:,}"))
        return aligned(headings, cells, ("layers", "parameters", "MACs"))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _COLUMNS, subsequent_indent=" " * 13)


def _weights_cells(row: table.WeightsRow, size_px: int) -> tuple[str, ...]:
    best = table.best_result((row,), size_px)
    if best is None:
        return row.id, "", "", "", row.licence
    _, result = best
    top5 = "" if result.top5_accuracy is None else f"{result.top5_accuracy:.4f}"
    return row.id, f"{result.top1_accuracy:.4f}", top5, str(result.size_px), row.licence


def _accuracy(row: table.WeightsRow, size_px: int) -> float:
    best = table.best_result((row,), size_px)
    return best[1].top1_accuracy if best else 0.0


def network_card(name: str) -> NetworkCard:
    """Look at a variant without making its weights.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    facts = catalog.facts(name)
    family, _ = catalog.resolve(name)
    _, row = find_row(name)
    found = table.of_variant(name)
    weights = sorted(found, key=lambda row: _accuracy(row, facts.input_px), reverse=True)
    shipped = tuple(known for known in table.shipped_weights() if known.partition(".")[0] == name)
    return NetworkCard(facts, row, contribution_of(family), inspect(name), tuple(weights), shipped)


def contribution_of(family: Family) -> str:
    """What a paper contributed: the second paragraph of its model file.

    Example:
        >>> contribution_of(catalog.resolve("nin_tiny")[0])[:45]
        'The paper replaced the linear filter of a con'
    """
    text = importlib.import_module(family.module).__doc__  # None where Python runs with -OO
    paragraphs = (text or "").split("\n\n")
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else family.summary
