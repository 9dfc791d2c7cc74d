"""A decoded copy of image files, so that later epochs need not decode them again.

One file holds a whole split: the pixels one image after the other, then where each begins, then
a description, then the description's length and checksum. The end is written last and the file
gets its name only when it is complete, so a killed build leaves nothing that could be mistaken
for a cache. A cache whose files have changed since, or that was cut short, is built again.

The pixels of each image carry a checksum, which is verified when a process first reads them. An
image that is damaged, or missing because the file was cut while it was in use, is decoded from
its own file, to the same pixels, and the cache is removed, so that the next run builds it again.
The file is read and not mapped: a map of a file that is cut ends the process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import struct
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from backbones.data.decoder_pool import DecoderPool
from backbones.data.geometry import resized_size
from backbones.data.random import Integers
from backbones.data.readers import FileReader, NeededPx
from backbones.data.render import Pixels, resize_pixels
from backbones.data.source import EncodedImages
from backbones.errors import BackbonesError, BadImage
from backbones.progress import Progress
from backbones.spec import Interpolation
from backbones.text import name_bytes

_T = TypeVar("_T")

VERSION = 2
_TRAILER = struct.Struct("<QI8s")  # length and CRC-32 of index and description, then the mark
_MARK = b"backbone"
_ABANDONED_S = 600.0
_IMAGES_A_TASK = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheForm:
    """What is stored of each image.

    Args:
        shorter_px: larger images are resized to this shorter side; None stores them whole.
        channels: 1 or 3.
        interpolation: of that resize.
    """

    shorter_px: int | None
    channels: int
    interpolation: Interpolation


class CachedImages:
    """Reads images from a cache file.

    Args:
        file: what lies in it.
        images: the files that it was made of.
        form: what is stored of each.
    """

    def __init__(self, file: _CacheFile, images: EncodedImages, form: CacheForm) -> None:
        self._file, self._form = file, form
        self._reader = FileReader(images, form.channels)
        self._good = np.zeros(len(images), dtype=bool)

    @property
    def reasons(self) -> dict[int, str]:
        """Why images are bad, by index."""
        return self._file.reasons

    def read(self, index: int, needed: NeededPx | None, use: Callable[[Pixels], _T]) -> _T:
        """Image `index`, as it was stored.

        Raises:
            BadImage: it could not be decoded when the cache was built.
        """
        if index in self.reasons:
            raise BadImage(self.reasons[index])
        start, height, width, checksum = self._file.index[index].tolist()
        pixels = np.empty((height, width, self._form.channels), dtype=np.uint8)
        if self._file.fill(start, pixels) and (
            self._good[index] or zlib.crc32(pixels.data) == checksum
        ):
            self._good[index] = True
            return use(pixels)
        self._file.give_up(self._reader.images.name(index))
        stored = _stored(self._reader, index, self._form)
        if isinstance(stored, BadImage):
            raise stored
        return use(stored)

    def expect(self, indices: Integers) -> None:
        """Nothing: the file is here."""

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of image `index`, as stored; None for a bad one."""
        if index in self.reasons:
            return None
        _, height, width, _ = self._file.index[index].tolist()
        return width, height


class _CacheFile:
    """An open cache file.

    Args:
        path: where it is.
        handle: the file, open for reading, closed with this object; several threads read at once.
        index: offset, height, width and CRC-32 of each image, int64 (N, 4); a bad one's height
            is 0.
        reasons: why images are bad, by index.
    """

    def __init__(
        self, path: Path, handle: int, index: npt.NDArray[np.int64], reasons: dict[int, str]
    ) -> None:
        self.index, self.reasons = index, reasons
        self._path, self._handle = path, handle
        self._lock = threading.Lock()
        self._given_up = False
        weakref.finalize(self, os.close, handle)

    def fill(self, start: int, pixels: Pixels) -> bool:
        """Read pixels into an array; False where the file ends before or cannot be read."""
        into = pixels.reshape(-1).data
        try:
            while into:
                count = self._read(start, into)
                if not count:
                    return False
                start, into = start + count, into[count:]
        except OSError:
            return False
        return True

    def _read(self, start: int, into: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._handle, [into], start)
        with self._lock:
            os.lseek(self._handle, start, os.SEEK_SET)
            part = os.read(self._handle, len(into))
        into[: len(part)] = part
        return len(part)

    def give_up(self, name: str) -> None:
        """Remove the file, so that it is built again, and say so once."""
        with self._lock:
            if self._given_up:
                return
            self._given_up = True
            with suppress(OSError):
                self._path.unlink()
        _log.warning(
            "the image cache %s is damaged (at %s): such images are decoded from their own"
            " files, and the next run builds it again",
            self._path,
            name,
        )


