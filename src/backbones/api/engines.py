"""What computes answers on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backbones.compute import choose_compute, devices, has_bf16_units, instruction_set
from backbones.engines import ENGINES, Engine, choose_engine

_PHOTO_PX = 224


@dataclass(frozen=True)
class Engines:
    """The engines, with what they can do here.

    Args:
        rows: every engine there is, the fastest first.
        chosen: the one that `--engine auto` takes for many photos on the device that `auto` takes.
        instruction_set: the processor's widest units for products of matrices.
    """

    rows: tuple[Engine, ...]
    chosen: str
    instruction_set: str

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
    chosen = choose_engine(choose_compute(), _PHOTO_PX, num_images=None)
    return Engines(ENGINES, chosen.name, instruction_set())


def _here(engine: Engine) -> list[str]:
    if not engine.is_here:
        return []
    return [each for each in devices() if each.partition(":")[0] in engine.devices]


def _precisions(engine: Engine) -> list[str]:
    """Those that one of its devices here has units for."""
    has_bf16 = any(map(has_bf16_units, _here(engine)))
    return [each for each in engine.precisions if _here(engine) and (each != "bf16" or has_bf16)]
