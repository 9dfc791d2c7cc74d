"""Where images to predict come from: files, folders, patterns, archives, standard input.

What is named is looked up before any work begins; images are read one after the other, archives
from front to end in memory. Nothing is ever unpacked to the disk, so that a member's name cannot
reach outside.
"""

from __future__ import annotations

import glob
import io
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from backbones.data.files import MAX_FILE_BYTES, read_bytes
from backbones.data.sets.listing import (
    count_of,
    is_image_name,
    of_the_system,
    some,
    walk_images,
)
from backbones.errors import BadData, BadImage, NotFound, WrongUse, nearest_file
from backbones.signatures import HEAD_BYTES, what_is
from backbones.text import archived_name, decoded

MAX_MEMBER_BYTES = 224 * 2**20  # of one image in an archive; a bomb unpacks to far more
_LARGE_BYTES, _PIECE_BYTES = 32 * 2**20, 2**20

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ZIP_ENCRYPTED, _ZIP_UTF8, _ZIP_NAME_BESIDE = 0x1, 0x800, 0x7075
_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"qoif"),
    *(b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)
# An encrypted or damaged member; those after it can still be read.
_BROKEN_MEMBER = (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_BROKEN_ARCHIVE = (
    *(*_BROKEN_MEMBER, tarfile.TarError, lzma.LZMAError),
    *(OSError, EOFError, ValueError, KeyError),
)


@dataclass(frozen=True)
class Waiting:
    """An image that is yet to be decoded.

    Args:
        path: what the answer calls it.
        read: gives its bytes, or raises BadImage.
        num_bytes: how many are in memory while it waits.
        alone: it is large and lies in an archive still: read it before the next one is asked for,
            while no other is decoded.
    """

    path: str
    read: Callable[[], bytes]
    num_bytes: int = 0
    alone: bool = False


@dataclass(frozen=True)
class Inputs:
    """All images that were asked for.

    Args:
        parts: one per file or archive, in order.
        num_images: how many there are; a tar file counts as one, for it has no index.
    """

    parts: tuple[_Part, ...]
    num_images: int

    def __iter__(self) -> Iterator[Waiting]:
        for part in self.parts:
            yield from part.images()


@dataclass(frozen=True)
class _File:
    path: Path

    def images(self) -> Iterator[Waiting]:
        yield Waiting(str(self.path), lambda: read_bytes(self.path))


@dataclass(frozen=True)
class _Bytes:
    name: str
    data: bytes

    def images(self) -> Iterator[Waiting]:
        yield Waiting(self.name, lambda: self.data)


@dataclass(frozen=True)
class _Archive:
    path: Path

    def images(self) -> Iterator[Waiting]:
        members = _zip_members if _is_zip(self.path) else _tar_members
        try:
            for name, num_bytes, read in members(self.path):
                yield _member(f"{self.path}/{name}", num_bytes, read)
        except _BROKEN_ARCHIVE as error:
            yield _failed(
                str(self.path), f"the archive cannot be read: {_why_not(self.path, error)}"
            )


_Part = _File | _Bytes | _Archive


def find_inputs(inputs: Sequence[str | Path], *, stdin: BinaryIO | None = None) -> Inputs:
    """Look up everything that was named, before any image is read.

    Args:
        inputs: files; folders (every image below, sorted by path); patterns such as
            `photos/**/*.jpg`; .zip and .tar archives, compressed or not (every image in them,
            in their own order); `-` for standard input, which holds one image or else a list
            of any of these, a line each or separated by NUL.
        stdin: standard input; needed for `-`.

    Raises:
        NotFound: a file, folder, archive or pattern that is not there, or holds no image.
        WrongUse: nothing was named, or `-` without standard input.
    """
    parts: list[_Part] = []
    for each in inputs:
        parts.extend(_standard_input(stdin) if str(each) == "-" else _named(str(each)))
    if not parts:
        raise WrongUse("no images were named; expected files, folders, patterns, archives or -")
    return Inputs(tuple(parts), sum(map(_count, parts)))


def _named(name: str) -> Iterator[_Part]:
    path = Path(name)
    if path.is_dir():
        found, others = walk_images(path)
        if not found:
            raise NotFound(
                f"{name} holds no images ({others} other files); expected files such as .jpg"
            )
        yield from (_File(path / inside) for inside in found)
    elif name.lower().endswith(_ARCHIVES) and path.is_file():
        if reason := _nothing_in(path):
            raise NotFound(f"{name} {reason}")
        yield _Archive(path)
    elif os.path.lexists(path):
        yield _File(path)
    elif glob.has_magic(name):
        yield from _matching(name)
    else:
        folder = path.parent
        beside = sorted(os.listdir(folder)) if folder.is_dir() else []
        raise NotFound(f"there is no file or folder {name}." + nearest_file(path.name, beside))


def _matching(pattern: str) -> Iterator[_Part]:
    """Images, archives and folders that match; other files are passed over."""
    found = False
    said = Path(pattern).parts
    for name in sorted(glob.glob(pattern, recursive=True)):
        if any(of_the_system(part) and part not in said for part in Path(name).parts):
            continue
        if os.path.isdir(name):
            # `**` lists the folders and their files alike; each image is wanted once.
            if "**" not in pattern and walk_images(Path(name))[0]:
                found = True
                yield from _named(name)
        elif name.lower().endswith(_ARCHIVES):
            if not _nothing_in(Path(name)):
                found = True
                yield _Archive(Path(name))
        elif is_image_name(name):
            found = True
            yield from _named(name)
    if not found:
        raise NotFound(f"no image matches {pattern}")


def _standard_input(stdin: BinaryIO | None) -> Iterator[_Part]:
    if stdin is None:
        raise WrongUse("- reads standard input, and there is none here; name files instead")
    data = stdin.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise WrongUse(f"standard input holds more than {MAX_FILE_BYTES // 2**20} MiB")
    if not data:
        raise WrongUse("standard input is empty; expected an image or a list of paths")
    listed = None if _looks_like_an_image(data) else _as_text(data)
    if listed is None:
        yield _Bytes("-", data)
        return
    separator = "\0" if "\0" in listed else None
    names = listed.split("\0") if separator else listed.splitlines()
    for name in names:
        if name.strip():
            yield from _named(name if separator else name.strip())


def _looks_like_an_image(data: bytes) -> bool:
    riff = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return riff or data[4:8] == b"ftyp" or data.startswith(_SIGNATURES)


def _as_text(data: bytes) -> str | None:
    """A list of paths; None where it is none. File names may be bytes of any kind."""
    try:
        return decoded(data, "standard input")
    except BadData:
        listed = os.fsdecode(data)
        first = listed.replace("\0", "\n").split("\n", 1)[0].strip("\r")
        return listed if first and os.path.lexists(first) else None


def _count(part: _Part) -> int:
    if not isinstance(part, _Archive) or not _is_zip(part.path):
        return 1
    try:
        return max(1, sum(map(_wanted, _zip_names(part.path))))
    except _BROKEN_ARCHIVE:
        return 1


# --- archives -----------------------------------------------------------------------------------

_Members = Iterable[tuple[str, int, Callable[[], bytes]]]  # name, bytes as declared, contents


def _head(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(HEAD_BYTES)
    return b""


def _is_zip(path: Path) -> bool:
    """Whether an archive is read as ZIP: by its content, whatever it is called, or its name."""
    return _head(path).startswith(b"PK") or path.suffix.lower() == ".zip"


def _why_not(path: Path, error: BaseException) -> str:
    """What a file is instead of an archive; else what went wrong in it."""
    what = what_is(_head(path)) or ""
    kinds = ("a ZIP",) if _is_zip(path) else ("a tar", "a gzip", "a bzip2", "an xz")
    return f"it is {what}" if what and not what.startswith(kinds) else _one_line(error)


def _nothing_in(path: Path) -> str:
    """Why an archive is of no use, or nothing; one that is damaged is told when it is read.

    A tar file has no index: it is looked through as far as its first image.
    """
    others: list[str] = []
    try:
        for name in _zip_names(path) if _is_zip(path) else _tar_names(path):
            if _wanted(name):
                return ""
            others.append(name)
    except _BROKEN_ARCHIVE:
        return ""
    inner = [name for name in others if name.lower().endswith(_ARCHIVES)]
    if inner:
        return f"holds no images, but the archive {some(inner)}; unpack that, and name it here"
    return f"holds no images ({count_of(len(others), 'other file')}); expected files such as .jpg"


def _zip_names(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        yield from (
            _zip_name(info)
            for info in archive.infolist()
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name with slashes, in the encoding that it says or that fits.

    Where the mark for UTF-8 is missing, Python takes the code page of 1981; hardly any archive
    is written in that. Info-ZIP puts the name in UTF-8 beside it.
    """
    name = info.filename
    if not name.isascii() and not info.flag_bits & _ZIP_UTF8:
        raw, extra = info.orig_filename.encode("cp437", "replace"), info.extra
        name = archived_name(raw)
        while len(extra) >= 4:
            kind, length = struct.unpack("<HH", extra[:4])
            field, extra = extra[4 : 4 + length], extra[4 + length :]
            beside = field[1:5] == struct.pack("<I", zlib.crc32(raw))
            if kind == _ZIP_NAME_BESIDE and beside:
                name = field[5:].decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")


def _open_tar(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, "r:*", encoding="utf-8", errors="surrogateescape")


def _tar_name(info: tarfile.TarInfo) -> str:
    if "path" in info.pax_headers:  # which are UTF-8
        return info.name
    return archived_name(info.name.encode("utf-8", "surrogateescape"))


def _tar_names(path: Path) -> Iterator[str]:
    with _open_tar(path) as archive:
        yield from (_tar_name(info) for info in archive if info.isfile())


def _wanted(name: str) -> bool:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in (".", "..")]
    return is_image_name(name) and not any(map(of_the_system, parts))


def _zip_members(path: Path) -> _Members:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir() or not _wanted(_zip_name(info)):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                continue

            def read(info: zipfile.ZipInfo = info) -> bytes:
                if info.flag_bits & _ZIP_ENCRYPTED:
                    raise BadImage("it is encrypted: unpack the archive with its password first")
                with archive.open(info) as file:
                    return _read_limited(file, info.file_size)

            yield _zip_name(info), info.file_size, read


def _tar_members(path: Path) -> _Members:
    with _open_tar(path) as archive:
        for info in archive:
            if not info.isfile() or not _wanted(_tar_name(info)):
                continue

            def read(info: tarfile.TarInfo = info) -> bytes:
                file = archive.extractfile(info)
                if file is None:
                    raise BadImage("not a file in the archive")
                with file:
                    return _read_limited(file, info.size)

            yield posixpath.normpath(_tar_name(info)), info.size, read
        if archive.fileobj is not None and archive.fileobj.tell() <= archive.offset:
            raise tarfile.ReadError("it was cut off, for the mark of its end is missing")


def _read_limited(file: IO[bytes], declared: int) -> bytes:
    """What the member holds, but never more than an image can be, whatever the header says.

    It is unpacked piece by piece, for an archive's reader would hold it several times.
    """
    data = io.BytesIO()
    if declared <= MAX_MEMBER_BYTES:
        while data.tell() <= MAX_MEMBER_BYTES and (piece := file.read(_PIECE_BYTES)):
            data.write(piece)
    if max(declared, data.tell()) > MAX_MEMBER_BYTES:
        raise BadImage(f"larger than {MAX_MEMBER_BYTES // 2**20} MiB in the archive")
    return data.getvalue()


def _member(path: str, num_bytes: int, read: Callable[[], bytes]) -> Waiting:
    """Read a member now, while the archive stands at it; a large one when its turn has come."""
    if num_bytes > _LARGE_BYTES:
        return Waiting(path, partial(_read_or_refuse, read, _BROKEN_ARCHIVE), alone=True)
    try:
        data = _read_or_refuse(read, _BROKEN_MEMBER)
    except BadImage as error:
        return _failed(path, str(error))
    return Waiting(path, lambda: data, len(data))


def _read_or_refuse(read: Callable[[], bytes], broken: tuple[type[BaseException], ...]) -> bytes:
    try:
        return read()
    except broken as error:
        raise BadImage(_one_line(error)) from error


def _failed(path: str, reason: str) -> Waiting:
    def read() -> bytes:
        raise BadImage(reason)

    return Waiting(path, read)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__
