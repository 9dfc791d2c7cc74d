"""From the bytes of a picture file to upright RGB pixels, or to `BadImage` with the reason.

Pillow is the reference. Where `simplejpeg` is installed it decodes plain JPEGs, in strict mode
and with the accurate transform and upsampling, so that its pixels are Pillow's; whatever it does
not like goes to Pillow for the verdict. What becomes of the unusual:

* the content decides what a file is, never its extension; of an animation, the first frame;
* EXIF orientation (and XMP's, where EXIF has none) is applied;
* transparency is laid on white: dropping it would show colours that nobody was meant to see;
* 16-bit greys are scaled (65535 becomes 255), fewer bits by what the file declares, never clipped;
  32-bit integers are taken as 16-bit and floats as 0..1 or 0..255, and refused outside of that;
* CMYK and LAB are converted as Pillow does; colour profiles are not applied, as in torchvision.
"""

from __future__ import annotations

import functools
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from backbones.data.files import read_bytes
from backbones.data.jpeg_header import JpegHeader, read_jpeg_header
from backbones.errors import BadImage

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 105_000_000
"""Larger pictures are refused by their header. Decoding takes 7 bytes a pixel (9 for a progressive
JPEG) besides the file itself, so that all others stay under 1 GB; a 102-megapixel camera fits."""

# Readers that run other programs (EPS), need a handler or take any bytes for theirs stay out.
_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000"),
    *("PPM", "QOI", "ICO", "ICNS", "PCX", "SGI", "TGA", "PSD", "DDS"),
)
_STRIP_PIXELS = 4_000_000
_EXIF_ORIENTATION = 0x0112


def decode(data: bytes, *, shorter_px: int | None = None) -> Pixels:
    """Decode one picture.

    Args:
        data: the whole file.
        shorter_px: how many pixels of the shorter side will be needed, at least 1. A JPEG may
            then come out at 1/2, 1/4 or 1/8 of its size, the smallest whose shorter side still
            has as many; other formats come out whole.

    Returns:
        RGB uint8 (H, W, 3), upright, contiguous.

    Raises:
        BadImage: it cannot be decoded; the message is the reason alone, in one line.

    Example:
        >>> decode(b"P6 2 1 255 " + bytes([255, 0, 0, 0, 0, 255])).tolist()
        [[[255, 0, 0], [0, 0, 255]]]
    """
    header = read_jpeg_header(data)
    if header is not None and header.plain:
        _check_size(header.width, header.height)
        pixels = _decode_fast(data, header, shorter_px)
        if pixels is not None:
            return _upright(pixels, header.orientation)
    try:
        with _quiet():
            return _decode_reference(data, shorter_px)
    except BadImage:
        raise
    except Exception as error:  # a decoder may raise anything
        raise BadImage(_reason(data, error)) from error


def read_picture(path: Path, *, shorter_px: int | None = None) -> Pixels:
    """Decode the picture in a file; see `decode`.

    Raises:
        BadImage: it cannot be read or decoded; the message is the reason alone, without the path.
    """
    return decode(read_bytes(path), shorter_px=shorter_px)


def picture_facts(data: bytes) -> tuple[str, str, int, int]:
    """What the header says, without decoding: format, mode, width and height as stored.

    Raises:
        BadImage: the header cannot be read.

    Example:
        >>> picture_facts(b"P6 2 1 255 " + bytes(6))
        ('PPM', 'RGB', 2, 1)
    """
    try:
        with _quiet(), Image.open(io.BytesIO(data), formats=_formats()) as picture:
            return str(picture.format), picture.mode, picture.width, picture.height
    except Exception as error:
        raise BadImage(_reason(data, error)) from error


# --- the fast path ------------------------------------------------------------------------------


@functools.cache
def _simplejpeg() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    module: ModuleType = simplejpeg
    return module


