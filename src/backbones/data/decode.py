"""From the bytes of an image file to upright RGB pixels, or to `BadImage` with the reason.

Pillow is the reference. Where `simplejpeg` is installed it decodes plain JPEGs, in strict mode
and with the accurate transform and upsampling, so that its pixels are Pillow's; whatever it does
not like goes to Pillow for the verdict. What becomes of the unusual:

* the content decides what a file is, never its extension; of an animation, the first frame;
* EXIF orientation (and XMP's, where EXIF has none) is applied;
* transparency is laid on white: dropping it would show colours that nobody was meant to see;
  what is no transparency though it looks like it, `pixels` knows;
* 16-bit greys are scaled (65535 becomes 255), fewer bits by what the file declares, never clipped;
  floats are taken as 0..1 or 0..255 and refused outside of that, signed and 32-bit integers always;
* CMYK and LAB are converted as Pillow does; colour profiles are not applied, as in torchvision;
* texts and profiles in a PNG that Pillow will not read are left out, for the pixels are there.
"""

from __future__ import annotations

import contextlib
import functools
import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from backbones.data.allowance import DECODING, MOST_BYTES, give_back_after_large
from backbones.data.apart import decode_apart, is_worker, takes_long
from backbones.data.files import read_bytes
from backbones.data.jpeg_header import JpegHeader, num_scans, read_jpeg_header, unfinished
from backbones.data.pixels import Pixels, to_rgb
from backbones.data.png import without_metadata
from backbones.data.tiff import Tags, check_tags, quiet_libtiff, read_tags, readable, why_not
from backbones.errors import BadImage
from backbones.signatures import what_is

_T = TypeVar("_T")

MAX_PIXELS = 105_000_000
"""Larger images are refused by their header; a 102-megapixel camera's fit. So are those that would
take more than `MOST_BYTES`: WebP, and JPEGs of several scans that Pillow decodes, may have fewer
pixels."""

# Bytes a pixel: decoded by simplejpeg; by Pillow, with what is made of it; by libwebp.
_SIMPLEJPEG, _PILLOW, _WEBP = 3, 7, 16
_COEFFICIENT = 2  # of each component and pixel, where a JPEG has several scans
_LONG_SEARCH_BYTES = 4 * 2**20  # of a JPEG without markers; Pillow looks at each byte in Python

MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_500_000_000
"""Pixels times scans of a JPEG: about 10 s. Encoders write up to 12 scans; the largest may 14."""

# Readers that run other programs (EPS), need a handler or take any bytes for theirs stay out.
_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000"),
    *("PPM", "QOI", "ICO", "ICNS", "PCX", "SGI", "TGA", "PSD", "DDS"),
)
_EXIF_ORIENTATION = 0x0112


