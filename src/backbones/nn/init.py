"""Initialisations that several papers share. They sample from torch's generator, as layers do.

On the meta device there are no numbers to sample, and PyTorch takes milliseconds over it.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import nn


def gaussian(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Weights from N(0, std^2), biases zero."""
    if layer.weight.is_meta:
        return
    nn.init.normal_(layer.weight, 0.0, std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def truncated_gaussian(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Weights from N(0, std^2), sampled again beyond two standard deviations; biases zero.

    What is left has 0.88 of the standard deviation.

    Reference: TensorFlow's `truncated_normal_initializer`, which Google's own networks use.
    """
    if layer.weight.is_meta:
        return
    nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def truncated_he(layer: nn.Conv2d | nn.Linear) -> None:
    """`truncated_gaussian` with the variance 2.6 / fan-in, of which He's 2 / fan-in is left.

    Reference: TF-slim's `variance_scaling_initializer`, the Inception networks' default.
    """
    fan_in = layer.weight[0].numel()
    truncated_gaussian(layer, math.sqrt(1.3 * 2 / fan_in))


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