def open_cache(
    folder: Path,
    name: str,
    images: EncodedImages,
    form: CacheForm,
    *,
    pool: DecoderPool,
    progress: Progress | None = None,
) -> CachedImages:
    """Open the cache of some images; build it where there is none that is whole and up to date.

    Args:
        folder: where caches lie; made where it is missing.
        name: begins the file's name, for people.
        images: the files.
        form: what is stored.
        pool: decodes.
        progress: called with (images done, images in all) while building.

    Raises:
        BackbonesError: the folder cannot be written, or the disk is full.
    """
    key = _content_key(images, form)
    bound = f"{form.shorter_px}px" if form.shorter_px else "whole"
    path = folder / f"{name}-{bound}-{_place_key(images, form)}.images"
    found = _read(path, key)
    if found is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path)
            _build(path, images, form, key, pool, progress)
        except OSError as error:
            raise BackbonesError(_write_failure(folder, error)) from error
        found = _read(path, key)
        if found is None:
            raise BackbonesError(f"the cache {path} was built and cannot be read back")
    return CachedImages(found, images, form)


# --- keys ---------------------------------------------------------------------------------------


def _place_key(images: EncodedImages, form: CacheForm) -> str:
    """Which images, in which form: names the file, so that a stale cache is replaced."""
    words = [images.place, repr(form), *images.names()]
    return hashlib.sha256(name_bytes("\0".join(words))).hexdigest()[:12]


def _content_key(images: EncodedImages, form: CacheForm) -> str:
    """The same, with each file's size and times: differs as soon as a file was changed.

    Whoever changes a file can set the time of its contents back, but not that of its entry.
    """
    digest = hashlib.sha256(f"{VERSION} {form!r}".encode())
    for index, name in enumerate(images.names()):
        size, *times = images.status(index)
        stamp = "missing" if size < 0 else f"{size} {times[0]} {times[1]}"
        digest.update(name_bytes(f"{name}\0{stamp}\n"))
    return digest.hexdigest()


# --- reading ------------------------------------------------------------------------------------


def _read(path: Path, key: str) -> _CacheFile | None:
    """Open a cache file, or None where it is missing, cut short, damaged or stale."""
    try:
        with path.open("rb") as file:
            tail_bytes, tail = _tail(file, os.fstat(file.fileno()).st_size)
            if tail["key"] != key:
                return None
            handle = os.dup(file.fileno())
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    index = np.frombuffer(tail_bytes, dtype="<i8", count=tail["count"] * 4)
    reasons = {int(number): reason for number, reason in tail["bad"].items()}
    return _CacheFile(path, handle, index.reshape(-1, 4).astype(np.int64), reasons)


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
    images: EncodedImages,
    form: CacheForm,
    key: str,
    pool: DecoderPool,
    progress: Progress | None,
) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")
    index = np.zeros((len(images), 4), dtype="<i8")
    reasons: dict[str, str] = {}
    offset = 0
    try:
        with temporary.open("xb") as file:
            for number, stored in enumerate(_prepared(images, form, pool)):
                if isinstance(stored, BadImage):
                    reasons[str(number)] = str(stored)
                else:
                    data = np.ascontiguousarray(stored).data
                    file.write(data)
                    index[number] = (offset, *stored.shape[:2], zlib.crc32(data))
                    offset += stored.nbytes
                if progress is not None:
                    progress(number + 1, len(images))
            about = {"key": key, "count": len(images), "pixel_bytes": offset, "bad": reasons}
            tail = index.tobytes() + json.dumps(about).encode()
            tail += struct.pack("<Q", index.nbytes)
            file.write(tail)
            file.write(_TRAILER.pack(len(tail), zlib.crc32(tail), _MARK))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _prepared(
    images: EncodedImages, form: CacheForm, pool: DecoderPool
) -> Iterator[Pixels | BadImage]:
    """The images in order, decoded by the pool a little ahead of the writing."""
    reader = FileReader(images, form.channels)
    reader.expect(np.arange(len(images)))

    def prepare(first: int) -> list[Pixels | BadImage]:
        last = min(first + _IMAGES_A_TASK, len(images))
        return [_stored(reader, index, form) for index in range(first, last)]

    waiting: deque[Future[list[Pixels | BadImage]]] = deque()
    try:
        for first in range(0, len(images), _IMAGES_A_TASK):
            waiting.append(pool.submit(prepare, first))
            if len(waiting) > 2 * pool.workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for task in waiting:
            task.cancel()


def _stored(reader: FileReader, index: int, form: CacheForm) -> Pixels | BadImage:
    def reduced(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if form.shorter_px is None or min(width, height) <= form.shorter_px:
            return pixels
        size = resized_size(width, height, form.shorter_px)
        return resize_pixels(pixels, *size, form.interpolation)

    try:
        return reader.read(index, None, reduced)
    except BadImage as error:
        return error


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
            f"the disk is full: the image cache in {folder} could not be finished;"
            " free some space, name another folder, or go without a cache"
        )
    return f"the image cache in {folder} could not be written: {error.strerror or error}"
