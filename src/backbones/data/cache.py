"""A decoded copy of picture files, so that later epochs need not decode them again.

One file holds a whole split: the pixels one picture after the other, then where each begins, then
a description, then the description's length and checksum. The end is written last and the file
gets its name only when it is complete, so a killed build leaves nothing that could be mistaken
for a cache. A cache whose files have changed since, or that was cut short, is built again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from backbones.data.crew import Crew
from backbones.data.geometry import resized_size
from backbones.data.readers import FileReader, NeededPx
from backbones.data.render import Pixels, resize_pixels
from backbones.data.source import FilePictures
from backbones.errors import BackbonesError, BadImage
from backbones.spec import Interpolation

VERSION = 1
_TRAILER = struct.Struct("<QI8s")  # length and CRC-32 of index and description, then the mark
_MARK = b"backbone"
_ABANDONED_S = 600.0
_PICTURES_A_TASK = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CacheForm:
    """What is stored of each picture.

    Args:
        shorter_px: larger pictures are resized to this shorter side; None stores them whole.
        channels: 1 or 3.
        interpolation: of that resize.
    """

    shorter_px: int | None
    channels: int
    interpolation: Interpolation


class CachedPictures:
    """Reads pictures from a cache file.

    Args:
        pixels: the mapped file.
        index: offset, height and width of each picture, int64 (N, 3); a bad one has height 0.
        reasons: why pictures are bad, by index.
    """

    def __init__(
        self, pixels: Pixels, index: npt.NDArray[np.int64], channels: int, reasons: dict[int, str]
    ) -> None:
        self._pixels, self._index, self._channels = pixels, index, channels
        self.reasons = reasons

    def read(self, index: int, needed: NeededPx | None) -> Pixels:
        """Picture `index`, as it was stored; read-only.

        Raises:
            BadImage: it could not be decoded when the cache was built.
        """
        if index in self.reasons:
            raise BadImage(self.reasons[index])
        start, height, width = self._index[index].tolist()
        flat = self._pixels[start : start + height * width * self._channels]
        return flat.reshape(height, width, self._channels)

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of picture `index`, as stored; None for a bad one."""
        if index in self.reasons:
            return None
        _, height, width = self._index[index].tolist()
        return width, height


def open_cache(
    folder: Path,
    name: str,
    pictures: FilePictures,
    form: CacheForm,
    *,
    crew: Crew,
    progress: Progress | None = None,
) -> CachedPictures:
    """Open the cache of some pictures; build it where there is none that is whole and up to date.

    Args:
        folder: where caches lie; made where it is missing.
        name: begins the file's name, for people.
        pictures: the files.
        form: what is stored.
        crew: decodes.
        progress: called with (pictures done, pictures in all) while building.

    Raises:
        BackbonesError: the folder cannot be written, or the disk is full.
    """
    key = _content_key(pictures, form)
    bound = f"{form.shorter_px}px" if form.shorter_px else "whole"
    path = folder / f"{name}-{bound}-{_place_key(pictures, form)}.pictures"
    found = _read(path, key, form.channels)
    if found is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path)
            _build(path, pictures, form, key, crew, progress)
        except OSError as error:
            raise BackbonesError(_write_failure(folder, error)) from error
        found = _read(path, key, form.channels)
        if found is None:
            raise BackbonesError(f"the cache {path} was built and cannot be read back")
    return found


# --- keys ---------------------------------------------------------------------------------------


def _place_key(pictures: FilePictures, form: CacheForm) -> str:
    """Which pictures, in which form: names the file, so that a stale cache is replaced."""
    words = [str(pictures.root.resolve()), repr(form), *pictures.paths]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def _content_key(pictures: FilePictures, form: CacheForm) -> str:
    """The same, with each file's size and time: differs as soon as a file was changed."""
    digest = hashlib.sha256(f"{VERSION} {form!r}".encode())
    for index, relative in enumerate(pictures.paths):
        try:
            facts = pictures.path(index).stat()
            stamp = f"{facts.st_size} {facts.st_mtime_ns}"
        except OSError:
            stamp = "missing"
        digest.update(f"{relative}\0{stamp}\n".encode())
    return digest.hexdigest()


# --- reading ------------------------------------------------------------------------------------


