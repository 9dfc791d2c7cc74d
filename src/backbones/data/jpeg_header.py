"""What a JPEG's markers say, read without decoding a pixel: size, components, orientation.

A full EXIF parse costs more than the header of a small photo is worth; the one number that
changes pixels, the orientation, is found here in a few microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from backbones.data.tiff import byte_order, directory

_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive DCT, Huffman coded
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_ONE_PASS = {0xC0, 0xC1}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # not a stuffed byte, restart or filling
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


@dataclass(frozen=True)
class JpegHeader:
    """The facts that decide how a JPEG is decoded.

    Args:
        width: pixels, as stored, before the orientation is applied.
        height: pixels, as stored.
        components: 1 grey, 3 colour, 4 CMYK or YCCK.
        orientation: 1 to 8 as EXIF counts them; 1 is upright.
        plain: whether it is 8-bit Huffman-coded DCT in one or three components.
        one_scan: whether a decoder reads one scan and no more, however many there are.
    """

    width: int
    height: int
    components: int
    orientation: int
    plain: bool
    one_scan: bool


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Walk the markers up to the frame header and, past it, to the first scan.

    Returns:
        The header, or None where the markers don't add up: another decoder must judge then.
    """
    if data[:2] != b"\xff\xd8":
        return None
    exif = xmp = 0
    frame: tuple[int, int, int, bool] | None = None
    sequential = one_scan = False
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in (0xD8, 0xD9) or 0xD0 <= marker <= 0xD7 or marker == 0x01:
            return None  # a marker without a length has no place before the scan
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + size]
        if marker == 0xDA:
            one_scan = sequential and frame is not None and body[:1] == bytes([frame[2]])
            break
        if marker == 0xE1 and not exif and body[:6] == b"Exif\x00\x00":
            exif = tiff_orientation(body[6:])
        elif marker == 0xE1 and body.startswith(_XMP):
            found = _XMP_ORIENTATION.search(body)
            xmp = int(found[1]) if found else 0
        elif marker in _FRAMES or marker in _OTHER_FRAMES:
            if len(body) < 6:
                return None
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            plain = marker in _FRAMES and body[0] == 8 and body[5] in (1, 3)
            frame = (width, height, body[5], plain)
            sequential = marker in _ONE_PASS
        position += 2 + size
    if frame is None:
        return None
    return JpegHeader(frame[0], frame[1], frame[2], exif or xmp or 1, frame[3], one_scan)


def num_scans(data: bytes, enough: int) -> int:
    """How many scans a JPEG's first image has; counting ends a little above `enough`."""
    if data.count(b"\xff\xda") <= enough:  # with those of thumbnails, and of what follows the end
        return enough
    scans, position = 0, 2
    while scans <= enough and (found := _MARKER.search(data, position)) is not None:
        marker, position = data[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    return scans


def unfinished(data: bytes) -> bool:
    """Whether a JPEG's last scan runs into zeros in place of its end.

    So look copies and downloads that were broken off, where the room was reserved. Zeros are valid
    in a scan, and a decoder makes grey or smeared rows of them without an error.
    """
    if data[-64:].count(0) < 64:
        return False
    # within a scan, 0xFF is followed by 0 or a restart marker only
    return data.rfind(b"\xff\xda") > data.rfind(b"\xff\xd9")


def tiff_orientation(block: bytes) -> int:
    """The orientation tag of a TIFF block, such as EXIF is.

    Returns:
        1 to 8, or 0 where there is none that can be read.
    """
    for entry in directory(block)[0]:
        if entry.tag == 0x0112:
            size = 4 if entry.size == 4 else 2  # an unknown type is read as a short
            value = int.from_bytes(block[entry.at : entry.at + size], byte_order(block))
            return value if 1 <= value <= 8 else 0
    return 0
