"""The folder that workers share: of files, or of objects in a store."""

from __future__ import annotations

from dataclasses import dataclass

from backbones.data import remote
from backbones.errors import NotFound, WrongUse


@dataclass(frozen=True)
class Store:
    """Files by name, which appear whole or not at all.

    Args:
        place: a path that all workers share, or an address such as `s3://bucket/answers`.
        divided: nobody else makes the same files, so that a store without conditional writes does.
    """

    place: str
    divided: bool = False

    def create(self, name: str, data: bytes) -> bool:
        """Make a file where there is none of that name; of several who try, one does.

        Returns:
            whether this call made it, or another one with the same content.

        Raises:
            WrongUse: the place cannot be a folder, or it knows no such writes.
            DownloadFailed: the store gives no answer.
        """
        try:
            return remote.create(self._at(name), data)
        except WrongUse as error:
            if not self.divided:
                raise WrongUse(f"{error}; divide the shards by hand with --share I/N") from None
        except (NotADirectoryError, FileExistsError, PermissionError) as error:
            raise WrongUse(
                f"{self.place} cannot be a folder for parts: {error.strerror}; name another"
            ) from None
        if self.has(name):
            return False
        remote.write(self._at(name), data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Make a file, or give it another content."""
        remote.write(self._at(name), data)

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        try:
            return remote.read(self._at(name))
        except NotFound:
            return None

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return remote.exists(self._at(name))

    def names(self, folder: str = "") -> list[str]:
        """The files of a folder, sorted, without its name; none where there is no folder."""
        return [each.name for each in remote.listed(self._at(folder) if folder else self.place)]

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        remote.delete(self._at(name))

    def _at(self, name: str) -> str:
        return remote.below(self.place, name)
