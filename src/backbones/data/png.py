"""PNG files whose metadata stands in the way of their pixels."""

from __future__ import annotations

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FOR_THE_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")
_XMP = b"XML:com.adobe.xmp\x00\x00"  # followed by uncompressed text, which may hold the orientation
_LONGEST_XMP = 1 << 20


def without_metadata(data: bytes) -> bytes | None:
    """The chunks that pixels and orientation need, and no others.

    Texts and profiles that are too large, broken or wrong in their check sum say nothing about
    the pixels, but Pillow refuses the file for them.

    Returns:
        A smaller file; None where this is no PNG or has nothing to leave out.
    """
    if not data.startswith(_SIGNATURE):
        return None
    view = memoryview(data)
    parts: list[memoryview | bytes] = [_SIGNATURE]
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        xmp = kind == b"iTXt" and size <= _LONGEST_XMP and data.startswith(_XMP, at + 8)
        if kind in _FOR_THE_PIXELS or xmp:
            parts.append(view[at : at + 12 + size])
        at += 12 + size
        if kind == b"IEND":
            break
    bare = b"".join(parts)
    return bare if len(bare) < min(at, len(data)) else None
