"""What a TIFF's tags say about its numbers, where Pillow passes over them.

Pillow decodes; here is read what the numbers mean (which value is white, whether the fourth
channel is transparency), and refused what would come out wrong without a word.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from PIL import _imaging

from backbones.errors import BadImage

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 258, 259, 262, 277
_PLANAR, _SUB_IFDS, _INK_SET, _EXTRA, _FORMAT, _DNG_VERSION = 284, 330, 332, 338, 339, 50706
_BYTES_OF_TYPE = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # BYTE SHORT LONG IFD LONG8 IFD8
_OLD_JPEG = 6
_MOST_ENTRIES = 4096
_CONVERT = "convert it to 8-bit RGB or grey first"

# Photometric interpretations and how many channels each has of its own.
_PHOTOMETRICS = {
    0: ("min-is-white", 1),
    1: ("min-is-black", 1),
    2: ("RGB", 3),
    3: ("palette", 1),
    4: ("mask", 1),
    5: ("CMYK", 4),
    6: ("YCbCr", 3),
    8: ("CIE L*a*b*", 3),
    9: ("ICC L*a*b*", 3),
    32844: ("LogL", 1),
    32845: ("LogLuv", 3),
}
_CAMERA = (32803, 34892)  # colour filter array, linear raw
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "undefined", 5: "complex"}


@dataclass(frozen=True)
class DirectoryEntry:
    """One entry of a directory: its values stand at `at`."""

    tag: int
    count: int
    size: int
    at: int


@dataclass(frozen=True)
class Tags:
    """What the first directory of a TIFF says.

    Args:
        values: of each tag that matters here.
        photometric_at: where the value of the photometric interpretation stands, and its size.
        alone: whether the file has no other directory.
        order: of the bytes in a number.
    """

    values: dict[int, tuple[int, ...]]
    photometric_at: slice
    alone: bool
    order: Literal["little", "big"]

    def first(self, tag: int, default: int) -> int:
        return self.values.get(tag, (default,))[0]

    @property
    def bits(self) -> int:
        """Bits a sample."""
        return self.first(_BITS, 1)

    @property
    def has_alpha(self) -> bool:
        """Whether an extra channel is declared: a fourth one that is not may be anything."""
        return bool(self.values.get(_EXTRA))

    @property
    def inverted(self) -> bool:
        """Whether 0 is white in numbers of more than 8 bits, which Pillow takes as they are."""
        return self.first(_PHOTOMETRIC, 1) == 0 and self.bits > 8


def byte_order(data: bytes) -> Literal["little", "big"]:
    """In which order a TIFF writes its numbers."""
    return "little" if data[:2] == b"II" else "big"


def directory(data: bytes) -> tuple[list[DirectoryEntry], int]:
    """The entries of a TIFF's first directory, and where the next directory is.

    Returns:
        As many entries as can be read, none where this is no TIFF; and 0 where there is no other
        directory, -1 where this one is cut off.
    """
    if data[:2] not in (b"II", b"MM") or len(data) < 8:
        return [], 0
    order = byte_order(data)
    big = 43 in (data[2], data[3])  # BigTIFF: all offsets and counts have 8 bytes
    wide = 8 if big else 4

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    start = number(8, 8) if big else number(4, 4)
    count, start = number(start, 8 if big else 2), start + (8 if big else 2)
    step = 20 if big else 12
    found: list[DirectoryEntry] = []
    for at in range(
        start, min(start + step * min(count, _MOST_ENTRIES), len(data) - step + 1), step
    ):
        size = _BYTES_OF_TYPE.get(number(at + 2, 2), 0)
        values = number(at + 4, wide)
        place = at + 4 + wide
        if size * values > wide:
            place = number(place, wide)
        found.append(DirectoryEntry(number(at, 2), values, size, place))
    cut_off = start + step * count + wide > len(data)
    return found, -1 if cut_off else number(start + step * count, wide)


def read_tags(data: bytes) -> Tags | None:
    """The tags of a TIFF; None where this is none, or its directory is not whole."""
    found, following = directory(data)
    if not found or following < 0 or data[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return None
    order = byte_order(data)
    values: dict[int, tuple[int, ...]] = {}
    place = slice(0, 0)
    for entry in found:
        if not entry.size or not 1 <= entry.count <= 64:
            continue
        stop = entry.at + entry.size * entry.count
        values[entry.tag] = tuple(
            int.from_bytes(data[at : at + entry.size], order)
            for at in range(entry.at, stop, entry.size)
        )
        if entry.tag == _PHOTOMETRIC:
            place = slice(entry.at, entry.at + entry.size)
    return Tags(values, place, not following and _SUB_IFDS not in values, order)


def check_tags(tags: Tags) -> None:
    """Refuse what Pillow would take for something else.

    Raises:
        BadImage: with the reason.
    """
    photometric = tags.first(_PHOTOMETRIC, -1)
    if _DNG_VERSION in tags.values or photometric in _CAMERA:
        raise BadImage(f"a camera's raw file: {_CONVERT}")
    if tags.first(_SUBFILE, 0) & 1 and not tags.alone:
        raise BadImage("the first image in this TIFF is a thumbnail of another: save that alone")
    if photometric == -1 and tags.first(_COMPRESSION, 1) != _OLD_JPEG:
        raise BadImage("a TIFF that does not say whether 0 is black: it has no defined white")
    _, own = _PHOTOMETRICS.get(photometric, ("", 0))
    if tags.first(_SAMPLES, 1) - own > 3:
        raise BadImage(f"{describe(tags)}; only 1, 3 or 4 channels are read: {_CONVERT}")
    format = tags.first(_FORMAT, 1)
    if format == 2 or (format == 1 and tags.bits > 16):
        raise BadImage(f"{describe(tags)}, which have no defined white: {_CONVERT}")
    if _decoded_wrongly(tags, own):
        raise BadImage(f"{describe(tags)}, which Pillow decodes wrongly: {_CONVERT}")
    if photometric == 5 and tags.first(_INK_SET, 1) != 1:
        raise BadImage(f"a TIFF of inks that are not cyan, magenta, yellow and black: {_CONVERT}")


def _decoded_wrongly(tags: Tags, own: int) -> bool:
    """Whether Pillow 13 is known to mix up the bytes or planes, without a word."""
    compressed, extra = tags.first(_COMPRESSION, 1) != 1, tags.values.get(_EXTRA, ())
    if compressed and tags.first(_FORMAT, 1) == 3 and tags.order == "big":
        return True
    samples = tags.first(_SAMPLES, 1)
    if tags.first(_PLANAR, 1) != 2 or samples == 1:
        return False
    if tags.first(_PHOTOMETRIC, -1) not in (2, 5, 6) or samples > own + len(extra):
        return True
    return not compressed and (tags.bits != 8 or extra not in ((), (2,)))


def describe(tags: Tags) -> str:
    """A TIFF in one phrase.

    Example:
        >>> describe(Tags({258: (16, 16), 277: (2,), 262: (1,)}, slice(0, 0), True, 'little'))
        'a TIFF of 2 channels (min-is-black) of unsigned 16-bit numbers'
    """
    samples, photometric = tags.first(_SAMPLES, 1), tags.first(_PHOTOMETRIC, 0)
    name, _ = _PHOTOMETRICS.get(photometric, (f"photometric interpretation {photometric}", 0))
    kind = _FORMATS.get(tags.first(_FORMAT, 1), "unknown")
    channels = "1 channel" if samples == 1 else f"{samples} channels"
    if samples > 1 and tags.first(_PLANAR, 1) == 2:
        channels += " in separate planes"
    if tags.bits > 8 and tags.order == "big":
        kind = f"big-endian {kind}"
    return f"a TIFF of {channels} ({name}) of {kind} {tags.bits}-bit numbers"


def why_not(tags: Tags, decoder: str) -> str:
    """Why a TIFF with these tags was not opened, or, with what the decoder said, not decoded."""
    if not decoder:
        return f"{describe(tags)}, which is not read: {_CONVERT}"
    number = tags.first(_COMPRESSION, 1)
    name = _compressions().get(number, str(number))
    return (
        f"damaged, cut off or of a compression that is not read ({name}): {decoder}"
        if number != 1
        else decoder
    )


@functools.cache
def _compressions() -> dict[int, str]:
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    return dict(COMPRESSION_INFO)


def readable(data: bytes, tags: Tags) -> bytes:
    """The file as Pillow reads it: numbers of more than 8 bits always as if 0 were black."""
    if not tags.inverted:
        return data
    copy = bytearray(data)
    size = tags.photometric_at.stop - tags.photometric_at.start
    copy[tags.photometric_at] = (1).to_bytes(size, byte_order(data))
    return bytes(copy)


# --- libtiff writes its complaints to standard error --------------------------------------------

_lock = threading.Lock()
_inside = 0
_handler: int | None = None


@functools.cache
def _libtiff() -> ctypes.CDLL | None:
    """The libtiff that Pillow decodes with; None where its symbols are hidden."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler.restype = ctypes.c_void_p
        library.TIFFSetErrorHandler.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    return library


@contextlib.contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Take libtiff's error handler away while any thread decodes a TIFF, and put it back.

    The handler belongs to the process; other users of Pillow miss its lines for that long. What
    went wrong still comes out as an exception.
    """
    global _inside, _handler
    library = _libtiff()
    if library is None:
        yield
        return
    with _lock:
        if _inside == 0:
            _handler = library.TIFFSetErrorHandler(None)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                library.TIFFSetErrorHandler(_handler)
