"""Auxiliary heads: classifiers half-way that help to train a deep network and then disappear."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class WithAuxiliary(NamedTuple):
    """What a network with auxiliary heads answers in training mode; in evaluation, logits alone.

    Args:
        logits: of the main head, (N, num_classes).
        auxiliary: logits of the auxiliary heads, the first one in the network first.
        weight: how much each auxiliary head's loss counts beside the main one's 1.

    Reference: Szegedy et al. (2014), Going Deeper with Convolutions, section 5: weight 0.3.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


def main_logits(output: Tensor | WithAuxiliary) -> Tensor:
    """The logits that count as the answer, (N, num_classes)."""
    return output.logits if isinstance(output, WithAuxiliary) else output


def total_loss(output: Tensor | WithAuxiliary, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss of the main head, and the weighted losses of the auxiliary heads where there are.

    Args:
        output: of a network, in either mode.
        loss: from logits (N, num_classes) to a number.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 1)
        >>> total_loss(WithAuxiliary(one, (one, 3 * one), 0.25), torch.sum).item()
        2.0
    """
    if not isinstance(output, WithAuxiliary):
        return loss(output)
    total = loss(output.logits)
    for logits in output.auxiliary:
        total = total + output.weight * loss(logits)
    return total