def _read(path: Path, key: str, channels: int) -> CachedPictures | None:
    """Map a cache file, or None where it is missing, cut short, damaged or stale."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            tail_bytes, tail = _tail(file, size)
    except (OSError, ValueError):
        return None
    if tail.get("key") != key:
        return None
    count = tail["count"]
    index = np.frombuffer(tail_bytes, dtype="<i8", count=count * 3).reshape(count, 3)
    if size <= _TRAILER.size + len(tail_bytes):  # an empty file cannot be mapped
        pixels = np.empty(0, dtype=np.uint8)
    else:
        pixels = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    reasons = {int(number): reason for number, reason in tail["bad"].items()}
    return CachedPictures(pixels, index.astype(np.int64), channels, reasons)


def _tail(file: BinaryIO, size: int) -> tuple[bytes, dict[str, Any]]:
    """Index and description, checked. Raises ValueError where they don't add up."""
    if size < _TRAILER.size:
        raise ValueError("shorter than its trailer")
    file.seek(size - _TRAILER.size)
    length, checksum, mark = _TRAILER.unpack(file.read(_TRAILER.size))
    if mark != _MARK or length > size - _TRAILER.size:
        raise ValueError("no trailer")
    file.seek(size - _TRAILER.size - length)
    tail = file.read(length)
    if zlib.crc32(tail) != checksum:
        raise ValueError("damaged")
    (index_length,) = struct.unpack_from("<Q", tail, len(tail) - 8)
    description: dict[str, Any] = json.loads(tail[index_length:-8])
    if size != description["pixel_bytes"] + length + _TRAILER.size:
        raise ValueError("cut short")
    return tail, description


# --- building -----------------------------------------------------------------------------------


def _build(
    path: Path,
    pictures: FilePictures,
    form: CacheForm,
    key: str,
    crew: Crew,
    progress: Progress | None,
) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")
    index = np.zeros((len(pictures), 3), dtype="<i8")
    reasons: dict[str, str] = {}
    offset = 0
    try:
        with temporary.open("xb") as file:
            for number, stored in enumerate(_prepared(pictures, form, crew)):
                if isinstance(stored, BadImage):
                    reasons[str(number)] = str(stored)
                else:
                    file.write(np.ascontiguousarray(stored).data)
                    index[number] = (offset, *stored.shape[:2])
                    offset += stored.nbytes
                if progress is not None:
                    progress(number + 1, len(pictures))
            about = {"key": key, "count": len(pictures), "pixel_bytes": offset, "bad": reasons}
            tail = index.tobytes() + json.dumps(about).encode()
            tail += struct.pack("<Q", index.nbytes)
            file.write(tail)
            file.write(_TRAILER.pack(len(tail), zlib.crc32(tail), _MARK))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _prepared(pictures: FilePictures, form: CacheForm, crew: Crew) -> Iterator[Pixels | BadImage]:
    """The pictures in order, decoded by the crew a little ahead of the writing."""
    reader = FileReader(pictures, form.channels)

    def prepare(first: int) -> list[Pixels | BadImage]:
        last = min(first + _PICTURES_A_TASK, len(pictures))
        return [_stored(reader, index, form) for index in range(first, last)]

    waiting: deque[Future[list[Pixels | BadImage]]] = deque()
    try:
        for first in range(0, len(pictures), _PICTURES_A_TASK):
            waiting.append(crew.submit(prepare, first))
            if len(waiting) > 2 * crew.workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for task in waiting:
            task.cancel()


def _stored(reader: FileReader, index: int, form: CacheForm) -> Pixels | BadImage:
    try:
        pixels = reader.read(index, None)
    except BadImage as error:
        return error
    height, width = pixels.shape[:2]
    if form.shorter_px is None or min(width, height) <= form.shorter_px:
        return pixels
    return resize_pixels(pixels, *resized_size(width, height, form.shorter_px), form.interpolation)


def _remove_abandoned(path: Path) -> None:
    """Remove what killed builds left; a build that lives has written a moment ago."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()
        except OSError:  # another process was faster
            continue


def _write_failure(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return (
            f"the disk is full: the picture cache in {folder} could not be finished;"
            " free some space, name another folder, or go without a cache"
        )
    return f"the picture cache in {folder} could not be written: {error.strerror or error}"
