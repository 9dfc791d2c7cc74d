"""The index of the networks: families, their rows, and the facts about each. No torch in here.

A family is a file in `models/` and a line of `FAMILIES`. What it is, and the facts about its rows,
stand in the model file; they are read from `variants.json`, which is generated from the model files
(see `inspection/facts.py`) and proved equal to them by a test.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backbones.errors import NotFound, nearest
from backbones.spec import Citation, Deviation, Family


@dataclass(frozen=True)
class Facts:
    """What is known of a variant without building it.

    Args:
        name, family: of the variant.
        summary: one-line description.
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and fully connected layers, one image.
        num_classes, in_channels, input_px: that the row was made for.
        deviations: from the paper.
    """

    name: str
    family: str
    summary: str
    params: int
    macs: int
    num_classes: int
    in_channels: int
    input_px: int
    deviations: tuple[Deviation, ...]


FAMILIES = (
    "lenet",
    "alexnet",
    "nin",
    "vgg",
    "googlenet",
    "inception_v2",
    "inception_v3",
    "resnet",
    "resnet_cifar",
    "inception_v4",
    "inception_resnet",
    "densenet",
    "mobilenet_v1",
    "mobilenet_v2",
    "efficientnet",
)


@cache
def families() -> tuple[Family, ...]:
    """All families, oldest first."""
    return tuple(
        Family(name, listed["title"], Citation(**listed["citation"]), listed["summary"])
        for name, listed in _listed().items()
    )


def names() -> tuple[str, ...]:
    """All variants, family by family."""
    return tuple(_all_facts())


def is_pattern(text: str) -> bool:
    """Whether a word stands for all names that fit it, as in "vgg*"."""
    return any(sign in text for sign in "*?[")


def matching(pattern: str) -> tuple[str, ...]:
    """The variants that fit a pattern; a word without stars fits what contains it.

    Args:
        pattern: "vgg*", "*_bn", "vgg1[69]"; or a part of a name, or the name of a family.

    Raises:
        NotFound: nothing fits; names the nearest.

    Example:
        >>> matching("vgg1[69]")
        ('vgg16', 'vgg19')
    """
    known = _all_facts()
    if is_pattern(pattern):
        found = tuple(name for name in known if fnmatch.fnmatchcase(name, pattern))
    else:
        found = tuple(name for name, row in known.items() if pattern in (row.family, name))
        found = found or tuple(name for name in known if pattern in name)
    if not found:
        hint = nearest(pattern.strip("*?"), known) or " `backbones list` shows all networks."
        raise NotFound(f"no network fits {pattern!r}.{hint}")
    return found


def facts(name: str) -> Facts:
    """What is known of a variant.

    Raises:
        NotFound: no such variant; names the nearest.

    Example:
        >>> facts("vgg16").params
        138357544
    """
    known = _all_facts()
    if name not in known:
        if name in FAMILIES:
            rows = ", ".join(n for n, row in known.items() if row.family == name)
            raise NotFound(f"{name!r} is a family, not a network: choose one of {rows}")
        hint = nearest(name, known) or " `backbones list` shows all networks."
        raise NotFound(f"there is no network {name!r}.{hint}")
    return known[name]


def resolve(name: str) -> tuple[Family, str]:
    """The family of a variant, and the variant's name.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    row = facts(name)
    return next(family for family in families() if family.name == row.family), row.name


@cache
def _listed() -> dict[str, dict[str, Any]]:
    """What `variants.json` holds of each family, in the order of `FAMILIES`."""
    text = Path(__file__).with_name("variants.json").read_text(encoding="utf-8")
    found = {family["name"]: family for family in json.loads(text)}
    return {name: found[name] for name in FAMILIES if name in found}


@cache
def _all_facts() -> dict[str, Facts]:
    return {
        row["name"]: _facts_from(name, row)
        for name, family in _listed().items()
        for row in family["variants"]
    }


def _facts_from(family: str, row: dict[str, Any]) -> Facts:
    deviations = tuple(Deviation(**deviation) for deviation in row["deviations"])
    return Facts(**{**row, "family": family, "deviations": deviations})
