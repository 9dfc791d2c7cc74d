"""Initialisations that several papers share. They draw from torch's generator, as layers do."""

from __future__ import annotations

from typing import Literal

from torch import nn


def gaussian(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Weights from N(0, std^2), biases zero. On the meta device there is nothing to draw."""
    if layer.weight.is_meta:
        return
    nn.init.normal_(layer.weight, 0.0, std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def he(layer: nn.Conv2d | nn.Linear, mode: Literal["fan_in", "fan_out"]) -> None:
    """Weights from N(0, 2 / fan), biases zero: keeps the size of what passes through ReLUs.

    Args:
        mode: "fan_in" keeps the signal's size, "fan_out" the gradient's.

    Reference: He et al. (2015), Delving Deep into Rectifiers, section 2.2.
    """
    if layer.weight.is_meta:
        return
    nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
