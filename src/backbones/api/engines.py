"""What computes answers on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backbones.classifier.checked import FEWEST as FEWEST_CHECKED
from backbones.classifier.checked import SAMPLE
from backbones.compute import choose_compute, devices, has_bf16_units, instruction_set
from backbones.engines import ENGINES, Engine, settled
from backbones.engines.table import FEWEST_BUILT, SMALLEST_BUILT

_PHOTO_PX = 224


@dataclass(frozen=True)
class Engines:
    """The engines, with what they can do here.

    Args:
        rows: every engine there is, the fastest first.
        chosen: the one that `--engine auto` takes for many photos on the device that `auto` takes.
        faster: the precision that `--precision auto` leaves fp32 for there; None where it does not.
        instruction_set: the processor's widest units for products of matrices.
    """

    rows: tuple[Engine, ...]
    chosen: str
    faster: str | None
    instruction_set: str

    def reasons(self) -> list[str]:
        """Why `auto` takes what it takes, a sentence each."""
        compiled = f"{FEWEST_BUILT} images or more of at least {SMALLEST_BUILT} px"
        precision = (
            f"--precision auto answers {FEWEST_CHECKED} or more in {self.faster}, as far as"
            f" {SAMPLE} of them agree with fp32"
            if self.faster
            else f"--precision auto is fp32: this processor has {self.instruction_set}, and no"
            " units for bf16"
        )
        return [
            f"--engine auto takes {self.chosen} for {compiled}: it is the fastest that is installed"
            " and can do it",
            "fewer or smaller images are answered by torch before a program would be built",
            precision,
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """One object an engine; `version` is null where its package isn't installed."""
        return [
            {
                "engine": each.name,
                "version": each.version,
                "devices": _here(each),
                "precisions": _precisions(each),
                "chosen": each.name == self.chosen,
                "summary": each.summary,
                "limits": each.limits,
                "install": None
                if each.is_here
                else f"pip install 'classic-backbones[{each.extra}]'",
            }
            for each in self.rows
        ]


def list_engines() -> Engines:
    """What can compute answers here, and what `auto` takes.

    Example:
        >>> [each["engine"] for each in list_engines().to_json()]
        ['openvino', 'onnxruntime', 'torch', 'ai-edge-litert']
    """
    chosen = settled(choose_compute(engine="auto"), _PHOTO_PX)
    return Engines(ENGINES, chosen.engine, chosen.faster, instruction_set())


def _here(engine: Engine) -> list[str]:
    if not engine.is_here:
        return []
    return [each for each in devices() if each.partition(":")[0] in engine.devices]


def _precisions(engine: Engine) -> list[str]:
    """Those that one of its devices here has units for."""
    has_bf16 = any(map(has_bf16_units, _here(engine)))
    return [each for each in engine.precisions if _here(engine) and (each != "bf16" or has_bf16)]
