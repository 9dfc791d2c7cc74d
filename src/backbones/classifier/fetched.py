"""Images at an address: files, and archives and tables that are fetched one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from backbones.classifier.archives import Waiting, images_in
from backbones.classifier.tables import SUFFIX as TABLE
from backbones.classifier.tables import images_in_table
from backbones.data.remote import Stored, read
from backbones.data.sets.listing import is_image_name
from backbones.data.shards.finding import find_shards
from backbones.data.stores import plain
from backbones.errors import NotFound

_PIECE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class FetchedShard:
    """An archive or a table at an address; a copy is on this machine while it is read.

    Args:
        stored: where it is, and how large.
    """

    stored: Stored

    @property
    def name(self) -> str:
        """Its address without credentials."""
        return plain(self.stored.place)

    def count(self) -> int:
        """1: what is in it is known when it is here."""
        return 1

    def images(self) -> Iterator[Waiting]:
        """Every image, called by the address and its own name.

        Raises:
            DownloadFailed, NotFound, BadData: it cannot be fetched.
        """
        with tempfile.TemporaryDirectory(prefix="backbones-") as folder:
            copy = Path(folder) / self.stored.name
            with copy.open("wb") as file:
                self._fetch(file)
            is_table = copy.suffix.lower() == TABLE
            for each in images_in_table(copy) if is_table else images_in(copy):
                yield replace(each, path=self.name + each.path.removeprefix(str(copy)))

    def _fetch(self, file: IO[bytes]) -> None:
        size = self.stored.size
        for start in range(0, size, _PIECE_BYTES):
            file.write(read(self.stored.place, start, min(start + _PIECE_BYTES, size)))


@dataclass(frozen=True)
class FetchedFile:
    """One image at an address.

    Args:
        place: its address.
    """

    place: str

    @property
    def name(self) -> str:
        """Its address without credentials."""
        return plain(self.place)

    def count(self) -> int:
        """1."""
        return 1

    def images(self) -> Iterator[Waiting]:
        """The image, which is fetched when it is its turn."""
        yield Waiting(self.name, lambda: read(self.place))


def at_address(address: str) -> Iterator[FetchedShard | FetchedFile]:
    """What an address means: an image, or the shards of a file, a folder or a pattern.

    Raises:
        NotFound: there is none.
        DownloadFailed: the store gives no answer.
        MissingExtra: without fsspec.
    """
    if is_image_name(plain(address)):
        yield FetchedFile(address)
        return
    found = find_shards(address).shards
    if not found:
        raise NotFound(f"{plain(address)} holds no shards; expected .tar or .parquet files in it")
    yield from map(FetchedShard, found)
