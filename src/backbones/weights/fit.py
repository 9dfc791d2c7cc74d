"""Whose weights are these: under whose names, and for which network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from backbones import catalog
from backbones.errors import BadWeights
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.weights.keymaps import KEYMAPS
from backbones.weights.keymaps.rules import KeyMap

_COUNTER = ".num_batches_tracked"
_STATISTICS = (".running_mean", ".running_var", _COUNTER)
# The number of parameters that a network may differ by: its head has other classes.
_HEAD_SHARE = 0.6
_CANDIDATES = 10
_ALIKE_SHARE = 0.8
_LISTED = 5

Shapes = Mapping[str, tuple[int, ...]]


def our_state(
    state: Mapping[str, Tensor], own: Iterable[str], keymap: str = ""
) -> tuple[dict[str, Tensor], str]:
    """Foreign weights under the names of a network of ours.

    Args:
        state: the file's tensors by name.
        own: names of the network's tensors.
        keymap: the name of the map to use; where empty, the first under which all names fit.

    Returns:
        the tensors under our names, and the name of the map; where no map fits, the tensors as
        they are and an empty name.

    Raises:
        BadWeights: a tensor does not have the dimensions that its map expects.
    """
    names = set(own)
    if not keymap:
        fitting = (m.name for m in KEYMAPS.values() if _fits({m.our_name(n) for n in state}, names))
        if _fits(set(state), names) or not (keymap := next(fitting, "")):
            return dict(state), ""
    chosen = KEYMAPS[keymap]
    try:
        return _without_optional(chosen.to_ours(state), names, chosen), keymap
    except (ValueError, IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadWeights(f"these weights are not {chosen.summary}: {reason}") from error


def may_lack(name: str, keymap: str) -> bool:
    """Whether a network's tensor may be absent from a file: batch counters, auxiliary heads."""
    optional = KEYMAPS[keymap].optional if keymap else ()
    return name.endswith(_COUNTER) or name.startswith(optional)


def _fits(found: set[str], own: set[str]) -> bool:
    return all(name.endswith(_COUNTER) for name in found ^ own)


def _without_optional(state: dict[str, Tensor], own: set[str], keymap: KeyMap) -> dict[str, Tensor]:
    """Leave out auxiliary heads that the network does not have."""
    return {
        name: tensor
        for name, tensor in state.items()
        if name in own or not name.startswith(keymap.optional)
    }


def say_names(names: Iterable[str]) -> str:
    """The first few of some names, and how many more there are.

    Example:
        >>> say_names(["b", "a"]), say_names("abcdefg")
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more


def nearest_variants(shapes: Shapes) -> tuple[tuple[str, ...], bool]:
    """The variants that some weights fit best.

    Only the few variants with about as many parameters are built, on the meta device.

    Args:
        shapes: of the tensors, under our names.

    Returns:
        the variants with most tensors in common, if these are four fifths at least, and whether
        that is all of them.
    """
    size = sum(_product(s) for name, s in shapes.items() if not name.endswith(_STATISTICS))
    differences = {name: abs(catalog.facts(name).params - size) for name in catalog.names()}
    near = sorted(differences, key=lambda name: differences[name])[:_CANDIDATES]
    shares = {
        name: _share(shapes, _shapes_of(name))
        for name in near
        if differences[name] <= _HEAD_SHARE * size
    }
    best = max(shares.values(), default=0.0)
    if best < _ALIKE_SHARE:
        return (), False
    return tuple(name for name, share in shares.items() if share == best), best == 1


def say_nearest(shapes: Shapes, *, besides: str = "") -> str:
    """End an error message with the variants that the weights would fit, if there are any."""
    found, exact = nearest_variants(shapes)
    names = " or ".join(name for name in found if name != besides)
    return f"; they {'would fit' if exact else 'are nearest to'} {names}" if names else ""


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _shapes_of(variant: str) -> dict[str, tuple[int, ...]]:
    with ShapesOnly():
        return shapes_of(build(variant).state_dict())


def _share(found: Shapes, expected: Shapes) -> float:
    """Tensors with the same name and shape, of all that either has; counters do not count."""
    one, other = (
        {item for item in side.items() if not item[0].endswith(_COUNTER)}
        for side in (found, expected)
    )
    return len(one & other) / max(len({n for n, _ in one | other}), 1)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
