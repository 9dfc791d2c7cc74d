"""Files that are either the old one or the new one, never half of each.

The new content goes into a temporary file in the same folder, is forced to the disk, and then
takes the name of the old one in a single step. A full disk or a power cut leaves the old file.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by a file that holds `data`.

    Args:
        path: the file; its folder is made where it does not exist.
        data: the whole content.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "notes.txt", b"kept")
        ...     [(file.name, file.read_bytes()) for file in Path(folder).iterdir()]
        [('notes.txt', b'kept')]
    """
    with _replacing(path) as (file, _):
        file.write(data)


def fill_atomic(path: Path, fill: Callable[[IO[bytes]], None]) -> None:
    """Replace `path` by a file that something writes piece by piece.

    Args:
        path: the file; its folder is made where it does not exist.
        fill: writes into the open file.

    Raises:
        OSError: as `write_atomic`. What `fill` raises comes through; the old file is untouched.
    """
    with _replacing(path) as (file, _):
        fill(file)


def copy_atomic(source: Path, path: Path) -> None:
    """Replace `path` by a copy of another file.

    Raises:
        OSError: as `write_atomic`, or the source cannot be read.
    """
    with source.open("rb") as original, _replacing(path) as (file, _):
        shutil.copyfileobj(original, file)


def atomic_save_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Replace `path` by a safetensors file.

    Args:
        path: the file; its folder is made where it does not exist.
        tensors: by name; any device and memory format, written contiguous.
        metadata: text that is stored in the file's header.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with _replacing(path) as (_, temporary):
        try:
            save_file(plain, temporary, metadata=dict(metadata))
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """Give a temporary file beside `path`; at the end it takes the name, or disappears."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{Path(path).name}.", suffix=".tmp", dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, temporary
            file.flush()
        _force_to_disk(temporary, os.O_RDWR)
        temporary.chmod(_usual_mode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and need not be
        _force_to_disk(folder, os.O_RDONLY)


def _force_to_disk(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _usual_mode() -> int:
    """The mode of an ordinary new file; `mkstemp` makes private ones.

    The mask can be read only by setting it; it is put back at once.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