def _decode_fast(data: bytes, header: JpegHeader, shorter_px: int | None) -> Pixels | None:
    """Decode with simplejpeg, or None where Pillow must judge."""
    library = _simplejpeg()
    if library is None:
        return None
    factor = _shrink_factor(header.width, header.height, shorter_px)
    try:
        # libjpeg rounds scaled sizes up: asking for exactly that size pins the factor
        pixels: Pixels = library.decode_jpeg(
            data,
            "RGB",
            fastdct=False,
            fastupsample=False,
            min_height=-(-header.height // factor),
            min_width=-(-header.width // factor),
            min_factor=factor,
            strict=True,
        )
    except Exception:  # strict: every doubt is an error, also those that Pillow forgives
        return None
    return pixels


def _shrink_factor(width: int, height: int, shorter_px: int | None) -> int:
    if shorter_px is None:
        return 1
    return next((f for f in (8, 4, 2) if min(width, height) >= f * shorter_px), 1)


# --- the reference ------------------------------------------------------------------------------


def _decode_reference(data: bytes, shorter_px: int | None) -> Pixels:
    with Image.open(io.BytesIO(data), formats=_formats()) as picture:
        _check_size(*picture.size)
        if shorter_px is not None and picture.format in ("JPEG", "MPO"):
            factor = _shrink_factor(*picture.size, shorter_px)
            picture.draft(None, (picture.width // factor, picture.height // factor))
        picture.load()
        _check_size(*picture.size)
        # asked after loading, because Pillow turns TIFFs by itself and then clears the tag
        orientation = _orientation(picture)
        pixels = _rgb(picture)
    return _upright(pixels, orientation)


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadImage(f"the size is {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise BadImage(
            f"{width} x {height} pixels are more than the {MAX_PIXELS // 10**6} million allowed"
        )


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # broken metadata says nothing about the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo what EXIF says was done: 2 to 4 mirror and turn, 5 to 8 also swap the sides."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _rgb(picture: Image.Image) -> Pixels:
    white = _white(picture)
    pixels = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    for top, strip in _strips(picture):
        pixels[top : top + strip.height] = _strip_rgb(strip, white)
    return pixels


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut a large picture into rows of strips, so that it is never held three times."""
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        yield 0, picture
        return
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(height, top + rows)))


def _strip_rgb(strip: Image.Image, white: float) -> npt.NDArray[Any]:
    if strip.mode.startswith("I") or strip.mode == "F":
        values = np.asarray(strip)
        grey = np.rint(values.astype(np.float32) * (255.0 / white)).clip(0, 255).astype(np.uint8)
        if isinstance(hidden := strip.info.get("transparency"), int):
            grey[values == hidden] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        ground = Image.new("RGBA", strip.size, "white")
        ground.alpha_composite(strip)
        strip = ground
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _white(picture: Image.Image) -> float:
    """The value that stands for white in a picture of large numbers; 255 for all others."""
    if picture.mode.startswith("I;16"):
        tags = getattr(picture, "tag_v2", {})  # a TIFF may declare 9 to 15 bits a sample
        bits = tags.get(258, (16,))[0]
        return float(2**bits - 1) if 8 < bits < 16 else 65535.0
    if picture.mode not in ("I", "F"):
        return 255.0
    ranges = [
        (values.min(), values.max())
        for values in (np.asarray(strip) for _, strip in _strips(picture))
    ]
    # NumPy's min and max let a NaN through, Pillow's and Python's may lose it
    low, high = float(np.min(ranges)), float(np.max(ranges))
    if picture.mode == "I" and low >= 0 and high <= 65535:
        return 65535.0
    if picture.mode == "F" and low >= 0 and high <= 255:  # a NaN fails both comparisons
        return 1.0 if high <= 1 else 255.0
    raise BadImage(
        f"values from {low:g} to {high:g} have no defined white; convert it to 8 or 16 bits first"
    )


# --- messages and warnings ----------------------------------------------------------------------


def _reason(data: bytes, error: Exception) -> str:
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in any format that is read here"
    if isinstance(error, BadImage):
        return str(error)
    text = " ".join(str(error).split())[:200]
    return f"{text} ({type(error).__name__})" if text else type(error).__name__


_decoding = threading.local()


class _OnlyWhereDecoding(type):
    def __subclasscheck__(cls, other: type) -> bool:
        return getattr(_decoding, "depth", 0) > 0


class _DecoderWarning(Warning, metaclass=_OnlyWhereDecoding):
    """Stands for every warning raised on a thread that is inside `_quiet`, and for no other."""


class _quiet:
    """Silence warnings about metadata, on this thread alone.

    `warnings.catch_warnings` swaps a list that all threads share, so it cannot be used by
    decoder threads. A filter whose category matches by thread can: it is put in once, in front,
    and again only when somebody else's filters came before it.
    """

    def __enter__(self) -> None:
        _decoding.depth = getattr(_decoding, "depth", 0) + 1
        first: Any = warnings.filters[0] if warnings.filters else (None, None, None)
        if first[2] is not _DecoderWarning:
            warnings.simplefilter("ignore", _DecoderWarning)

    def __exit__(self, *_: object) -> None:
        _decoding.depth -= 1
