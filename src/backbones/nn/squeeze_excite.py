"""Squeeze-and-excitation: each map is scaled by what the whole image shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SqueezeExcite(nn.Module):
    """Average every map, pass the averages through a bottleneck, and gate the maps with the answer.

    SiLU inside and a sigmoid gate, as EfficientNet has them; `fc1` and `fc2` are 1x1 convolutions
    with biases, which on averages are fully connected layers.

    Args:
        maps: in and out.
        squeezed: width of the bottleneck.

    Shapes: (N, maps, H, W) -> the same.

    Reference: Hu et al. (2018), Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """

    def __init__(self, maps: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(maps, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        averages = x.mean(dim=(2, 3), keepdim=True)
        gate = torch.sigmoid(self.fc2(F.silu(self.fc1(averages), inplace=True)))
        return x * gate
