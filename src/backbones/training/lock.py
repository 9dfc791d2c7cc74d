"""One writer a folder: a lock that the kernel lets go when its process dies, however it dies.

The lock is on the file writer.lock, which notes who took it last. The file stays; only the lock
counts, never the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from backbones.errors import Busy, TrainingStopped, WrongUse

NAME = "writer.lock"
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP))


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
        # not by thread: whoever iterates over a run may end it in another one
        self._lock = FileLock(folder / NAME, timeout=0, thread_local=False)
        self._file: tuple[int, int] | None = None

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
        is_nested = self._lock.is_locked
        try:
            self._lock.acquire()
        except Timeout:
            raise Busy(
                f"{self.folder} is being written by {_holder(self.folder / NAME)}, and a folder has"
                " one writer; wait until it ends or stop it, then give the same command again"
            ) from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            _tell_unlocked(str(error))
            return self
        if not is_nested:
            _note(self.folder / NAME)
            self._file = self._at_path()
        return self

    def refuse_lost(self) -> None:
        """Refuse to write where the lock is not any more; to be asked inside `with`.

        A lock goes with its file: where the folder was moved, another process may hold a new lock
        at the old path.

        Raises:
            TrainingStopped: the folder, or the lock's file, was moved or removed.
        """
        if self._file is not None and self._at_path() != self._file:
            raise TrainingStopped(
                f"{self.folder} was moved or removed while it was being written, so nothing more"
                " is written there; what was saved is where the folder is now: go on with"
                " --resume and its new place"
            )

    def _at_path(self) -> tuple[int, int] | None:
        """Which file has the lock's name."""
        try:
            found = (self.folder / NAME).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked:  # a file system without locks gave none
            self._lock.release()


@contextlib.contextmanager
def new_folder(path: Path, refuse_taken: Callable[[Path], None]) -> Iterator[None]:
    """A folder that work is about to begin in: made, locked, and looked at once more.

    Args:
        path: made where it does not exist.
        refuse_taken: raises where there is work in it already.

    Raises:
        Busy: another process writes to it.
        WrongUse: it cannot be written; and what `refuse_taken` raises.
    """
    refuse_taken(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FolderLock(path):
            refuse_taken(path)  # again: now nobody else can begin in between
            yield
    except OSError as error:
        raise WrongUse(f"no run can be written to {path}: {error.strerror}") from None


@cache
def _tell_unlocked(reason: str) -> None:
    """Say it once: a search has many runs."""
    logging.getLogger(__name__).warning(
        "note: this file system has no locks (%s); training goes on, but see to it yourself that"
        " no second process writes to the same run folder",
        reason,
    )


def _note(file: Path) -> None:
    """Write down who holds the lock; a full disk leaves it empty, and Windows locks it away."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with contextlib.suppress(OSError):
        file.write_text(json.dumps(holder), encoding="utf-8")


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
