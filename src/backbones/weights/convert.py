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
from backbones.weights.fit import say_names, shapes_of
from backbones.weights.nearest import say_nearest
from backbones.weights.numbers import NON_FINITE, in_single_precision, refuse_non_finite

_GREY = (0.449, 0.226)  # mean and deviation of ImageNet's three, averaged


def bundle_from(
    state: Mapping[str, Tensor],
    variant: str,
    *,
    spec: InputSpec,
    classes: Sequence[str] | None = None,
    keymap: str = "",
    provenance: Mapping[str, Any] | None = None,
    allow_non_finite: bool = False,
) -> Bundle:
    """A bundle of foreign weights, which must fit a network to the last tensor.

    Args:
        state: tensors by name; shared, not copied, where their layout is ours.
        variant: the network.
        spec: how an image becomes its input.
        classes: names, in the order of the logits; numbers where None.
        keymap: the name of the map to our names; found by the names where empty.
        provenance: where the weights come from, in plain values; what was changed on the way is
            added to it under "changes".
        allow_non_finite: take infinities and what is not a number; the bundle says so.

    Raises:
        NotFound: no such variant.
        BadWeights: names, shapes or the number of classes do not fit; there is no head; numbers
            are not finite.
        WrongUse: the file holds the network several times.
    """
    with ShapesOnly():
        named, changes, fresh = named_alike(build(variant), state, keymap)
        _refuse_headless(variant, fresh, changes)
        num_classes, in_channels = sizes_of(build(variant), named)
        network = build(variant, num_classes, in_channels)
    own = network.state_dict()
    wrong = [name for name in own if own[name].shape != named[name].shape]
    if wrong:
        name = wrong[0]
        raise BadWeights(
            f"these weights are not {variant}'s: {name} is {tuple(named[name].shape)}, expected"
            f" {tuple(own[name].shape)}{say_nearest(shapes_of(state), besides=variant)}"
        )
    complete = _complete(named, variant, num_classes, in_channels)
    plain, more = in_single_precision(complete, own)
    if not allow_non_finite:
        refuse_non_finite(plain)
    network.load_state_dict(plain, assign=True)
    if classes is not None and len(classes) != num_classes:
        raise BadWeights(f"the weights have {num_classes} outputs, expected {len(classes)}")
    names = classes if classes is not None else [str(number) for number in range(num_classes)]
    spec, how = _spec_for(spec, in_channels)
    bundle = bundle_of(network, classes=names, spec=spec)
    said: dict[str, Any] = {"changes": [*changes, *more, *how]} if changes or more or how else {}
    if allow_non_finite:
        said |= {NON_FINITE: "allowed"}
    known = None if provenance is None and not said else {**(provenance or {}), **said}
    return replace(bundle, provenance=known)


def _refuse_headless(variant: str, fresh: set[str], changes: list[str]) -> None:
    if fresh:
        why = "".join(f" ({change})" for change in changes if "another form" in change)
        raise BadWeights(
            f"these weights have no head for {variant}, {say_names(fresh)} are missing{why}, so"
            f" they cannot answer; train one: `backbones train DATA --model {variant} --weights"
            " FILE`"
        )


def _spec_for(spec: InputSpec, channels: int) -> tuple[InputSpec, list[str]]:
    """The same input for another number of channels, and a sentence where that is a guess."""
    if spec.channels == channels:
        return spec, []
    if channels not in (1, 3):
        raise BadWeights(f"these weights are for {channels} channels; images here have 1 or 3")
    usual = InputSpec(spec.size, spec.resize)
    if channels == 1:
        mean, std = _GREY
        usual = replace(usual, channels=1, mean=(mean,), std=(std,))
    return usual, [
        f"made for {channels} channels: the file does not say of which mean and deviation, so"
        f" {usual.mean} and {usual.std} are taken"
    ]


def _complete(
    state: Mapping[str, Tensor], variant: str, num_classes: int, in_channels: int
) -> dict[str, Tensor]:
    """Fresh tensors for what the file may lack: zero for counters, seed 0 for auxiliary heads."""
    absent = {name for name, tensor in state.items() if tensor.is_meta}
    if all(name.endswith(".num_batches_tracked") for name in absent):
        return {**state, **{name: torch.zeros((), dtype=torch.long) for name in absent}}
    fresh = build(variant, num_classes, in_channels, seed=0).state_dict()
    return {**state, **{name: fresh[name] for name in absent}}
