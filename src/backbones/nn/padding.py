"""TensorFlow's SAME padding, which PyTorch's convolutions cannot say, and a choice between the two.

At stride 2 an even side needs an odd number of pixels in all. TensorFlow puts the odd one at the
bottom and on the right; padding by `kernel // 2` puts one too many at the top and on the left and
sees other pixels. Weights trained in one way lose accuracy in the other.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Padding = Literal["same", "symmetric"]


def same_padding(size_px: int, kernel_px: int, stride: int) -> tuple[int, int]:
    """Pixels (before, after) one side, so that the output has ceil(size / stride) places.

    Example:
        >>> same_padding(224, 3, 2), same_padding(225, 3, 2), same_padding(224, 5, 2)
        ((0, 1), (1, 1), (1, 2))
    """
    places = -(-size_px // stride)
    total = max((places - 1) * stride + kernel_px - size_px, 0)
    return total // 2, total - total // 2


class SamePadConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does. Parameters as `nn.Conv2d` has them.

    Shapes: (N, C, H, W) -> (N, maps, ceil(H / stride), ceil(W / stride)).
    """

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1])
        padding = (top, left)
        free = isinstance(top, torch.SymInt) or isinstance(left, torch.SymInt)  # in an export
        if free or (top, left) != (bottom, right):  # only then is a padded copy needed
            x = F.pad(x, (left, right, top, bottom))
            padding = (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


def padded_conv(
    in_channels: int,
    out_channels: int,
    kernel_px: int,
    padding: Padding,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution without bias that keeps the map's size, but for the stride.

    At stride 1 and with an odd kernel the two paddings are the same one.

    Args:
        in_channels, out_channels: in and out.
        kernel_px: odd side of the kernel.
        padding: "same" as TensorFlow, "symmetric" by half a kernel on every side.
        stride: px.
        groups: as many as channels make the convolution depthwise.
    """
    if padding == "same" and stride > 1:
        return SamePadConv2d(
            in_channels, out_channels, kernel_px, stride, groups=groups, bias=False
        )
    half = kernel_px // 2
    return nn.Conv2d(in_channels, out_channels, kernel_px, stride, half, groups=groups, bias=False)
