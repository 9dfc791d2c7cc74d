"""The folder that workers share, as far as they need one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from backbones.errors import WrongUse
from backbones.files import create_atomic, write_atomic


class Store(Protocol):
    """Files by name, which appear whole or not at all."""

    @property
    def name(self) -> str:
        """Where it is, for people."""

    def create(self, name: str, data: bytes) -> bool:
        """Make a file where there is none of that name; of several who try, one does.

        Returns:
            whether this call made it.
        """

    def replace(self, name: str, data: bytes) -> None:
        """Make a file, or give it another content."""

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""

    def names(self, folder: str = "") -> list[str]:
        """The files of a folder, sorted, without its name; none where there is no folder."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class FolderStore:
    """A folder of a file system that has exclusive creation: a disk, NFS from version 3 on.

    Args:
        root: the folder; made where it does not exist.

    Raises:
        WrongUse: it cannot be a folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            (root / "claims").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongUse(
                f"{root} cannot be a folder for parts: {error.strerror}; name another"
            ) from None

    @property
    def name(self) -> str:
        return str(self._root)

    def create(self, name: str, data: bytes) -> bool:
        return create_atomic(self._root / name, data)

    def replace(self, name: str, data: bytes) -> None:
        write_atomic(self._root / name, data)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(each.name for each in (self._root / folder).iterdir() if each.is_file())
        return []

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)
