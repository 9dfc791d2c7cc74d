"""What residual networks for large and for small images share: shortcuts, the basic block, start.

He, Zhang, Ren & Sun (2015), Deep Residual Learning for Image Recognition, arXiv:1512.03385.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from backbones.nn.init import he

# Section 4.1, and "none" for the plain twins of section 3.3. "A around" is option A with half of
# its maps of zeros on either side of those that are carried on, instead of all of them behind.
Option = Literal["A", "A around", "B", "C", "none"]


class ZeroMaps(nn.Module):
    """Option A: every `stride`-th pixel, and maps of zeros for those that are new.

    Args:
        stride: px.
        before, behind: maps of zeros on either side of the maps that are carried on.

    Shapes: (N, C, H, W) -> (N, before + C + behind, H / stride, W / stride), rounded up.

    Reference: section 3.3, option A.

    Example:
        >>> import torch
        >>> ZeroMaps(2, before=0, behind=1)(torch.ones(1, 2, 3, 3)).mean(dim=(2, 3)).tolist()
        [[1.0, 1.0, 0.0]]
    """

    def __init__(self, stride: int, *, before: int, behind: int) -> None:
        super().__init__()
        self.stride, self.before, self.behind = stride, before, behind

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.behind))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, before={self.before}, behind={self.behind}"


def convolution(in_channels: int, out_channels: int, kernel_px: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size but for its stride; batch norm follows, so no bias."""
    return nn.Conv2d(in_channels, out_channels, kernel_px, stride, kernel_px // 2, bias=False)


def shortcut(option: Option, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The layers on the way around a block; None where there are none.

    Args:
        option: "A" pads with maps of zeros and "B" projects where a block changes the shape; "C"
            projects around every block.
        in_channels, out_channels: that enter and leave the block.
        stride: px, of the block.
    """
    changes = stride != 1 or in_channels != out_channels
    if option == "none" or not (changes or option == "C"):
        return None
    if option in ("A", "A around"):
        new = out_channels - in_channels
        before = new // 2 if option == "A around" else 0
        return ZeroMaps(stride, before=before, behind=new - before)
    return nn.Sequential(
        convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut around them.

    Args:
        in_channels, out_channels: in, and inside and out.
        stride: px, of the first convolution.
        option: of the shortcut.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride), rounded up.

    Reference: figure 5, left. Parameter names are torchvision's.
    """

    expansion = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int, option: Option) -> None:
        super().__init__()
        self.residual = option != "none"
        self.conv1 = convolution(in_channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = convolution(out_channels, out_channels, 3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(option, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.residual:
            y += x if self.downsample is None else self.downsample(x)
        z: Tensor = self.relu(y)
        return z


def initialise_as_section_3_4(network: nn.Module) -> None:
    """Section 3.4: "as in [13]", He et al.; of their two forms fan-out, as in fb.resnet.torch.

    The fully connected layer keeps PyTorch's start but for its biases, zero as in fb.resnet.torch.
    Batch normalisation starts as the identity, at the end of a block too.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            he(layer, "fan_out")
        elif isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
