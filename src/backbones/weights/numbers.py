"""The numbers of weights: of one precision, finite, and no variance below zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backbones.errors import BadWeights
from backbones.weights.fit import COUNTER
from backbones.weights.pickles import printable

_VARIANCES = ("running_var", "moving_variance")  # PyTorch's and Keras' names

NON_FINITE = "non_finite"
"""In a bundle's provenance: somebody allowed numbers that are not finite."""


def in_single_precision(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of half or double precision in the network's single one.

    Args:
        state: under the network's names.
        own: the network's tensors, possibly on the meta device.

    Returns:
        the tensors, and a sentence where some were of another precision.

    Raises:
        BadWeights: whole numbers where the network has fractions, or the other way round.
    """
    kinds = set()
    for name, tensor in state.items():
        if name.endswith(COUNTER):
            continue  # people turn whole checkpoints, counters too
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise BadWeights(
                f"{printable(name)} has the type {tensor.dtype}, expected {own[name].dtype}"
            )
        if tensor.is_floating_point() and tensor.dtype != own[name].dtype:
            kinds.add(str(tensor.dtype).removeprefix("torch."))
    said = ", ".join(sorted(kinds))
    notes = [f"numbers of {said} are turned to float32"] if kinds else []
    return {name: tensor.to(own[name].dtype) for name, tensor in state.items()}, notes


def refuse_non_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse weights that hold infinities, or what is not a number, or whose answers would be that.

    Raises:
        BadWeights: names the first tensor, and how many of its numbers, and how many tensors more;
            or a variance of batch norm below zero.
    """
    for name, tensor in state.items():
        if name.endswith(_VARIANCES) and not tensor.is_meta and bool((tensor < 0).any()):
            raise BadWeights(
                f"{printable(name)} goes down to {float(tensor.min()):.3g}, and a variance is never"
                " below zero: such weights have no answer; the file is damaged or was edited"
            )
    bad = {name: count for name, tensor in state.items() if (count := _not_finite(tensor))}
    if bad:
        name, count = next(iter(bad.items()))
        more = f", and {len(bad) - 1} more tensors hold some" if len(bad) > 1 else ""
        raise BadWeights(
            f"{count:,} of {state[name].numel():,} numbers of {printable(name)} are not finite"
            f" (NaN or infinite){more}: such weights have no answer; take a checkpoint from before"
            " the training diverged"
        )


def _not_finite(tensor: Tensor) -> int:
    """How many numbers are not finite; a sum over all tells quickly that none is."""
    if tensor.is_meta or not tensor.is_floating_point():
        return 0
    if bool(torch.isfinite(tensor.sum(dtype=torch.float64))):
        return 0
    return int((~torch.isfinite(tensor)).sum())
