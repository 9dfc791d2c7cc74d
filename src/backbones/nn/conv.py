"""The units that the Inception networks are made of: convolution, batch normalisation, ReLU."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormAct(nn.Module):
    """Convolution (without bias), batch normalisation, ReLU; or convolution with bias and ReLU.

    Args:
        in_channels, out_channels: in and out.
        kernel: px; a pair is (height, width), as in Inception's 1x7 and 7x1.
        stride: px.
        padding: px on each side, one number or a pair as in `kernel`.
        norm_eps: of the batch normalisation; None leaves it out and gives the convolution a bias.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H', W').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        norm_eps: float | None = 1e-3,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, bias=norm_eps is None
        )
        self.bn = None if norm_eps is None else nn.BatchNorm2d(out_channels, eps=norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x, inplace=True)


class SeparableNormAct(nn.Module):
    """A convolution of each channel by itself, one 1x1 that mixes them, batch norm, ReLU.

    Args:
        in_channels, out_channels: in and out.
        kernel_px: side of the window, which moves by 2.
        depth_multiplier: maps made of each channel.
        norm_eps: of the batch normalisation; None leaves it out and gives the 1x1 a bias.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H/2, W/2), rounded up.

    Reference: Szegedy et al. (2014), Table 1; Ioffe & Szegedy (2015), the appendix.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        depth_multiplier: int,
        *,
        norm_eps: float | None = 1e-3,
    ) -> None:
        super().__init__()
        between = in_channels * depth_multiplier
        around = kernel_px // 2
        self.depthwise = nn.Conv2d(
            in_channels, between, kernel_px, 2, around, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(between, out_channels, 1, bias=norm_eps is None)
        self.bn = None if norm_eps is None else nn.BatchNorm2d(out_channels, eps=norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pointwise(self.depthwise(x))
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x, inplace=True)
