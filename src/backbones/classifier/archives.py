"""Images in .zip and .tar archives, read from front to end in memory.

Nothing is ever unpacked to the disk, so that a member's name cannot reach outside.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from backbones.data.sets.listing import count_of, is_image_name, of_the_system, some
from backbones.errors import BadImage
from backbones.signatures import HEAD_BYTES, what_is
from backbones.text import archived_name

MAX_MEMBER_BYTES = 224 * 2**20  # of one image in an archive; a bomb unpacks to far more
_LARGE_BYTES, _PIECE_BYTES = 32 * 2**20, 2**20

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ZIP_ENCRYPTED, _ZIP_UTF8, _ZIP_NAME_BESIDE = 0x1, 0x800, 0x7075
# An encrypted or damaged member; those after it can still be read.
_BROKEN_MEMBER = (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_BROKEN_ARCHIVE = (
    *(*_BROKEN_MEMBER, tarfile.TarError, lzma.LZMAError),
    *(OSError, EOFError, ValueError, KeyError),
)
_Members = Iterable[tuple[str, int, Callable[[], bytes]]]  # name, bytes as declared, contents


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


def images_in(path: Path) -> Iterator[Waiting]:
    """Every image in an archive, in its own order; what cannot be read says so when it is."""
    members = _zip_members if _is_zip(path) else _tar_members
    try:
        for name, num_bytes, read in members(path):
            yield _member(f"{path}/{name}", num_bytes, read)
    except _BROKEN_ARCHIVE as error:
        yield _failed(str(path), f"the archive cannot be read: {_why_not(path, error)}")


def count_in(path: Path) -> int:
    """How many images an archive has, at least 1; a tar file has no index and counts as 1."""
    try:
        return max(1, sum(map(_wanted, _zip_names(path)))) if _is_zip(path) else 1
    except _BROKEN_ARCHIVE:
        return 1


def nothing_in(path: Path) -> str:
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
    inner = [name for name in others if name.lower().endswith(ARCHIVES)]
    if inner:
        return f"holds no images, but the archive {some(inner)}; unpack that, and name it here"
    return f"holds no images ({count_of(len(others), 'other file')}); expected files such as .jpg"


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
