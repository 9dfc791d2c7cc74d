"""A file to read and seek in, wherever it is, for readers of archives and tables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any, cast

from backbones.data.remote import Stored, read
from backbones.data.stores import is_address

RANGE_BYTES = 4 * 2**20
"""What `RangeFile` asks for at a time."""


class RangeFile(io.RawIOBase):
    """A file to read and seek in, of which a few megabytes are fetched at a time.

    Args:
        stored: the file.
        span: first byte, and the one behind the last, of what will be read: fetched at once.
    """

    def __init__(self, stored: Stored, span: tuple[int, int] | None = None) -> None:
        self._stored = stored
        self._at = 0
        self._first = span[0] if span else 0
        self._held = read(stored.place, *span) if span else b""

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, without reading."""
        base = (0, self._at, self._stored.size)[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as what is held, or is fetched now, goes."""
        into = memoryview(buffer).cast("B")
        count = min(len(into), self._stored.size - self._at)
        if count <= 0:
            return 0
        if not self._first <= self._at < self._first + len(self._held):
            end = min(self._at + max(count, RANGE_BYTES), self._stored.size)
            self._held, self._first = read(self._stored.place, self._at, end), self._at
        start = self._at - self._first
        part = self._held[start : start + count]
        into[: len(part)] = part
        self._at += len(part)
        return len(part)


def open_ranges(stored: Stored, span: tuple[int, int] | None = None) -> IO[bytes]:
    """A file to read and seek in, here or at an address.

    Args:
        stored: the file.
        span: as of `RangeFile`.
    """
    if not is_address(stored.place):
        return Path(stored.place).open("rb")
    if span is not None:
        return cast(IO[bytes], RangeFile(stored, span))
    return io.BufferedReader(RangeFile(stored), 2**16)
