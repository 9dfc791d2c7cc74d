"""Average pooling to a fixed size, with a gradient that is the same each time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AveragePoolTo(nn.AdaptiveAvgPool2d):
    """PyTorch's adaptive average pooling to (side, side); in deterministic mode without its kernel.

    That kernel has no deterministic gradient on a GPU.

    Args:
        side: px, of the maps that come out.

    Shapes: (N, C, H, W) -> (N, C, side, side).
    """

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return average_to(x, self.side)


def average_to(x: Tensor, side: int) -> Tensor:
    """What `AveragePoolTo` computes.

    Shapes: (N, C, H, W) -> (N, C, side, side).
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.adaptive_avg_pool2d(x, side)
    height, width = x.shape[2:]
    if (height, width) == (side, side):
        return x
    if height % side == 0 and width % side == 0:
        return F.avg_pool2d(x, (height // side, width // side))
    rows, columns = _shares(height, side, x), _shares(width, side, x)
    return rows @ x @ columns.T


def _shares(length: int, side: int, like: Tensor) -> Tensor:
    """The share that each of `length` pixels has in each of `side` windows, (side, length)."""
    shares = torch.zeros(side, length, dtype=like.dtype)
    for place in range(side):
        first, end = place * length // side, -(-(place + 1) * length // side)
        shares[place, first:end] = 1 / (end - first)
    return shares.to(like.device)
