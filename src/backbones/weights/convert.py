"""Bundles of weights that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backbones.errors import BadWeights
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec
from backbones.weights.adapt import named_alike, sizes_of
from backbones.weights.bundle import Bundle, bundle_of
from backbones.weights.fit import say_nearest, shapes_of


def bundle_from(
    state: Mapping[str, Tensor],
    variant: str,
    *,
    spec: InputSpec,
    classes: Sequence[str] | None = None,
    keymap: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle of foreign weights, which must fit a network to the last tensor.

    Args:
        state: tensors by name; shared, not copied, where their layout is ours.
        variant: the network.
        spec: how a picture becomes its input.
        classes: names, in the order of the logits; numbers where None.
        keymap: the name of the map to our names; found by the names where empty.
        provenance: where the weights come from, in plain values.

    Raises:
        NotFound: no such variant.
        BadWeights: names, shapes or the number of classes do not fit.
    """
    with ShapesOnly():
        named, _ = named_alike(variant, build(variant).state_dict(), state, keymap)
        num_classes, in_channels = sizes_of(build(variant), named)
        network = build(variant, num_classes, in_channels)
    own = network.state_dict()
    wrong = [name for name in own if own[name].shape != named[name].shape]
    if wrong:
        name = wrong[0]
        raise BadWeights(
            f"these weights are not {variant}'s: {name} is {tuple(named[name].shape)}, expected"
            f" {tuple(own[name].shape)}{say_nearest(shapes_of(named), besides=variant)}"
        )
    complete = _complete(named, variant, num_classes, in_channels)
    network.load_state_dict(
        {name: tensor.to(own[name].dtype) for name, tensor in complete.items()}, assign=True
    )
    if classes is not None and len(classes) != num_classes:
        raise BadWeights(f"the weights have {num_classes} outputs, expected {len(classes)}")
    names = classes if classes is not None else [str(number) for number in range(num_classes)]
    return replace(
        bundle_of(network, classes=names, spec=spec),
        provenance=None if provenance is None else dict(provenance),
    )


def _complete(
    state: Mapping[str, Tensor], variant: str, num_classes: int, in_channels: int
) -> dict[str, Tensor]:
    """Fresh tensors for what the file may lack: zero for counters, seed 0 for auxiliary heads."""
    absent = {name for name, tensor in state.items() if tensor.is_meta}
    if all(name.endswith(".num_batches_tracked") for name in absent):
        return {**state, **{name: torch.zeros((), dtype=torch.long) for name in absent}}
    fresh = build(variant, num_classes, in_channels, seed=0).state_dict()
    return {**state, **{name: fresh[name] for name in absent}}
