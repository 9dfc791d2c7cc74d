"""Images to answer, whatever they come from: one stream of decoded pixels with their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from backbones.classifier.inputs import Inputs, find_inputs
from backbones.data.decode import decode_then
from backbones.data.pixels import to_rgb
from backbones.data.render import Pixels
from backbones.data.source import ArrayImages, Split
from backbones.errors import BadImage, WrongUse


@dataclass(frozen=True)
class Block:
    """Images of one size that go through together: one file, or some rows of an array.

    Args:
        names: what answers call them.
        apply: gives their pixels, uint8 (n, H, W, 1 or 3), to a function and returns what that
            makes of them, or raises BadImage. While it works, no more than a share of the memory
            is taken by what is decoded.
        num_bytes: that are in memory until they are read.
        alone: is so large that it must be applied before the next block is asked for, and while
            no other is.
    """

    names: tuple[str, ...]
    apply: Callable[[Callable[[Pixels], Any]], Any]
    num_bytes: int = 0
    alone: bool = False


@dataclass(frozen=True)
class Source:
    """Images in order, of which each is read once.

    Args:
        blocks: makes the blocks, given the most images that one may hold.
        num_images: how many there are; an archive without an index counts as one.
    """

    blocks: Callable[[int], Iterator[Block]]
    num_images: int

    def share(self, rank: int, size: int) -> Source:
        """Every so many-th image, from the one at `rank` on."""
        if size == 1:
            return self
        return Source(
            lambda _: islice(self.blocks(1), rank, None, size),
            len(range(rank, self.num_images, size)),
        )

    def sample(self, most: int) -> tuple[Source, int]:
        """Images spread evenly over these, at most so many, and how far apart they lie."""
        step = max(1, -(-self.num_images // most))
        spread = Source(
            lambda _: islice(self.blocks(1), 0, self.num_images, step),
            len(range(0, self.num_images, step)),
        )
        return spread, step


def split_source(split: Split) -> Source:
    """The images of a split; their labels don't matter here."""
    images = split.images

    def of_array(most: int) -> Iterator[Block]:
        assert isinstance(images, ArrayImages)
        for first in range(0, len(images), most):
            rows = range(first, min(first + most, len(images)))
            pixels = images.array[rows.start : rows.stop]
            yield Block(tuple(map(images.name, rows)), partial(_as_it_is, pixels))

    def of_files(most: int) -> Iterator[Block]:
        assert not isinstance(images, ArrayImages)
        images.expect(np.arange(len(images)))
        for index in range(len(images)):
            yield _encoded(images.name(index), partial(images.data, index))

    return Source(of_array if isinstance(images, ArrayImages) else of_files, len(images))


def input_source(inputs: Inputs) -> Source:
    """Images that `find_inputs` found."""

    def blocks(most: int) -> Iterator[Block]:
        for each in inputs:
            yield replace(_encoded(each.path, each.read, each.num_bytes), alone=each.alone)
            del each  # its bytes go as soon as they are decoded

    return Source(blocks, inputs.num_images)


def source_of(images: Any, *, stdin: BinaryIO | None = None) -> Source:
    """What people have in hand, as images in order.

    Args:
        images: one of these, or a sequence of them: paths of files, folders, patterns and archives
            ("-" is standard input), as `find_inputs` takes them; `PIL.Image`; uint8 arrays
            (H, W), (H, W, C) or (N, H, W, C); uint8 tensors (C, H, W) or (N, C, H, W); the bytes
            of an image file. Those without a name are called "image 1" and so on.
        stdin: standard input, for "-".

    Raises:
        NotFound: a file, folder or pattern that is not there, or holds no images.
        WrongUse: something else, or nothing.
    """
    if isinstance(images, Source):
        return images
    parts: list[Source] = []
    paths: list[str | Path] = []
    count = 0
    for each in _several(images):
        if isinstance(each, str | Path):
            paths.append(each)
            continue
        if paths:
            parts.append(input_source(find_inputs(paths, stdin=stdin)))
            paths = []
        blocks = _in_hand(each, count + 1)
        count += sum(len(block.names) for block in blocks)
        parts.append(Source(partial(_limited, blocks), sum(len(b.names) for b in blocks)))
    if paths or not parts:
        parts.append(input_source(find_inputs(paths, stdin=stdin)))
    if len(parts) == 1:
        return parts[0]
    return Source(
        lambda most: (block for part in parts for block in part.blocks(most)),
        sum(part.num_images for part in parts),
    )


def _several(images: Any) -> Iterable[Any]:
    alone = (str, Path, bytes, bytearray, memoryview, Image.Image, np.ndarray, Tensor)
    return [images] if isinstance(images, alone) or not isinstance(images, Iterable) else images


def _in_hand(image: Any, number: int) -> tuple[Block, ...]:
    """One image, or the rows of an array, without a file."""
    if isinstance(image, Image.Image):
        name = str(getattr(image, "filename", "") or f"image {number}")
        return (Block((name,), partial(_of_pillow, image)),)
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        return (_encoded(f"image {number}", lambda: data, len(data)),)
    pixels = _pixels_of(image)
    return tuple(
        Block((f"image {number + row}",), partial(_as_it_is, pixels[row : row + 1]))
        for row in range(len(pixels))
    )


def _pixels_of(image: Any) -> Pixels:
    """uint8 (N, H, W, C) of an array or a tensor."""
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        array = np.moveaxis(array, -3, -1) if array.ndim >= 3 else array
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise WrongUse(
            f"an image came as {type(image).__name__}; expected a path, PIL.Image, a uint8 array"
            " (H, W, C), a uint8 tensor (C, H, W), or the bytes of a file"
        )
    shape = tuple(image.shape)
    array = array[:, :, None] if array.ndim == 2 else array
    array = array[None] if array.ndim == 3 else array
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        expected = "(C, H, W)" if isinstance(image, Tensor) else "(H, W) or (H, W, C)"
        raise WrongUse(
            f"an image came as {image.dtype} of shape {shape}; expected uint8 {expected} with 1 or"
            " 3 channels, 0 to 255, not yet normalised"
        )
    if 0 in array.shape:
        raise WrongUse(f"an image of shape {shape} has no pixels")
    return array


def _of_pillow(image: Image.Image, work: Callable[[Pixels], Any]) -> Any:
    try:
        upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:  # it is read when it is first used
        raise BadImage(" ".join(str(error).split())) from None
    return work(to_rgb(upright, b"", None)[None])


def _as_it_is(pixels: Pixels, work: Callable[[Pixels], Any]) -> Any:
    return work(pixels)


def _limited(blocks: Sequence[Block], most: int) -> Iterator[Block]:
    yield from blocks


def _encoded(name: str, data: Callable[[], bytes], num_bytes: int = 0) -> Block:
    def apply(work: Callable[[Pixels], Any]) -> Any:
        return decode_then(data(), lambda pixels: work(pixels[None]))

    return Block((name,), apply, num_bytes)
