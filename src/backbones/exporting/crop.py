"""The preprocessing of an evaluation as a graph that every runtime computes alike.

Runtimes disagree about antialiased resizing: some ignore the flag, and answer for other pixels. So
the resize is written as what it is, one small matrix a side, built from the image's own height and
width and multiplied in single precision. It follows PyTorch's resize of bytes: weights in 16 bits,
columns before rows, every value rounded to a grey level in between.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from backbones.spec import InputSpec, Interpolation

_WEIGHT_BITS = 15  # and a sign
_MOST_SHIFTED_BITS = 22


class CentreCrop(nn.Module):
    """Resize the shorter side with antialiasing, then cut out the centre; black outside.

    What `data.render` makes of `data.geometry.evaluation_framing`: single precision moves about one
    value of 10,000 to the next grey level, and none further.

    Args:
        spec: names size, resize and interpolation.

    Shapes: uint8 (N, H, W, C), of any H and W -> float32 (N, C, size, size), whole numbers from 0
        to 255.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.size, self.resize, self.interpolation = spec.size, spec.resize, spec.interpolation

    def forward(self, images: Tensor) -> Tensor:
        height = torch.scalar_tensor(images.shape[1], dtype=torch.int64)
        width = torch.scalar_tensor(images.shape[2], dtype=torch.int64)
        rows, columns = torch.arange(images.shape[1] + 1), torch.arange(images.shape[2] + 1)
        # One row and one column more, which have no share: a graph of PyTorch is not for sides of
        # one pixel where it was traced with more.
        x = pad(images.float(), (0, 0, 0, 1, 0, 1)).permute(0, 3, 1, 2)
        # `linear` and not `@`, which takes batches of one apart when a graph is made
        x = _grey_levels(linear(x, self._shares(columns, width, height)))
        x = linear(x.transpose(2, 3), self._shares(rows, height, width))
        return _grey_levels(x.transpose(2, 3))

    def _shares(self, places: Tensor, length: Tensor, other: Tensor) -> Tensor:
        """The share of each of a side's pixels in each pixel of the crop, (size, length).

        Args:
            places: 0, 1, ... of the side's pixels.
            length, other: of this side and of the other one, px.
        """
        resized = _resized(length, other, self.resize)
        # The first of the resized side comes along: its weights, which are the largest, decide
        # how many bits all have.
        crop = _start(resized, self.size) + torch.arange(self.size)
        wanted = torch.cat([torch.zeros(1, dtype=torch.int64), crop])[:, None]
        inside = (wanted >= 0) & (wanted < resized) & (places < length)
        if self.interpolation == "nearest":
            step = length.float() / resized.float()
            nearest = torch.floor((wanted.float() + 0.5) * step)
            nearest = torch.minimum(nearest, (length - 1).float())
            return ((nearest == places) & inside).float()[1:]
        # Twice the distance of two pixels' middles, times both lengths: whole numbers are exact.
        apart = ((2 * places + 1) * resized - (2 * wanted + 1) * length).abs()
        distances = apart.float() / (2 * torch.maximum(length, resized)).float()
        weights = _kernel(distances, self.interpolation) * inside
        return _rounded(weights / weights.sum(1, keepdim=True).clamp(min=1e-6))[1:]


class Normalise(nn.Module):
    """Grey levels to what the network sees, `(x / 255 - mean) / std` per channel.

    Args:
        spec: names mean and std.

    Shapes: (N, C, H, W) -> (N, C, H, W), float32.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        mean = torch.tensor(spec.mean, dtype=torch.float64)
        std = torch.tensor(spec.std, dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std)).float()[:, None, None])
        self.register_buffer("offset", (-mean / std).float()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x.float() * self.scale + self.offset


def _resized(length: Tensor, other: Tensor, shorter_px: int) -> Tensor:
    """A side after the shorter one got so many px, as `data.geometry.resized_size` has it."""
    longer = torch.div(length * shorter_px, other, rounding_mode="floor")
    return torch.where(length <= other, shorter_px, longer)


def _start(length: Tensor, size: int) -> Tensor:
    """Where the crop begins, as `data.geometry.centre_crop_box` has it: halves go to even."""
    room = length - size
    half = torch.div(room, 2, rounding_mode="floor")
    odd = half - 2 * torch.div(half, 2, rounding_mode="floor")
    return torch.where(room < 0, room - half, half + (room - 2 * half) * odd)


def _kernel(distances: Tensor, interpolation: Interpolation) -> Tensor:
    """The weight of a pixel at a distance, 1 being where the linear kernel ends."""
    if interpolation == "bilinear":
        return (1 - distances).clamp(min=0)
    x, a = distances, -0.5  # Keys (1981), Cubic convolution interpolation, equation 15
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _rounded(weights: Tensor) -> Tensor:
    """Weights as multiples of 2**-bits, with as many bits as the largest leaves in an int16."""
    powers = 2.0 ** torch.arange(1, _MOST_SHIFTED_BITS + 1)
    fits = weights.max() * powers + 0.5 < 2**_WEIGHT_BITS
    factor = torch.where(fits, powers, torch.ones(())).max()
    half = torch.where(weights < 0, -0.5, 0.5)
    return torch.trunc(weights * factor + half) / factor


def _grey_levels(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp(0, 255)
