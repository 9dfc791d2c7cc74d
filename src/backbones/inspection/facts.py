"""The facts about every variant, computed from the networks; `variants.json` holds a copy."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from backbones import catalog
from backbones.inspection.trace import count
from backbones.models import Row
from backbones.nn.meta import ShapesOnly
from backbones.spec import Family


def facts_json(families: Sequence[str] = catalog.FAMILIES) -> str:
    """What `variants.json` must hold: the families of the catalog, each with its variants."""
    found = [_family(importlib.import_module(f"backbones.models.{name}")) for name in families]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _family(module: Any) -> dict[str, Any]:
    family: Family = module.FAMILY
    return {**asdict(family), "variants": [_variant(module.NETWORK, row) for row in module.ROWS]}


def _variant(network: Any, row: Row) -> dict[str, Any]:
    with ShapesOnly():
        total = count(network(row))
    return {
        "name": row.name,
        "summary": row.summary,
        "params": total.params,
        "macs": total.macs,
        "num_classes": row.num_classes,
        "in_channels": row.in_channels,
        "input_px": row.input_px,
        "deviations": [asdict(deviation) for deviation in row.deviations],
    }
