"""What a file is, told by its first bytes: for messages about files that are something else.

One table for all readers. The content decides, never the extension. Formats that are read are in
it too, so that each reader can say "a PNG image" where it expected something else.
"""

from __future__ import annotations

import re

HEAD_BYTES = 4096
"""How much of a file is worth handing over; fewer are fine."""

_CONVERT = "convert it to JPEG or PNG first"
_UNPACK = "unpack it first"
_FRAMES = "take single frames out of it first"
_SENT_INSTEAD = "servers send one where they do not give the file; download it again"
_UNFINISHED = "the copy or download was not finished"

_MARKUP = rb"(?:\xef\xbb\xbf)?\s*(?:<!--(?:(?!-->).)*-->\s*)*"
_ZIP = rb"PK\x03\x04.{26}"
_FTYP = rb"\x00...ftyp"

# The first row that fits tells. Special ones stand before the containers that they use.
_ROWS: tuple[tuple[bytes, str], ...] = (
    # stand-ins for a file that is somewhere else
    (rb"version https://(?:git-lfs|hawser)", "a Git LFS pointer: run `git lfs pull` to fetch it"),
    (rb"(?:\.\./)*(?:\.git)?/?annex/objects/", "a git-annex pointer: run `git annex get`"),
    (rb"outs:\s+- (?:md5|etag|hash)", "a DVC pointer: run `dvc pull` to fetch the file"),
    (rb"bplist00", "a property list of macOS: fetch the file from iCloud first"),
    (rb"\x00\x05\x16[\x00\x07]", "metadata that macOS puts beside a file (AppleDouble)"),
    (rb"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows: take the file that it points to"),
    (rb"book\x00\x00\x00\x00mark", "an alias of macOS: take the file that it points to"),
    (rb"data:[\w/+.-]*;base64,|/9j/4|iVBORw0KGgo", "text in base64: decode it to bytes first"),
    # pages and documents
    (_MARKUP + rb"(?i:<!doctype html|<html|<head|<body|<script)", f"an HTML page: {_SENT_INSTEAD}"),
    (_MARKUP + rb"(?:<\?xml.{0,2000}?)?<svg\b", f"an SVG drawing: {_CONVERT}"),
    (_MARKUP + rb"<\?xml.{0,400}?<Error>", f"an XML error message: {_SENT_INSTEAD}"),
    (_MARKUP + rb"<\?xml", "an XML document"),
    (rb".{0,64}%PDF-", "a PDF document: save its pages as images first"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"a PostScript document: {_CONVERT}"),
    (rb"\{\\rtf", "an RTF document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or a Thumbs.db"),
    # weights and tables
    (_ZIP + rb"[^/]{1,255}/(?:data\.pkl|constants\.pkl|code/|data/)", "a PyTorch checkpoint"),
    (rb"\x80.\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch checkpoint"),
    (_ZIP + rb"[^\x00]{0,255}?\.npy", "a NumPy .npz file"),
    (rb"\x93NUMPY", "a NumPy .npy array"),
    (rb".{7}\x00\{\s*\"", "a safetensors file"),
    (rb"\x80[\x02-\x05][\x8a\x95\]}(c]", "a Python pickle"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"GGUF", "a GGUF model"),
    (rb"....TFL3", "a TensorFlow Lite model"),
    (rb"\x08[\x01-\x20]\x12.(?:pytorch|onnx|tf2onnx|skl2onnx|paddle|backend)", "an ONNX model"),
    (rb"PAR1", "a Parquet table"),
    (rb"SQLite format 3\x00", "an SQLite database"),
    (rb"MATLAB 5\.0 MAT-file", "a MATLAB file"),
    # archives and programs
    (_ZIP + rb"\[Content_Types\]\.xml", "an Office document"),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", f"a ZIP archive: {_UNPACK}"),
    (rb".{257}ustar", f"a tar archive: {_UNPACK}"),
    (rb"\x1f\x8b", f"a gzip file: {_UNPACK}"),
    (rb"BZh[1-9]1AY&SY", f"a bzip2 file: {_UNPACK}"),
    (rb"\xfd7zXZ\x00", f"an xz file: {_UNPACK}"),
    (rb"\x28\xb5\x2f\xfd", f"a Zstandard file: {_UNPACK}"),
    (rb"7z\xbc\xaf\x27\x1c", f"a 7-Zip archive: {_UNPACK}"),
    (rb"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    (rb"\x7fELF|MZ.{0,60}\x00|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "a program"),
    # images that are not read here
    (_FTYP + rb"(?:hei[cmsx]|hev[cmsx])", f"HEIC, as iPhones store photos: {_CONVERT}"),
    (_FTYP + rb"(?:avi[fs])", "an AVIF image"),
    (_FTYP + rb"(?:mif1|msf1)(?:(?!avif).){4,64}hei[cx]", f"HEIC: {_CONVERT}"),
    (_FTYP + rb"(?:mif1|msf1)(?:(?!avif).){4,64}avif", "an AVIF image"),
    (_FTYP + rb"(?:mif1|msf1)", f"HEIF: {_CONVERT}"),
    (_FTYP + rb"crx |II\*\x00.{4}CR|FUJIFILMCCD-RAW|IIU\x00|IIR[OS]|MMOR|FOVb|\x00MRM",
     f"a camera's raw file: {_CONVERT}"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n", f"JPEG XL: {_CONVERT}"),
    (rb"II\xbc\x01", f"JPEG XR: {_CONVERT}"),
    (rb"AT&TFORM", f"a DjVu document: {_CONVERT}"),
    (rb"gimp xcf ", f"a GIMP drawing: {_CONVERT}"),
    (rb"v/1\x01", f"OpenEXR, of floating-point light: {_CONVERT}"),
    (rb"#\?(?:RADIANCE|RGBE)", f"Radiance HDR, of floating-point light: {_CONVERT}"),
    (rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", f"a Windows metafile: {_CONVERT}"),
    (rb".{128}DICM", f"DICOM: {_CONVERT}, with the window that shows what matters"),
    (rb".{344}(?:n\+1|ni1)\x00", f"a NIfTI volume: {_CONVERT}, slice by slice"),
    (rb"SIMPLE  =", f"FITS: {_CONVERT}"),
    # moving images and sound
    (_FTYP + rb"(?:isom|iso\d|mp4[12]|avc1|M4V |qt  |3g[p2]|mmp4|dash)|\x00...(?:moov|mdat|wide)",
     f"a video: {_FRAMES}"),
    (rb"RIFF....AVI |\x1aE\xdf\xa3|FLV\x01|\x00\x00\x01[\xba\xb3]|\x30\x26\xb2\x75\x8e\x66",
     f"a video: {_FRAMES}"),
    (rb"RIFF....WAVE|ID3[\x02-\x04]|fLaC|OggS", "a sound file"),
    # images that are read here
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"\x89PNG", "a PNG image"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"II[*+]\x00|MM\x00[*+]", "a TIFF image"),
    (rb"BM.{4}\x00\x00\x00\x00", "a BMP image"),
    (rb"RIFF....WEBP", "a WebP image"),
    (rb"\x00\x00\x00\x0cjP  \r\n|\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"8BPS", "a PSD image"),
    (rb"P7\s+(?:#|WIDTH)", f"PAM: {_CONVERT}"),
    (rb"P[1-6]\s+(?:#|\d)", "a PPM, PGM or PBM image"),
)  # fmt: skip
_SIGNATURES = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in _ROWS)


def what_is(head: bytes) -> str | None:
    """Name what a file is, and what to do with it where that is plain.

    The names of images in formats that are read here end in " image".

    Args:
        head: the file's first bytes, `HEAD_BYTES` of them or more, or the whole file.

    Returns:
        A phrase such as "a Git LFS pointer: run `git lfs pull` to fetch it", which fits behind
        "it is"; None where nothing is recognised.

    Example:
        >>> what_is(b"<!DOCTYPE html><html>")
        'an HTML page: servers send one where they do not give the file; download it again'
        >>> what_is(bytes([0x93, 0x13, 0x07, 0xfe])) is None
        True
    """
    if not head:
        return "an empty file"
    if head.count(0) == len(head):
        return f"nothing but zeros: {_UNFINISHED}"
    if head[:512].count(0) == 512:
        return f"a file that begins with zeros: {_UNFINISHED}"
    head = head[:HEAD_BYTES]
    for pattern, words in _SIGNATURES:
        if pattern.match(head):
            return words
    return _text(head)


def _text(head: bytes) -> str | None:
    """What a text is, by its first characters; None where it is no text."""
    utf16 = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        # a character may be cut at the end of the head
        text = head[: len(head) & ~1].decode("utf-16") if utf16 else _utf8(head)
    except UnicodeDecodeError:
        return None
    begin = " ".join(text.lstrip("\ufeff")[:200].split())[:60]
    if not begin or not begin.isprintable():
        return None
    if re.match(r"[{\[] ?[\"{\[\]}\d-]", begin):
        return f"JSON that begins with {begin!r}"
    return f"a text that begins with {begin!r}"


def _utf8(head: bytes) -> str:
    for cut in range(4):
        try:
            return head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            if cut == 3:
                raise
    raise AssertionError("unreachable")
