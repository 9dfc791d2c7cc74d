"""Stochastic depth: a residual branch is left out of a training step, image by image."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, zero the branch for some images and scale it up for the others.

    Args:
        p: probability with which an image loses the branch, 0 to below 1.

    Shapes: (N, C, H, W) -> the same.

    Reference: Huang et al. (2016), Deep Networks with Stochastic Depth, arXiv:1603.09382. There a
    whole batch loses the branch, and the survivors are scaled at evaluation; here, as in
    EfficientNet's released code ("drop connect"), each image for itself and while training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = 1.0 - self.p
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep).div_(keep)
        return x * kept

    def extra_repr(self) -> str:
        return f"p={self.p:g}"
