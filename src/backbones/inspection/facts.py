"""The facts about every variant, computed from the networks; `variants.json` holds a copy."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Any

from backbones import catalog
from backbones.inspection.trace import count
from backbones.nn.meta import ShapesOnly


def compute_facts() -> list[dict[str, Any]]:
    """What `variants.json` must hold: a dictionary a variant, family by family."""
    found = []
    for family in catalog.families():
        module = importlib.import_module(family.module)
        for row in module.ROWS:
            with ShapesOnly():
                total = count(module.NETWORK(row))
            found.append(
                {
                    "name": row.name,
                    "family": family.name,
                    "summary": row.summary,
                    "params": total.params,
                    "macs": total.macs,
                    "num_classes": row.num_classes,
                    "in_channels": row.in_channels,
                    "input_px": row.input_px,
                    "deviations": [asdict(deviation) for deviation in row.deviations],
                }
            )
    return found
