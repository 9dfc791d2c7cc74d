"""From what a decoder hands over to RGB: which number is white, and whether alpha means anything.

A channel of transparency counts where the format or the file declares it. It does not in a TIFF
without ExtraSamples, in a TGA that has no attribute bits or calls them undefined, in a PSD whose
merged image has none, nor where a BMP, TGA or icon has nothing but zeros there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.data.tiff import Tags
from backbones.errors import BadImage

Pixels = npt.NDArray[np.uint8]

_STRIP_PIXELS = 1_000_000
_ZERO_ALPHA_IS_NONE = ("BMP", "DIB", "TGA", "ICO")


def to_rgb(image: Image.Image, data: bytes, tags: Tags | None) -> Pixels:
    """RGB uint8 (H, W, 3) of a loaded image.

    Args:
        image: loaded by Pillow.
        data: the file that it was loaded from.
        tags: of a TIFF; None for other formats.

    Raises:
        BadImage: its numbers have no defined white.
    """
    white = _white(image, tags)
    inverted = tags is not None and tags.inverted
    _mend_transparent_colour(image, data)
    see_through = image.has_transparency_data and _alpha_counts(image, data, tags)
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top, strip in _strips(image):
        rows = pixels[top : top + strip.height]
        if strip.mode.startswith("I") or strip.mode == "F":
            rows[:] = _grey(strip, white, inverted)[:, :, None]
        else:
            rows[:] = _on_white(strip) if see_through else np.asarray(_plain(strip))
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut a large image into rows of strips, so that it is never held three times."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        yield 0, image
        return
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def _grey(strip: Image.Image, white: float, inverted: bool) -> npt.NDArray[np.uint8]:
    values = np.asarray(strip)
    scaled = values.astype(np.float32) * (255.0 / white)
    rounded = np.rint(255 - scaled if inverted else scaled).clip(0, 255)
    grey: Pixels = rounded.astype(np.uint8)
    if isinstance(hidden := strip.info.get("transparency"), int):
        grey[values == hidden] = 255
    return grey


def _plain(strip: Image.Image) -> Image.Image:
    return strip if strip.mode == "RGB" else strip.convert("RGB")


def _on_white(strip: Image.Image) -> npt.NDArray[Any]:
    strip = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
    ground = Image.new("RGBA", strip.size, "white")
    ground.alpha_composite(strip)
    return np.asarray(ground.convert("RGB"))


def _white(image: Image.Image, tags: Tags | None) -> float:
    """The value that stands for white in an image of large numbers; 255 for all others."""
    if image.mode.startswith("I;16"):
        bits = 16 if tags is None else tags.bits  # a TIFF may declare 9 to 15 bits a sample
        return float(2**bits - 1)
    if image.mode == "I":  # of the formats that are read, a PGM that was scaled to 16 bits
        return 65535.0
    if image.mode != "F":
        return 255.0
    ranges = [
        (values.min(), values.max())
        for values in (np.asarray(strip) for _, strip in _strips(image))
    ]
    # NumPy's min and max let a NaN through, Pillow's and Python's may lose it
    low, high = float(np.min(ranges)), float(np.max(ranges))
    if low >= 0 and high <= 255:  # a NaN fails both comparisons
        return 1.0 if high <= 1 else 255.0
    raise BadImage(
        f"values from {low:g} to {high:g} have no defined white; convert it to 8 or 16 bits first"
    )


# --- alpha --------------------------------------------------------------------------------------


def _alpha_counts(image: Image.Image, data: bytes, tags: Tags | None) -> bool:
    if tags is not None:
        return tags.has_alpha
    if image.format == "TGA" and not _tga_has_alpha(data):
        return False
    if image.format == "PSD" and not _psd_has_alpha(data):
        return False
    if image.format in _ZERO_ALPHA_IS_NONE and image.mode == "RGBA":
        return bool(image.getchannel("A").getextrema() != (0, 0))
    return True


def _mend_transparent_colour(image: Image.Image, data: bytes) -> None:
    """Bring the one transparent colour of a PNG to the 8 bits to which Pillow brings the pixels.

    16-bit colours are compared by their upper bytes: Pillow has no others.
    """
    colour, depth = image.info.get("transparency"), data[24:25]
    if image.format != "PNG":
        return
    if image.mode == "L" and isinstance(colour, int) and depth in (b"\2", b"\4"):
        image.info["transparency"] = colour * 255 // (2 ** depth[0] - 1)
    elif image.mode == "RGB" and isinstance(colour, tuple) and depth == b"\x10":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _tga_has_alpha(data: bytes) -> bool:
    """Whether a TGA's attribute bits are its transparency.

    Raises:
        BadImage: its colours are multiplied by them, which is not undone here.

    Reference:
        Truevision TGA File Format Specification 2.0, fields 5.6 and 24.
    """
    if data[17] & 15 == 0:
        return False
    extension = int.from_bytes(data[-26:-22], "little")
    if not data.endswith(b"TRUEVISION-XFILE.\x00") or not extension:
        return True
    kind = data[extension + 494 : extension + 495]
    if kind == b"\4":
        raise BadImage("a TGA whose colours are multiplied by its alpha: convert it to PNG first")
    return kind == b"\3"


def _psd_has_alpha(data: bytes) -> bool:
    """Whether the first extra channel of a PSD is its transparency, and not a stored selection.

    Reference:
        Adobe Photoshop File Formats Specification, "Layer info": a negative layer count.
    """
    at = 26
    for _ in range(2):  # the sections of colour mode data and of image resources
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    layers = int.from_bytes(data[at + 4 : at + 8], "big")
    return layers > 0 and int.from_bytes(data[at + 8 : at + 10], "big", signed=True) < 0
