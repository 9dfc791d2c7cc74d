"""Fitting weights to a network with other classes or other channels, and saying what changed.

Which tensors depend on the number of classes or channels is not declared anywhere: the network is
built on the meta device with one class (or channel) more, and the tensors whose shapes change are
the ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import BadWeights
from backbones.models import make
from backbones.nn.meta import ShapesOnly
from backbones.weights.fit import COUNTER, may_lack, read_as, say_names, shapes_of
from backbones.weights.heads import with_head
from backbones.weights.nearest import say_nearest
from backbones.weights.numbers import in_single_precision, refuse_non_finite

Shapes = dict[str, tuple[int, ...]]


def load_adapted(
    model: nn.Module, state: Mapping[str, Tensor], keymap: str = ""
) -> tuple[str, ...]:
    """Load all weights that fit; adapt the head and the first convolution where they must change.

    A head for other classes, of another form or none keeps the network's own fresh weights. A
    first convolution for other channels keeps its answer on an image whose channels are all equal:
    fewer channels take the sum of the old ones (3 -> 1: over RGB), more share them in turn (1 -> 3:
    a third each).

    Args:
        model: a network of this package; changed in place, and untouched where an error is raised.
        state: tensors by name, for the same variant with any number of classes and channels;
            under names of ours or of anybody that a key map is known for.
        keymap: the name of the map to use; found by the names where empty.

    Returns:
        A sentence for each change; empty where everything was loaded as it is.

    Raises:
        BadWeights: the weights are those of another network, names the first tensors that differ;
            or numbers are not finite.
        WrongUse: the file holds the network several times.
    """
    network: Any = model
    own = model.state_dict()
    state, changes, _ = named_alike(network, state, keymap)
    shapes = shapes_of(state)
    classes, channels = _dependent(network, 1, 0), _dependent(network, 0, 1)
    old_classes = _old_size(own, shapes, classes, network.num_classes)
    old_channels = _old_size(own, shapes, channels, network.in_channels)
    expected = _shapes(network, old_classes, old_channels)
    _check_shapes(network.row.name, expected, shapes)

    loaded = dict(state)
    if old_channels != network.in_channels and _is_separable(channels):
        loaded |= {name: own[name] for name in channels}
        changes.append(
            f"{_layers(channels)}: {network.in_channels} channels instead of {old_channels}, which"
            " a separable convolution cannot share, so it starts afresh"
        )
    elif old_channels != network.in_channels:
        for name in channels:
            loaded[name] = adapt_channels(state[name], network.in_channels)
        changes.append(_say_channels(channels, old_channels, network.in_channels))
    if old_classes != network.num_classes:
        loaded |= {name: own[name] for name in classes}
        changes.append(
            f"{_layers(classes)}: {network.num_classes} classes instead of {old_classes},"
            " so this head starts afresh"
        )
    loaded, more = in_single_precision(loaded, own)
    refuse_non_finite(loaded)
    model.load_state_dict(loaded)
    return (*changes, *more)


def sizes_of(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[int, int]:
    """The numbers of classes and of channels that some weights were made for.

    Args:
        model: a network of the variant, possibly on the meta device.
        state: the weights, under exactly its names.
    """
    network: Any = model
    own, shapes = model.state_dict(), shapes_of(state)
    return (
        _old_size(own, shapes, _dependent(network, 1, 0), network.num_classes),
        _old_size(own, shapes, _dependent(network, 0, 1), network.in_channels),
    )


def adapt_channels(weight: Tensor, new: int) -> Tensor:
    """Make a convolution's weight see another number of channels.

    Args:
        weight: (maps, old channels, kernel, kernel).
        new: channels that it must see.

    Example:
        >>> adapt_channels(torch.ones(1, 3, 1, 1), 1).flatten().tolist()
        [3.0]
        >>> adapt_channels(torch.full((1, 1, 1, 1), 3.0), 3).flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    old = weight.shape[1]
    if new < old:
        return torch.stack([weight[:, start::new].sum(dim=1) for start in range(new)], dim=1)
    turn = torch.arange(new) % old
    shared_by = torch.bincount(turn, minlength=old)[turn].to(weight)
    return weight[:, turn] / shared_by[None, :, None, None]


