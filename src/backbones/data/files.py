"""The bytes of image files: regular ones, of a size that an image can have.

A named pipe never ends, a device may not either, and both look like files by their names. Every
reader of images comes through `read_bytes`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backbones.errors import BadImage

MAX_FILE_BYTES = 512 * 2**20
"""More than the largest image that is decoded takes in any usual format."""

# Opening a pipe would wait for its writer, opening a terminal would make it this process's own.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK")
)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        BadImage: it is not a regular file, is too large, or cannot be read; the reason alone.
    """
    try:
        facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            os.scandir(path).close()  # one that could not be listed says here why
        _refuse_special(facts)  # before it is opened: opening a device may do something
        with os.fdopen(os.open(path, _FLAGS), "rb", buffering=0) as file:
            _refuse_special(os.fstat(file.fileno()))  # it may be another one by now
            return _all_of(file.fileno())
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror or error}") from error


def _refuse_special(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = next((word for test, word in _KINDS if test(facts.st_mode)), "something else")
        raise BadImage(f"{kind}, not a regular file")
    refuse_large(facts.st_size, MAX_FILE_BYTES)


def refuse_large(num_bytes: int, limit: int) -> None:
    """Raise BadImage where a file has more bytes than an image may."""
    if num_bytes > limit:
        raise BadImage(
            f"{num_bytes / 2**20:,.0f} MiB are more than the {limit // 2**20} MiB allowed"
        )


def _all_of(handle: int) -> bytes:
    """Everything up to the end, which a growing file or one of /proc need not have."""
    parts: list[bytes] = []
    total = 0
    wanted = os.fstat(handle).st_size + 1  # one more: the end is seen without another call
    while part := os.read(handle, wanted):
        parts.append(part)
        total += len(part)
        refuse_large(total, MAX_FILE_BYTES)
        wanted = max(wanted - len(part), 2**16)
    return parts[0] if len(parts) == 1 else b"".join(parts)
