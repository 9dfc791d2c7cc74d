"""What a quantised network leaves about itself: what it costs, gains and was judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backbones.quantization.judging import Judged, Speed
from backbones.units import aligned, human_bytes

_LAYERS_SAID = 6


@dataclass(frozen=True)
class Card:
    """A quantised network's account of itself.

    Args:
        variant: the network.
        bytes_fp32, bytes_int8: of the graph's files.
        speeds: by batch size.
        allowed_loss_points: of top-1 accuracy.
        judged: how its answers differ from those in fp32.
        judged_on: the part of the data; with `data`, which data.
        data: what was understood of the data, in one line.
        num_layers: with weights.
        layers_kept: those of them that stay in fp32, by module path.
        accuracy_control: whether layers went back to fp32 for accuracy's sake, chosen by the images
            that the network is judged on, which flatters the loss.
        calibration: `num_images`, `seed` and `part`.
        made_by: versions, the processor's instruction set and the number of threads.
    """

    variant: str
    bytes_fp32: int
    bytes_int8: int
    speeds: tuple[Speed, ...]
    allowed_loss_points: float
    judged: Judged
    judged_on: str
    data: str
    num_layers: int
    layers_kept: tuple[str, ...]
    accuracy_control: bool
    calibration: Mapping[str, Any]
    made_by: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values, flat but for lists of rows."""
        agreement = self.judged.agreement
        return {
            "variant": self.variant,
            "precision": "int8",
            "bytes_fp32": self.bytes_fp32,
            "bytes_int8": self.bytes_int8,
            "speeds": [asdict(each) for each in self.speeds],
            "num_images": agreement.num_images,
            "judged_on": self.judged_on,
            "data": self.data,
            "agreement": agreement.same_first_class,
            "mean_probability_diff": agreement.mean_probability_diff,
            **self.judged.loss.to_json(),
            "allowed_loss_points": self.allowed_loss_points,
            "num_layers": self.num_layers,
            "layers_kept": list(self.layers_kept),
            "accuracy_control": self.accuracy_control,
            "calibration": dict(self.calibration),
            **self.made_by,
        }

    def to_text(self) -> str:
        """The same in lines of text, for people."""
        rows = self._rows()
        return "\n".join([f"{self.variant} in int8", *aligned(("what", "found"), rows)])

    def to_files(self) -> dict[str, bytes]:
        """The card for people and for programs, by file name."""
        table = "\n".join(f"| {what} | {found} |" for what, found in self._rows())
        page = f"# {self.variant} in int8\n\n| what | found |\n|---|---|\n{table}\n"
        record = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        return {"card.md": page.encode(), "card.json": f"{record}\n".encode()}

    def _rows(self) -> list[tuple[str, str]]:
        loss, agreement = self.judged.loss, self.judged.agreement
        calibration, made_by = self.calibration, self.made_by
        smaller = self.bytes_fp32 / self.bytes_int8
        rows = [
            (
                "size",
                f"{human_bytes(self.bytes_int8)}, {smaller:.1f} times smaller than"
                f" {human_bytes(self.bytes_fp32)} in fp32",
            )
        ]
        rows += [
            (
                f"speed, batch {each.batch}",
                f"{each.int8:,.1f} images/s, {each.int8 / each.fp32:.2f} times as fast as"
                f" {each.fp32:,.1f} in fp32",
            )
            for each in self.speeds
        ]
        versions = ", ".join(f"{name} {number}" for name, number in made_by["versions"].items())
        chosen = ", which also chose the layers kept" if self.accuracy_control else ""
        return [
            *rows,
            ("top-1 accuracy", f"{loss.faster:.4f}, in fp32 {loss.exact:.4f}"),
            (
                "loss",
                f"{loss.points:.2f} points, 95 % interval {loss.interval.low:.2f} to"
                f" {loss.interval.high:.2f}; {self.allowed_loss_points:.2g} were allowed",
            ),
            ("same first class", f"{100 * agreement.same_first_class:.2f} % of the images"),
            ("probabilities", f"{agreement.mean_probability_diff:.4f} apart on the mean"),
            ("judged on", f"{agreement.num_images:,} images of {self.judged_on}{chosen}"),
            ("data", self.data),
            ("layers in fp32", self._kept()),
            (
                "calibrated on",
                f"{calibration['num_images']:,} images of {calibration['part']},"
                f" seed {calibration['seed']}",
            ),
            ("measured on", f"{made_by['instruction_set']}, {made_by['threads']} threads"),
            ("made by", versions),
        ]

    def _kept(self) -> str:
        kept = named(self.layers_kept)
        return f"{len(self.layers_kept)} of {self.num_layers}{kept and f': {kept}'}"


def named(layers: tuple[str, ...]) -> str:
    """Layers as a message names them: the first few, and how many more there are."""
    more = len(layers) - _LAYERS_SAID
    return ", ".join(layers[:_LAYERS_SAID]) + (f" and {more} more" if more > 0 else "")
