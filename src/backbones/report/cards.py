"""What is known of weights, and what a bundle holds, on one page of text or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backbones.spec import InputSpec
from backbones.text import preformatted
from backbones.units import human_bytes
from backbones.weights.bundle import Bundle
from backbones.weights.table import Published, WeightsRow


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

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


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
            "selected_on_this_split": self._selected,
            "versions": bundle.versions,
            "provenance": bundle.provenance,
        }

    @property
    def _selected(self) -> bool:
        """Whether the metrics are of the images that chose these weights."""
        return (self.bundle.trained_on or {}).get("chosen_by") is not None

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
        if self._selected:
            lines.append("             on the images that chose these weights, which flatters them")
        versions = ", ".join(f"{name} {version}" for name, version in bundle.versions.items())
        lines.append(f"written by   {versions}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())
