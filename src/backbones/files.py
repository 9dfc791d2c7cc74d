"""Files that are either the old one or the new one, never half of each.

The new content goes into a file that has no name yet (or, where the system has no such files, a
hidden one beside), is forced to the disk, and takes the name of the old one in a single step. A
full disk, a kill or a power cut leaves the old file and nothing else. A link stays, and what it
leads to is replaced; a file keeps its mode. What is no file cannot be replaced: a device, a pipe
or an open descriptor (`/dev/stdout`) is written to, once the whole content is there.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from backbones.errors import WrongUse

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX, _SUFFIX = ".backbones-", ".tmp"  # as short for a name of 255 bytes as for any other
_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")
_OPEN_FILES = Path("/proc/self/fd")
_READER_WAIT_S = 5.0  # for somebody to open the other end of a pipe
_LINKS = 40  # one after the other, as Linux has it

_swept: set[str] = set()


def expanded(path: str | Path) -> Path:
    """A path whose `~` or `~NAME` is the folder of its user.

    Raises:
        WrongUse: nobody is called so, or nobody knows where this user's home is.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise WrongUse(
            f"{path} begins in a home folder that is not known; write the whole path"
            " (HOME or BACKBONES_CACHE)"
        ) from None


def write_atomic(path: Path, data: bytes, *, parents: bool = True) -> None:
    """Replace `path` by a file that holds `data`.

    Args:
        path: the file.
        data: the whole content.
        parents: make its folder where it does not exist; False for what is written into a folder
            that another step has made, and that somebody may have moved away since.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched. It
            names `path`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "notes.txt", b"kept")
        ...     [(file.name, file.read_bytes()) for file in Path(folder).iterdir()]
        [('notes.txt', b'kept')]
    """
    with replacing(path, parents=parents) as file:
        file.write(data)


def fill_atomic(path: Path, fill: Callable[[IO[bytes]], None], *, parents: bool = True) -> None:
    """Replace `path` by a file that something writes piece by piece.

    Args:
        path, parents: as of `write_atomic`.
        fill: writes into the open file.

    Raises:
        OSError: as `write_atomic`. What `fill` raises comes through; the old file is untouched.
    """
    with replacing(path, parents=parents) as file:
        fill(file)


def copy_atomic(source: Path, path: Path) -> None:
    """Replace `path` by a copy of another file.

    Raises:
        OSError: as `write_atomic`, or the source cannot be read.
    """
    with source.open("rb") as original, replacing(path) as file:
        shutil.copyfileobj(original, file)


def create_atomic(path: Path, data: bytes) -> bool:
    """Make a file that holds `data`, where there is none of that name.

    Of several that try at the same moment, on one machine or on many that share a folder, exactly
    one makes it.

    Args:
        path: the file; its folder is there.
        data: the whole content.

    Returns:
        whether this call made it.

    Raises:
        OSError: as `write_atomic`.
    """
    with _Draft(path.parent, None) as draft:
        draft.file.write(data)
        draft.file.flush()
        return draft.take_a_free_name(path)


@contextmanager
def replacing(path: Path, *, parents: bool = True) -> Iterator[IO[bytes]]:
    """A file to write; at the end of the block it takes the name `path`, or disappears.

    Args:
        path, parents: as of `write_atomic`.

    Raises:
        OSError: as `write_atomic`.
    """
    folder = Path(path).parent
    try:
        target = _end_of_links(Path(path))
        old = _state(target)
        through = bool(_DESCRIPTOR.fullmatch(str(target)))
        through = through or (old is not None and not stat.S_ISREG(old.st_mode))
        folder = Path(tempfile.gettempdir()) if through else target.parent
        if parents:
            folder.mkdir(parents=True, exist_ok=True)
        with _Draft(folder, old) as draft:
            yield draft.file
            draft.file.flush()
            if through:
                _pour(draft.file, target)
            else:
                draft.take_the_name(target)
    except OSError as error:
        if error.errno is None or not _is_ours(error.filename, folder):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


