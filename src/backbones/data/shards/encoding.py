"""What a packed shard holds of an image: its own file, or a smaller one made of it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass

from PIL import Image

from backbones.data.decode import decode, image_facts
from backbones.data.geometry import resized_size
from backbones.data.render import Pixels, resize_pixels
from backbones.data.sets.listing import is_image_name
from backbones.data.source import ArrayImages, Images
from backbones.errors import BadImage

JPEG_QUALITY = 95
_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")
_EXTENSIONS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


@dataclass(frozen=True)
class EncodedImage:
    """The file of one image.

    Args:
        data: its bytes.
        extension: with its dot.
    """

    data: bytes
    extension: str


def encoded_image(images: Images, index: int, shorter_px: int | None) -> EncodedImage:
    """The file of an image, as it is; as a PNG where the image sits decoded in memory.

    Args:
        images: that it is one of.
        index: which.
        shorter_px: a larger image is resized to this shorter side and stored upright, as a JPEG
            where it was stored with loss, else as a PNG. One that does not decode stays as it is,
            so that whoever reads it is told.

    Raises:
        BadImage: its bytes cannot be read.
    """
    if isinstance(images, ArrayImages):
        pixels: Pixels = images.array[index]
        if shorter_px is not None and min(pixels.shape[:2]) > shorter_px:
            pixels = _resized(pixels, shorter_px)
        return EncodedImage(_png(pixels), ".png")
    data = images.data(index)
    try:
        kind, _, width, height = image_facts(data)
        if shorter_px is None or min(width, height) <= shorter_px:
            return EncodedImage(data, _extension(images.name(index), kind))
        pixels = _resized(decode(data), shorter_px)
    except BadImage:
        return EncodedImage(data, _extension(images.name(index), "JPEG"))
    lossy = kind in _LOSSY
    return EncodedImage(_jpeg(pixels) if lossy else _png(pixels), ".jpg" if lossy else ".png")


def _resized(pixels: Pixels, shorter_px: int) -> Pixels:
    size = resized_size(pixels.shape[1], pixels.shape[0], shorter_px)
    return resize_pixels(pixels, *size, "bicubic")


def _extension(name: str, kind: str) -> str:
    own = os.path.splitext(name)[1].lower()
    return own if is_image_name(name) else _EXTENSIONS.get(kind, f".{kind.lower()}")


def _image(pixels: Pixels) -> Image.Image:
    grey = pixels.shape[2] == 1 or bool((pixels == pixels[:, :, :1]).all())
    return Image.fromarray(pixels[:, :, 0] if grey else pixels)


def _jpeg(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    _image(pixels).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def _png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    _image(pixels).save(out, "PNG")
    return out.getvalue()
