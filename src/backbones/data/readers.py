"""Where decoded images come from, one at a time: files or memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backbones.data.allowance import READING
from backbones.data.decode import decode_then
from backbones.data.jpeg_header import read_jpeg_header
from backbones.data.random import Integers
from backbones.data.render import Pixels, with_channels
from backbones.data.source import ArrayImages, EncodedImages

_T = TypeVar("_T")

NeededPx = Callable[[int, int], int]
"""From an image's upright width and height to the px that its shorter side must keep."""


class Reader(Protocol):
    """Gives the images of a split as uint8 (H, W, channels)."""

    def read(self, index: int, needed: NeededPx | None, use: Callable[[Pixels], _T]) -> _T:
        """What `use` makes of image `index`, before other large ones are decoded.

        The image comes whole, or smaller where `needed` says how small.

        Raises:
            BadImage: it cannot be decoded.
        """
        ...

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of image `index`, px, where they are known without reading it."""
        ...

    def expect(self, indices: Integers) -> None:
        """Say which images will be read next, in order."""
        ...


@dataclass(frozen=True)
class FileReader:
    """Decodes each image anew.

    Args:
        images: the encoded ones.
        channels: 1 (grey) or 3 (RGB).
    """

    images: EncodedImages
    channels: int

    def read(self, index: int, needed: NeededPx | None, use: Callable[[Pixels], _T]) -> _T:
        """Decode image `index`; a JPEG at a fraction of its size where `needed` allows it."""
        with READING.taken(self.images.num_bytes(index)):
            return self._decoded(self.images.data(index), needed, use)

    def _decoded(self, data: bytes, needed: NeededPx | None, use: Callable[[Pixels], _T]) -> _T:
        shorter_px = None
        if needed is not None and (header := read_jpeg_header(data)) is not None:
            size = (header.width, header.height)
            width, height = size if header.orientation < 5 else size[::-1]
            if width and height:
                shorter_px = needed(width, height)
        channels = self.channels
        return decode_then(
            data, lambda pixels: use(with_channels(pixels, channels)), shorter_px=shorter_px
        )

    def expect(self, indices: Integers) -> None:
        """What is far away is fetched before it is asked for."""
        self.images.expect(indices)

    def size(self, index: int) -> None:
        """Not known: a file may be damaged, and what is decoded may be smaller than it says."""
        return None


@dataclass(frozen=True)
class ArrayReader:
    """Hands out images that are in memory.

    Args:
        images: the array.
        channels: 1 (grey) or 3 (RGB).
    """

    images: ArrayImages
    channels: int

    def read(self, index: int, needed: NeededPx | None, use: Callable[[Pixels], _T]) -> _T:
        """Image `index`, as it is."""
        return use(with_channels(self.images.array[index], self.channels))

    def expect(self, indices: Integers) -> None:
        """Nothing: they are here."""

    def size(self, index: int) -> tuple[int, int]:
        """Width and height, the same for all."""
        height, width = self.images.array.shape[1:3]
        return width, height


def open_reader(images: EncodedImages | ArrayImages, channels: int) -> Reader:
    """The reader for this kind of images."""
    if isinstance(images, EncodedImages):
        return FileReader(images, channels)
    return ArrayReader(images, channels)
