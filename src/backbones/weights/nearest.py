"""Which networks some weights fit best, for messages about weights that do not fit.

Names and shapes are compared with all variants of each family whose names look alike; numbers in
names do not count for that, so one small network a family tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backbones import catalog
from backbones.errors import BadWeights
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.weights.fit import COUNTER, Place, may_lack, places, say_names, shapes_of, tensors_at
from backbones.weights.spellings import unwrapped

_ALIKE_SHARE = 0.8
_FAMILY_SHARE = 0.5
_NUMBER = re.compile(r"\d+")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Nearest:
    """What some weights are most like.

    Args:
        variants: with most tensors in common, if these are four fifths at least.
        differing: names of tensors that only one side has, or has in another shape.
    """

    variants: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the weights fit to the last tensor."""
        return bool(self.variants) and not self.differing


def nearest_variants(shapes: Shapes) -> Nearest:
    """The variants that some weights fit best.

    Args:
        shapes: of the file's tensors, under anybody's names.
    """
    plain = unwrapped(shapes) or dict(zip(shapes, shapes, strict=True))
    state = {name: torch.empty(shapes[old], device="meta") for name, old in plain.items()}
    best, found = _ALIKE_SHARE, Nearest()
    for family in catalog.families():
        variants = [n for n in catalog.names() if catalog.facts(n).family == family.name]
        moved = [_moved(state, place) for place in _places_in(variants, state)]
        for name in variants if moved else ():
            own = _shapes_of(name)
            share, differing = min((_compared(each, own) for each in moved), key=lambda c: -c[0])
            if share > best or (share == best and not found.variants):
                best, found = share, Nearest((name,), differing)
            elif share == best:
                found = Nearest((*found.variants, name), found.differing)
    return found


def say_nearest(shapes: Shapes, *, besides: str = "") -> str:
    """End an error message with the variants that the weights would fit, if there are any."""
    nearest = nearest_variants(shapes)
    if besides in nearest.variants:
        return ""  # of this network but for what was just listed
    names = " or ".join(name for name in nearest.variants if name != besides)
    if not names:
        return ""
    if nearest.exact:
        return f"; they would fit {names}"
    return f"; they are nearest to {names}, but for {say_names(nearest.differing)}"


def _places_in(variants: list[str], state: Mapping[str, Tensor]) -> list[Place]:
    """Where a network of a family would lie, by names whose numbers do not count."""
    own = _shapes_of(min(variants, key=lambda name: catalog.facts(name).params))
    patterns = _patterns(name for name in own if not may_lack(name))
    shares = {
        place: len(patterns & _patterns(place.below(state).values())) / max(len(patterns), 1)
        for place in places(own, state)
    }
    best = max(shares.values(), default=0.0)
    return [p for p, share in shares.items() if share == best] if best >= _FAMILY_SHARE else []


def _patterns(names: Iterable[str]) -> set[str]:
    return {_NUMBER.sub("#", name) for name in names}


def _moved(state: Mapping[str, Tensor], place: Place) -> dict[str, tuple[int, ...]]:
    """Shapes at a place, under our names; none where their dimensions are not those of its map."""
    try:
        return shapes_of(tensors_at(state, place))
    except BadWeights:
        return {}


def _shapes_of(variant: str) -> dict[str, tuple[int, ...]]:
    with ShapesOnly():
        return shapes_of(build(variant).state_dict())


def _compared(found: Shapes, expected: Shapes) -> tuple[float, tuple[str, ...]]:
    """The share of tensors that are alike, and the others' names; counters do not count."""
    one, other = (
        {item for item in side.items() if not item[0].endswith(COUNTER)}
        for side in (found, expected)
    )
    differing = {name for name, _ in one ^ other}
    alike = len(one & other)
    return alike / max(alike + len(differing), 1), tuple(sorted(differing))
