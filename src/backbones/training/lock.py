"""One writer a folder: a lock that the kernel lets go when its process dies, however it dies.

The lock is on the file writer.lock, which tells people who holds it. The file is there while a
process writes, and after one was killed; only the lock counts, never the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Self

from backbones.errors import Busy

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "writer.lock"
_HELD = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK))
_FAR = 1 << 30  # Windows locks bytes, and nobody reads those: one far behind the note is taken


class FolderLock:
    """The right to write to a folder; held inside `with`, which can be nested.

    Args:
        folder: of a run, of folds or of a search; it exists when the lock is taken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with FolderLock(Path(folder)):
        ...         [file.name for file in Path(folder).iterdir()]
        ['writer.lock']
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / NAME
        self._handle = -1
        self._depth = 0

    def refuse_held(self) -> None:
        """Refuse now what `with` would refuse later.

        Raises:
            Busy: somebody else writes to the folder.
        """
        with self:
            pass

    def __enter__(self) -> Self:
        """Take the lock, without waiting.

        Raises:
            Busy: somebody else writes to the folder.
            OSError: no file can be made there.
        """
        if not self._depth:
            self._handle = self._take()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            _let_go(self._handle, self._file)

    def _take(self) -> int:
        """Open the file and lock it; again, where its last holder removed it in between."""
        while True:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(handle)
                if _is_still(handle, self._file):
                    _note(handle)
                    return handle
                os.close(handle)
            except Busy:
                os.close(handle)
                raise Busy(
                    f"{self.folder} is being written by {_holder(self._file)}, and a folder has"
                    " one writer; wait until it ends or stop it, then give the same command again"
                ) from None


def _lock(handle: int) -> None:
    """Lock an open file without waiting.

    Raises:
        Busy: it is locked.
    """
    try:
        if sys.platform == "win32":
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise Busy from None
        _tell_unlocked(error.strerror or str(error))


@cache
def _tell_unlocked(reason: str) -> None:
    """Say it once: a search has many runs."""
    logging.getLogger(__name__).warning(
        "note: this file system has no locks (%s); training goes on, but see to it yourself that"
        " no second process writes to the same run folder",
        reason,
    )


def _is_still(handle: int, file: Path) -> bool:
    """Whether the open file is the one that has the name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _note(handle: int) -> None:
    """Write down who holds the lock; a full disk may leave it empty."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with contextlib.suppress(OSError):
        os.lseek(handle, 0, os.SEEK_SET)
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(holder).encode())


def _holder(file: Path) -> str:
    """Who holds the lock, as far as the note tells."""
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
        pid, host, since = note["pid"], note["host"], note["since"]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f"this same process ({pid}, since {since})"
    return f"process {pid} on {host} (since {since})"


def _let_go(handle: int, file: Path) -> None:
    """Remove the file and unlock it, also for children that inherited it."""
    if sys.platform == "win32":  # an open file cannot be removed; nor one that another has open
        with contextlib.suppress(OSError):
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        os.close(handle)
        with contextlib.suppress(OSError):
            file.unlink()
        return
    with contextlib.suppress(OSError):
        if _is_still(handle, file):
            file.unlink()
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