def named_alike(
    model: nn.Module, state: Mapping[str, Tensor], keymap: str = ""
) -> tuple[dict[str, Tensor], list[str], set[str]]:
    """Weights under exactly the names of a network, a sentence for each change, and what is fresh.

    Batch counters (files from before PyTorch 0.4.1 lack them), auxiliary heads and the head may be
    absent from the file; the network's own take their place. A head of one layer may have another
    name, or stand in an `nn.Sequential`.

    Args:
        model: the network, possibly on the meta device.
        state: the file's tensors, as `files.read_state` gives them.
        keymap: the name of the map to use; found by the names where empty.

    Returns:
        the tensors, the sentences, and names of the head's tensors that the file lacks.

    Raises:
        BadWeights: names are missing or unknown; lists them, and the variants that would fit.
        WrongUse: the file holds the network several times.
    """
    network: Any = model
    own = network.state_dict()
    reading = read_as(own, state, keymap)
    heads = {name for name in _dependent(network, 1, 0) if not may_lack(name)}
    found, changes = with_head(reading.state, own, heads)
    changes = [*reading.notes, *changes]
    area = {name.partition(".")[0] for name in heads}
    missing, extra = own.keys() - found, found.keys() - own
    fresh = {name for name in missing if not may_lack(name)}
    if not all(name.partition(".")[0] in area for name in fresh) or extra:
        parts = [f"{len(fresh)} tensors missing ({say_names(fresh)})"] if fresh else []
        parts += [f"{len(extra)} unknown ({say_names(extra)})"] if extra else []
        variant = network.row.name
        raise BadWeights(
            f"these weights are not {variant}'s: {', '.join(parts)}"
            + (
                say_nearest(shapes_of(state), besides=variant)
                or "; build the network they come from"
            )
        )
    auxiliary = {n.partition(".")[0] for n in missing - fresh if not n.endswith(COUNTER)}
    for layers in (_layers(sorted(fresh)), ", ".join(sorted(auxiliary))):
        changes += [f"{layers}: not in the file, so it starts afresh"] if layers else []
    return {name: found.get(name, own[name]) for name in own}, changes, fresh


def _shapes(network: Any, num_classes: int, in_channels: int) -> Shapes:
    with ShapesOnly():
        other = make(type(network), network.row, num_classes, in_channels)
    return shapes_of(other.state_dict())


def _dependent(network: Any, more_classes: int, more_channels: int) -> dict[str, int]:
    """Tensors whose shape follows the number of classes or channels, and in which dimension."""
    now = _shapes(network, network.num_classes, network.in_channels)
    then = _shapes(network, network.num_classes + more_classes, network.in_channels + more_channels)
    return {
        name: next(d for d, size in enumerate(shape) if size != now[name][d])
        for name, shape in then.items()
        if shape != now[name]
    }


def _old_size(
    own: Mapping[str, Tensor], shapes: Shapes, dependent: Mapping[str, int], new: int
) -> int:
    """The number of classes or channels that the weights were made for.

    A separable convolution has several filters a channel: its size is a multiple of the number.
    """
    for name, dimension in dependent.items():
        if len(shapes[name]) == own[name].dim():
            return shapes[name][dimension] * new // own[name].shape[dimension]
    return new


def _is_separable(channels: Mapping[str, int]) -> bool:
    """Whether the tensors that follow the number of channels are more than convolutions' inputs."""
    return any(dimension != 1 for dimension in channels.values())


def _check_shapes(variant: str, expected: Shapes, found: Shapes) -> None:
    wrong = [name for name in expected if expected[name] != found[name]]
    if wrong:
        listed = ", ".join(
            f"{name} is {found[name]}, expected {expected[name]}" for name in wrong[:3]
        )
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise BadWeights(
            f"these weights are not {variant}'s: {listed}{more}"
            + say_nearest(found, besides=variant)
        )


def _layers(names: Iterable[str]) -> str:
    """Layers of some tensors, each once."""
    return " and ".join(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _say_channels(names: Iterable[str], old: int, new: int) -> str:
    how = "summed" if new < old else "shared out in turn"
    return f"{_layers(names)}: {new} channels instead of {old}, the old weights {how} over them"