class _Draft:
    """A new file without a name, or with a hidden one; it is gone unless it takes a name.

    It is locked while it lives, so that others can tell what a killed process has left.

    Args:
        folder: where it will be.
        old: the state of the file that it is to replace, whose owner and mode it takes.
    """

    def __init__(self, folder: Path, old: os.stat_result | None) -> None:
        _sweep(folder)
        self._old = old
        self._hidden: Path | None = None
        mode = 0o666 if old is None else 0o600  # the mask of the process is taken off
        handle = _nameless_file(folder, mode)
        if handle is None:
            handle, self._hidden = _hidden_file(folder, mode)
        self.file: IO[bytes] = os.fdopen(handle, "w+b")

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk was told of by `flush`
            self.file.close()
        if self._hidden is not None:
            self._hidden.unlink(missing_ok=True)

    def take_the_name(self, target: Path) -> None:
        """Become `target`, all at once."""
        handle = self.file.fileno()
        if self._old is not None and hasattr(os, "fchmod"):
            with suppress(OSError):  # only root may give files away
                os.fchown(handle, self._old.st_uid, self._old.st_gid)
            os.fchmod(handle, stat.S_IMODE(self._old.st_mode))
        os.fsync(handle)
        if self._hidden is not None or self._old is not None or not self._becomes(target):
            self._replace(target)
        if os.name == "posix":  # elsewhere a folder cannot be opened, and need not be
            _force_to_disk(target.parent)

    def take_a_free_name(self, target: Path) -> bool:
        """Become `target`, all at once, unless something has that name; whether it did."""
        os.fsync(self.file.fileno())
        try:
            self._link(target)
        except FileExistsError:
            return False
        except OSError:  # a file system without links: the same, but for a moment in between
            if os.path.lexists(target):
                return False
            self._replace(target)
        if os.name == "posix":
            _force_to_disk(target.parent)
        return True

    def _becomes(self, name: Path) -> bool:
        """Give the nameless file a name; not where that is taken, or the system cannot."""
        try:
            self._link(name)
        except OSError:
            return False
        return True

    def _link(self, name: Path) -> None:
        """Give the file a name that is free."""
        if self._hidden is not None:
            os.link(self._hidden, name)
            return
        folder = os.open(name.parent, os.O_RDONLY)
        source = str(_OPEN_FILES / str(self.file.fileno()))
        try:  # with the folder's handle Python follows the link in /proc, and else not
            os.link(source, name.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def _replace(self, target: Path) -> None:
        hidden = self._hidden or target.with_name(_hidden_name())
        if self._hidden is None and not self._becomes(hidden):
            # A file system that has nameless files and cannot name them.
            hidden = self._copied_to_hidden(target.parent)
        self._hidden = hidden
        if os.name == "nt":  # where an open file keeps its name
            self.file.close()
        try:
            os.replace(hidden, target)
        except OSError as error:
            if error.errno != errno.EBUSY:  # a file that a container has mounted by itself
                raise
            _pour(self.file, target)
        else:
            self._hidden = None

    def _copied_to_hidden(self, folder: Path) -> Path:
        state = os.fstat(self.file.fileno())
        handle, hidden = _hidden_file(folder, 0o600)
        self._hidden = hidden
        copy = os.fdopen(handle, "w+b")
        with self.file as nameless:
            nameless.seek(0)
            self.file = copy
            shutil.copyfileobj(nameless, copy)
        copy.flush()
        os.fchmod(handle, stat.S_IMODE(state.st_mode))
        os.fsync(handle)
        return hidden


def _end_of_links(path: Path) -> Path:
    """What a link leads to, whether that exists or not; an open descriptor stays one."""
    for _ in range(_LINKS):
        if _DESCRIPTOR.fullmatch(str(path)) or not os.path.islink(path):
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _state(path: Path) -> os.stat_result | None:
    """What is there; None where nothing is.

    Raises:
        OSError: a folder is there, or the name cannot be one.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return found


def _hidden_name() -> str:
    return f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def _nameless_file(folder: Path, mode: int) -> int | None:
    """An open file that no folder lists; None where the system has none, or cannot name it."""
    if not hasattr(os, "O_TMPFILE") or not _OPEN_FILES.is_dir():
        return None
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR, mode)
    except OSError:
        return None
    _lock(handle)
    return handle


def _hidden_file(folder: Path, mode: int) -> tuple[int, Path]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / _hidden_name()
        handle = os.open(path, flags, mode)
        if not _lock(handle) or os.fstat(handle).st_nlink:
            return handle, path
        os.close(handle)  # somebody swept it away before it was locked


def _pour(file: IO[bytes], target: Path) -> None:
    """Write a whole file through what stands at `target`, which stays what it is."""
    descriptor = re.fullmatch(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)", str(target))
    if descriptor or str(target) in ("/dev/stdout", "/dev/stderr"):
        number = 2 if target.name == "stderr" else 1 if descriptor is None else int(target.name)
        handle = os.dup(number)  # to open it anew would write from the front of a file
    else:
        handle = _opened(target)
    file.seek(0)
    with os.fdopen(handle, "wb") as out:
        shutil.copyfileobj(file, out)


def _opened(target: Path) -> int:
    """What is no new file, to write; a pipe that nobody reads is not waited for without end."""
    flags = os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    if not stat.S_ISFIFO(target.stat().st_mode):
        return os.open(target, flags)
    end = time.monotonic() + _READER_WAIT_S
    while True:
        try:
            handle = os.open(target, flags | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                said = "nobody reads from this named pipe; start its reader first"
                raise OSError(errno.ENXIO, said, str(target)) from None
            time.sleep(0.05)
        else:
            os.set_blocking(handle, True)
            return handle


def _is_ours(name: object, folder: Path) -> bool:
    """Whether an error is about the file that is being written, by whatever name."""
    if not isinstance(name, str):
        return True  # none, or the number of an open file
    return Path(name) == folder or Path(name).name.startswith(_PREFIX)


def _lock(handle: int) -> bool:
    """Mark an open file as somebody's; whether it is ours now."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder, once a process."""
    if fcntl is None or str(folder) in _swept:
        return
    _swept.add(str(folder))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unless_locked(entry.path)


def _remove_unless_locked(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        if _lock(handle):
            os.unlink(path)
    finally:
        os.close(handle)


def _force_to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