def decode(data: bytes, *, shorter_px: int | None = None) -> Pixels:
    """Decode one image.

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
    return decode_then(data, lambda pixels: pixels, shorter_px=shorter_px)


def decode_then(data: bytes, use: Callable[[Pixels], _T], *, shorter_px: int | None = None) -> _T:
    """Decode one image and make something smaller of it, before other large ones are decoded.

    Args:
        data, shorter_px: see `decode`.
        use: gets the pixels; it must not decode anything itself.

    Returns:
        What `use` returns.

    Raises:
        BadImage: it cannot be decoded.
    """
    with contextlib.ExitStack() as held:
        pixels = _decoded(data, shorter_px, held)
        give_back_after_large(pixels.size)
        return use(pixels)


def _decoded(data: bytes, shorter_px: int | None, held: contextlib.ExitStack) -> Pixels:
    """The pixels; `held` keeps the allowance for them."""
    header = read_jpeg_header(data)
    if header is not None and unfinished(data):
        raise BadImage("a JPEG that ends in zeros: the copy or download was not finished")
    if header is not None and header.plain:
        _check_size(header.width, header.height)
        if not header.one_scan:
            _check_scans(data, header.width, header.height)
        held.enter_context(DECODING.taken(len(data) + _fast_bytes(header, shorter_px)))
        pixels = _decode_fast(data, header, shorter_px)
        if pixels is not None:
            return _upright(pixels, header.orientation)
        held.close()
    lost = header is None and data[:2] == b"\xff\xd8" and len(data) > _LONG_SEARCH_BYTES
    if lost and not is_worker():
        return decode_apart(data, shorter_px)
    pixels, orientation = _tried(data, lambda data: _decode_reference(data, shorter_px, held))
    return _upright(pixels, orientation)  # a copy: Pillow's image is gone and left the room


def read_image(path: Path, *, shorter_px: int | None = None) -> Pixels:
    """Decode the image in a file; see `decode`.

    Raises:
        BadImage: it cannot be read or decoded; the message is the reason alone, without the path.
    """
    return decode(read_bytes(path), shorter_px=shorter_px)


read_picture = read_image
"""Its former name, which scripts of people still import."""


def image_facts(data: bytes) -> tuple[str, str, int, int]:
    """What the header says, without decoding: format, mode, width and height as stored.

    Raises:
        BadImage: the header cannot be read.

    Example:
        >>> image_facts(b"P6 2 1 255 " + bytes(6))
        ('PPM', 'RGB', 2, 1)
    """
    return _tried(data, _facts)


def _facts(data: bytes) -> tuple[str, str, int, int]:
    if tags := read_tags(data):
        check_tags(tags)
        data = readable(data, tags)
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        return str(image.format), image.mode, image.width, image.height


def _tried(data: bytes, read: Callable[[bytes], _T]) -> _T:
    """What `read` makes of a file, or of its pixels alone where the metadata is in the way.

    Raises:
        BadImage: neither can be read.
    """
    try:
        tiff = data[:2] in (b"II", b"MM")
        with _quiet(), quiet_libtiff() if tiff else contextlib.nullcontext():
            try:
                return read(data)
            except BadImage:
                raise
            except Exception:
                bare = without_metadata(data)
                if bare is None:
                    raise
                return read(bare)
    except BadImage:
        raise
    except Exception as error:  # a decoder may raise anything
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


def _fast_bytes(header: JpegHeader, shorter_px: int | None) -> int:
    factor = _shrink_factor(header.width, header.height, shorter_px)
    pixels = header.width * header.height
    kept = 0 if header.one_scan else _COEFFICIENT * header.components
    return pixels * _SIMPLEJPEG // factor**2 + pixels * kept


def _shrink_factor(width: int, height: int, shorter_px: int | None) -> int:
    if shorter_px is None:
        return 1
    return next((f for f in (8, 4, 2) if min(width, height) >= f * shorter_px), 1)


# --- the reference ------------------------------------------------------------------------------


def _decode_reference(
    data: bytes, shorter_px: int | None, held: contextlib.ExitStack
) -> tuple[Pixels, int]:
    """The pixels as they are stored, and the orientation."""
    if tags := read_tags(data):
        check_tags(tags)
        data = readable(data, tags)
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        each = _bytes_a_pixel(image, data)
        _check_size(*image.size, each)
        held.close()  # a file that is tried a second time
        held.enter_context(DECODING.taken(len(data) + each * image.width * image.height))
        if takes_long(_kind(image, data), *image.size):
            return decode_apart(data, shorter_px), 1
        return _loaded(image, data, tags, shorter_px)


def _bytes_a_pixel(image: Image.Image, data: bytes) -> int:
    """What decoding takes at most, Pillow's image and ours of it included."""
    if image.format == "WEBP":
        return _WEBP
    header = read_jpeg_header(data) if image.format in ("JPEG", "MPO") else None
    if header is None or header.one_scan:
        return _PILLOW
    return max(_PILLOW, _COEFFICIENT * header.components + 4)  # four in Pillow's image


def _loaded(
    image: Image.Image, data: bytes, tags: Tags | None, shorter_px: int | None
) -> tuple[Pixels, int]:
    if image.format in ("JPEG", "MPO"):
        _check_scans(data, *image.size)
        if shorter_px is not None:
            factor = _shrink_factor(*image.size, shorter_px)
            image.draft(None, (image.width // factor, image.height // factor))
    image.load()
    _check_size(*image.size)
    # asked after loading, because Pillow turns TIFFs by itself and then clears the tag
    orientation = _orientation(image)
    return to_rgb(image, data, tags), orientation


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(width: int, height: int, bytes_a_pixel: int = _PILLOW) -> None:
    if width < 1 or height < 1:
        raise BadImage(f"the size is {width} x {height} pixels")
    most = min(MAX_PIXELS, MOST_BYTES // bytes_a_pixel)
    if width * height > most:
        raise BadImage(
            f"{width} x {height} pixels are more than the {most // 10**6} million allowed"
        )


def _check_scans(data: bytes, width: int, height: int) -> None:
    """A decoder goes over all pixels for each scan, and a scan may have ten bytes."""
    header = read_jpeg_header(data)
    if header is not None and header.one_scan:
        return
    most = max(1, min(MAX_SCANS, MAX_SCANNED_PIXELS // (width * height)))
    if num_scans(data, most) > most:
        raise BadImage(f"a JPEG of {width} x {height} pixels in more than {most} scans")


def _kind(image: Image.Image, data: bytes) -> str:
    """The format, as `takes_long` tells them apart."""
    plain = image.format == "PPM" and data[:2] in (b"P1", b"P2", b"P3")
    return "PPM plain" if plain else str(image.format)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
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


# --- messages and warnings ----------------------------------------------------------------------


def _reason(data: bytes, error: Exception) -> str:
    if not data:
        return "the file is empty"
    unknown = isinstance(error, UnidentifiedImageError)
    text = " ".join(str(error).split())[:200]
    text = f"{text} ({type(error).__name__})" if text else type(error).__name__
    if tags := read_tags(data):
        return why_not(tags, "" if unknown else text)
    what = what_is(data)
    if what is not None and not what.endswith(" image"):
        return what
    if not unknown:
        return text
    if what is not None:
        return f"{what} whose header is damaged or cut off"
    return "not an image in any format that is read here"


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
