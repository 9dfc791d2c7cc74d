"""From decoded pixels and a framing to the square that the network sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from backbones.data.allowance import give_back_after_large
from backbones.data.geometry import Box, Framing, cut_first, visible_part
from backbones.spec import Interpolation

Pixels = npt.NDArray[np.uint8]

# An image 100 times as long as it is wide would become enormous before its centre is cut out.
_MAX_RESIZED_PIXELS = 64_000_000
_LARGE_PIXELS = 2**20


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Grey by Pillow's formula (ITU-R 601-2) from RGB, or grey repeated three times.

    Args:
        pixels: uint8 (H, W, 1 or 3).
        channels: 1 or 3.

    Example:
        >>> with_channels(np.full((1, 1, 3), [255, 0, 0], dtype=np.uint8), 1).item()
        76
    """
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    give_back_after_large(pixels.size)
    return grey


def resize_pixels(pixels: Pixels, width: int, height: int, interpolation: Interpolation) -> Pixels:
    """Resize one image with antialiasing; bytes in, bytes out, as Pillow does within 2 levels.

    Args:
        pixels: uint8 (H, W, C).
        width, height: px, of the result.
        interpolation: "nearest" is without antialiasing, as everywhere.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    resized: Pixels = resize_batch(pixels[None], width, height, interpolation)[0]
    return resized


def resize_batch(images: Pixels, width: int, height: int, interpolation: Interpolation) -> Pixels:
    """Resize images of one size.

    The views are NumPy's: each call into PyTorch gives the interpreter's lock away, and with
    several threads it takes longer to get it back than to make a view.

    Shapes:
        images: uint8 (N, H, W, C). Result: uint8 (N, height, width, C), contiguous.
    """
    if images.shape[1:3] == (height, width):
        return images
    if not images.flags.writeable or not images.flags.c_contiguous:
        images = images.copy()
    # This layout, with the batch's stride intact, is what PyTorch's vectorised path looks for.
    planes = torch.from_numpy(images.transpose(0, 3, 1, 2))
    if interpolation == "nearest":
        planes = F.interpolate(planes, size=(height, width), mode="nearest-exact")
    else:
        planes = F.interpolate(planes, size=(height, width), mode=interpolation, antialias=True)
    return np.ascontiguousarray(planes.numpy().transpose(0, 2, 3, 1))


def render(pixels: Pixels, framing: Framing, interpolation: Interpolation) -> Pixels:
    """Cut, resize, cut out the window; what the window shows outside of the image is black.

    Args:
        pixels: uint8 (H, W, C).
        framing: for an image of this size.
        interpolation: of the resize.

    Returns:
        uint8 (window height, window width, C).
    """
    if framing.resized[0] * framing.resized[1] > _MAX_RESIZED_PIXELS:
        framing = cut_first(framing)
    cut, (width, height), window = framing
    pixels = pixels[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
    pixels = resize_pixels(pixels, width, height, interpolation)
    return cut_window(pixels, window)


def cut_window(pixels: Pixels, window: Box) -> Pixels:
    """The window of an image, or the same one of many; black where it lies outside.

    A window of a large picture is a copy, so that the picture can go; of a small one a view.

    Shapes:
        pixels: uint8 (H, W, C) or (N, H, W, C).
    """
    *many, height, width, channels = pixels.shape
    if window == (0, 0, width, height):
        return pixels
    seen = visible_part(window, width, height)
    inside = pixels[..., seen.top : seen.top + seen.height, seen.left : seen.left + seen.width, :]
    if (seen.height, seen.width) == (window.height, window.width):
        return inside.copy() if width * height > _LARGE_PIXELS else inside
    canvas = np.zeros((*many, window.height, window.width, channels), dtype=np.uint8)
    left, top = seen.left - window.left, seen.top - window.top
    canvas[..., top : top + seen.height, left : left + seen.width, :] = inside
    return canvas
