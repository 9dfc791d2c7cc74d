"""What a network is, and what a bundle holds, on one page of text or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backbones import catalog
from backbones.inspection.trace import Layer, trace
from backbones.models import find_row
from backbones.spec import InputSpec
from backbones.units import human_bytes, human_count
from backbones.weights.bundle import Bundle
from backbones.weights.table import Published, WeightsRow

_FP32_BYTES = 4


@dataclass(frozen=True)
class NetworkCard:
    """A variant: its paper, its claims, where it deviates, and every layer.

    Args:
        facts: the catalog's row.
        citation: of the row.
        claims: (name, value, source) of each.
        layers: in the order of execution, for the row's own input size.
    """

    facts: catalog.Facts
    citation: str
    claims: tuple[tuple[str, int, str], ...]
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary, the layers in `layers`."""
        return {
            "kind": "network",
            **asdict(self.facts),
            "citation": self.citation,
            "claims": [{"name": n, "value": v, "source": s} for n, v, s in self.claims],
            "layers": [asdict(layer) for layer in self.layers],
        }

    def to_text(self) -> str:
        """The same as a page of text."""
        facts = self.facts
        side = facts.input_px
        lines = [
            f"{facts.name}: {facts.summary}",
            self.citation,
            "",
            f"input        {facts.in_channels} x {side} x {side}, {facts.num_classes} classes",
            f"parameters   {facts.params:,} ({human_bytes(facts.params * _FP32_BYTES)} in fp32)",
            f"MACs         {facts.macs:,} ({human_count(facts.macs)}; FLOPs are twice as many)",
        ]
        for name, value, source in self.claims:
            lines.append(f"claim        {value:,} {name} [{source}]")
        lines.append("")
        if facts.deviations:
            lines.append("deviations from the paper:")
            lines += ["  " + ": ".join(map(str, asdict(d).values())) for d in facts.deviations]
        else:
            lines.append("no deviation from the paper")
        return "\n".join([*lines, "", *_layer_lines(self.layers)])


def network_card(name: str) -> NetworkCard:
    """Look at a variant without making its weights.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    facts = catalog.facts(name)
    _, row = find_row(name)
    claims = tuple((claim.name, claim.value, claim.source) for claim in row.claims)
    return NetworkCard(facts, str(row.citation), claims, trace(name))


def _layer_lines(layers: Sequence[Layer]) -> list[str]:
    rows = [("layer", "kind", "output", "parameters", "MACs")]
    for layer in layers:
        shape = " x ".join(str(side) for side in layer.output)
        rows.append((layer.name, layer.kind, shape, f"{layer.params:,}", f"{layer.macs:,}"))
    total = (sum(layer.params for layer in layers), sum(layer.macs for layer in layers))
    rows.append(("total", "", "", f"{total[0]:,}", f"{total[1]:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True)
class WeightsCard:
    """Published weights: where they are, what they are for, what was printed about them.

    Args:
        row: of the table.
        path: of the file on this machine; None where it was not fetched yet.
    """

    row: WeightsRow
    path: str | None

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary."""
        return {"kind": "weights", **self.row.to_json(), "path": self.path}

    def to_text(self) -> str:
        """The same as a page of text."""
        row = self.row
        size = f", {size_text(row)}" if size_text(row) else ""
        lines = [
            f"{row.id}: published weights{size}",
            "",
            f"network      {row.variant}, labels of {row.labels}",
            *_input_lines(row.spec),
            f"from         {row.url or 'no public address'}",
            f"sha256       {row.sha256 or 'not published; kept from the first download'}",
            f"licence      {row.licence}",
        ]
        lines += [f"published    {published_text(result)}" for result in row.results]
        lines += [f"key map      {row.keymap}"] if row.keymap else []
        lines += [f"note         {row.notes}"] if row.notes else []
        lines.append(f"here         {self.path or f'no; `backbones weights get {row.id}`'}")
        return "\n".join(lines)


def published_text(result: Published) -> str:
    """One printed accuracy, with what was measured and by whom."""
    top5 = f", top-5 {result.top5_accuracy:.4f}" if result.top5_accuracy is not None else ""
    return (
        f"top-1 {result.top1_accuracy:.4f}{top5} at {result.size_px} of {result.resize_px} px"
        f" ({result.protocol}) [{result.source}]"
    )


def size_text(row: WeightsRow) -> str:
    """How long the file is, as far as that was printed."""
    if row.num_bytes is not None:
        return human_bytes(row.num_bytes)
    return f"{row.mib:.1f} MiB" if row.mib is not None else ""


def _input_lines(spec: InputSpec) -> list[str]:
    mean, std = (" ".join(f"{v:.4f}" for v in values) for values in (spec.mean, spec.std))
    colours = "grey" if spec.channels == 1 else "RGB"
    return [
        f"input        {colours}, shorter side to {spec.resize} px ({spec.interpolation}),"
        f" centre {spec.size} x {spec.size}",
        f"             / 255, minus {mean}, divided by {std}",
    ]


@dataclass(frozen=True)
class BundleCard:
    """What a bundle says about itself.

    Args:
        path: of the file.
        num_bytes: of the file.
        bundle: its header, without tensors.
        names: its classes as they are shown, in their order.
    """

    path: str
    num_bytes: int
    bundle: Bundle
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary; `names` where the classes are shown under others than their own."""
        bundle = self.bundle
        names = {} if self.names == bundle.classes else {"names": list(self.names)}
        return {
            "kind": "bundle",
            "path": self.path,
            "num_bytes": self.num_bytes,
            "variant": bundle.variant,
            "num_classes": bundle.num_classes,
            "in_channels": bundle.in_channels,
            "classes": list(bundle.classes),
            **names,
            "input": bundle.spec.to_json(),
            "recipe": bundle.recipe,
            "metrics": bundle.metrics,
            "versions": bundle.versions,
            "provenance": bundle.provenance,
        }

    def to_text(self) -> str:
        """The same as a page of text."""
        bundle = self.bundle
        shown = ", ".join(self.names[:20])
        more = f" and {bundle.num_classes - 20} more" if bundle.num_classes > 20 else ""
        lines = [
            f"{self.path}: a bundle, {human_bytes(self.num_bytes)}",
            "",
            f"network      {bundle.variant}, {bundle.num_classes} classes",
            f"classes      {shown}{more}",
            *_input_lines(bundle.spec),
        ]
        lines += [
            f"{name:<12} {value}" for name, value in (bundle.provenance or {}).items() if value
        ]
        if bundle.recipe:
            lines.append(
                f"trained by   recipe {bundle.recipe.get('name')},"
                f" {bundle.recipe.get('length')}, seed {bundle.recipe.get('seed')}"
            )
        for name, value in bundle.metrics.items():
            text = f"{value:.4f}" if isinstance(value, float) else str(value)
            lines.append(f"measured     {name} = {text}")
        versions = ", ".join(f"{name} {version}" for name, version in bundle.versions.items())
        lines.append(f"written by   {versions}")
        return "\n".join(lines)
