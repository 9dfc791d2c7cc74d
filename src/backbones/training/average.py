"""The running average of a network's weights that is evaluated instead of them."""

from __future__ import annotations

import copy

import torch
from torch import nn


def decay_at(step: int, ema: float) -> float:
    """The decay of one update: small at first, so that the random start is soon forgotten.

    Args:
        step: updates made before this one.
        ema: the decay that it grows towards.

    Reference: `tf.train.ExponentialMovingAverage` with `num_updates`, as the recipes of
    Inception v3 and EfficientNet use it.

    Example:
        >>> decay_at(0, 0.999), decay_at(90, 0.999), decay_at(100_000, 0.999)
        (0.1, 0.91, 0.999)
    """
    return min(ema, (1 + step) / (10 + step))


def polyak_weight(step: int, since: int) -> float:
    """What the weights after step number `step` count in the plain mean of all since `since`.

    Reference: Polyak & Juditsky (1992), Acceleration of Stochastic Approximation by Averaging.

    Example:
        >>> [polyak_weight(step, 10) for step in (3, 10, 11, 13)]
        [1.0, 1.0, 0.5, 0.25]
    """
    return 1 / (max(0, step - since) + 1)


class Average:
    """A copy of a network whose parameters follow the original's slowly.

    Buffers (batch norm's running statistics) are averages already and are copied.

    Args:
        model: the network that trains.
        ema: decay of the average, between 0 and 1; None = the plain mean of every step.
        since: the first step, counted from 0, that the plain mean holds; until then it is the
            network itself.
    """

    def __init__(self, model: nn.Module, ema: float | None, since: int = 0) -> None:
        self.ema = ema
        self.since = since
        self.model = copy.deepcopy(model).eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow the network after its step number `step`, counted from 0."""
        if self.ema is None:
            weight = polyak_weight(step, self.since)
        else:
            weight = 1 - decay_at(step, self.ema)
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, weight)
        for copied, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            copied.copy_(buffer)
