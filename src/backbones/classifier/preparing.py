"""Images as a network sees them: each decoded once, and cut for every geometry that is wanted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image

from backbones.classifier.source import Block, Source
from backbones.data.decoder_pool import DecoderPool, usable_cores
from backbones.data.finish import stacked
from backbones.data.geometry import Box, centre_crop_box, resized_size
from backbones.data.render import Pixels, with_channels
from backbones.errors import BadImage
from backbones.protocols.row import Protocol
from backbones.protocols.viewing import View, cut_views, plan
from backbones.spec import InputSpec

_AHEAD_BYTES = 64 * 2**20  # of archives' members that wait, and of views that nobody took yet
_USUAL_PHOTO = (500, 375)
_MOST_WHOLE = (2**24, 2**14)  # pixels and px of a side, that a graph is given to resize


class WholeImages(InputSpec):
    """Of a network that resizes and cuts by itself, and is given images as they are."""


def geometry_of(spec: InputSpec) -> InputSpec:
    """What of a spec decides which pixels are cut: networks that share it share the cuts."""
    return replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)


@dataclass(frozen=True)
class Cut:
    """A block's images as one geometry wants them.

    Args:
        plan: the views of each image.
        pixels: one array a view, uint8 (n, h, w, C).
    """

    plan: tuple[View, ...]
    pixels: tuple[Pixels, ...]


@dataclass(frozen=True)
class Prepared:
    """A block, decoded and cut; or the reason why it can't be.

    Args:
        names: of its images.
        cuts: by geometry.
        size: width and height of its images, px.
        images: the whole images, reduced, where they were asked for.
        error: why there is nothing.
    """

    names: tuple[str, ...]
    cuts: dict[InputSpec, Cut]
    size: tuple[int, int] = (0, 0)
    images: tuple[Pixels, ...] = ()
    error: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int]) -> Prepared:
        """Some of its images."""
        if len(rows) == len(self):
            return self
        cuts = {
            spec: Cut(cut.plan, tuple(pixels[rows] for pixels in cut.pixels))
            for spec, cut in self.cuts.items()
        }
        names = tuple(self.names[row] for row in rows)
        images = tuple(self.images[row] for row in rows if self.images)
        return replace(self, names=names, cuts=cuts, images=images)

    @property
    def num_bytes(self) -> int:
        """Of all pixels."""
        views = (view for cut in self.cuts.values() for view in cut.pixels)
        return sum(pixels.nbytes for pixels in (*views, *self.images))


@dataclass(frozen=True)
class Preparation:
    """What is made of each image.

    Args:
        protocol: the views to cut.
        geometries: each as `geometry_of` gives it.
        kept_px: hand the whole image on too, with a longer side of at most this; None for not.
        workers: threads; one a core where None, none where 0.
    """

    protocol: Protocol
    geometries: tuple[InputSpec, ...]
    kept_px: int | None = None
    workers: int | None = None

    def stream(self, source: Source, batch_size: int) -> Generator[Prepared]:
        """Every block of a source in order, prepared by threads ahead of whoever takes them.

        Memory depends neither on how many images there are nor on how large archives' members are.

        Args:
            source: the images.
            batch_size: images that a network sees at once; as many are prepared ahead.

        Raises:
            ProtocolError: a view is larger than what it is cut from.
        """
        pool = DecoderPool(usable_cores() if self.workers is None else self.workers)
        ahead = pool.workers + max(pool.workers, batch_size // self._views_per_image())
        jobs = _Jobs(pool, self.prepared)
        try:
            for block in source.blocks(self._block_size(batch_size)):
                alone = block.alone
                while alone and jobs:
                    yield jobs.take()
                jobs.begin(block)
                del block
                while jobs and (alone or jobs.are_enough(max(ahead, 2))):
                    yield jobs.take()
            while jobs:
                yield jobs.take()
        finally:
            jobs.cancel()
            pool.close()

    def _block_size(self, batch_size: int) -> int:
        """Rows of an array go through together where their views fill batches exactly."""
        small = self.protocol.scoring == "crops" and self.protocol.region != "whole"
        return batch_size if small else 1

    def _views_per_image(self) -> int:
        return max(len(plan(self.protocol, *_USUAL_PHOTO, spec)) for spec in self.geometries)

    def prepared(self, block: Block) -> Prepared:
        """A block, decoded and cut, or the reason why it can't be.

        Raises:
            ProtocolError: a view is larger than what it is cut from.
        """

        def cut(pixels: Pixels) -> Prepared:
            cuts = {spec: self._cut(pixels, spec) for spec in self.geometries}
            longer_px = self.kept_px
            kept = () if longer_px is None else tuple(reduced(each, longer_px) for each in pixels)
            return Prepared(block.names, cuts, (pixels.shape[2], pixels.shape[1]), kept)

        try:
            made: Prepared = block.apply(cut)
        except BadImage as error:
            return Prepared(block.names, {}, error=str(error))
        return made

    def _cut(self, pixels: Pixels, spec: InputSpec) -> Cut:
        sides = (pixels.shape[2], pixels.shape[1])
        if isinstance(spec, WholeImages):
            wanted: tuple[View, ...] = (whole_view(*sides, spec.resize),)
            spec = replace(spec, size=max(spec.size, spec.resize))
        else:
            wanted = plan(self.protocol, *sides, spec)
        if pixels.shape[3] != spec.channels:
            made = [with_channels(each, spec.channels) for each in pixels]
            pixels = made[0][None] if len(made) == 1 else np.stack(made)
        return Cut(wanted, tuple(cut_views(pixels, wanted, spec)))


def whole_view(width: int, height: int, resize: int) -> View:
    """What a graph that resizes by itself is given: the image as it is.

    One that is too large for that is resized and cut to a square here, which the graph's own resize
    leaves as it is.

    Args:
        width, height: of the image, px.
        resize: px, the shorter side to which the graph resizes.
    """
    pixels, side = _MOST_WHOLE
    if width * height <= pixels and max(width, height) <= side:
        return View((width, height), Box(0, 0, width, height))
    resized = resized_size(width, height, resize)
    return View(resized, centre_crop_box(*resized, resize))


def batches(stream: Iterator[Prepared], batch_size: int) -> Iterator[list[Prepared]]:
    """So many blocks of one image at a time, those that can't be read among them."""
    while batch := list(islice(stream, batch_size)):
        yield batch


def reduced(pixels: Pixels, longer_px: int) -> Pixels:
    """The image with a longer side of so many px at most, so that many may wait for their turn.

    Shapes: uint8 (H, W, 1 or 3), which it keeps.
    """
    if max(pixels.shape[:2]) <= longer_px:
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((longer_px, longer_px))
    small = np.asarray(image)
    return small[:, :, None] if small.ndim == 2 else small


class _Jobs:
    """Blocks on their way, in order, and what they hold.

    Args:
        pool: prepares them.
        prepare: what is done with each.
    """

    def __init__(self, pool: DecoderPool, prepare: Callable[[Block], Prepared]) -> None:
        self._pool, self._prepare = pool, prepare
        self._waiting: deque[Future[Prepared]] = deque()
        self._images = 0
        self._bytes = 0  # of files that wait, and of pixels that nobody took yet
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, block: Block) -> None:
        """Hand a block to the pool."""
        self._images += len(block.names)
        self._holds(block.num_bytes)
        self._waiting.append(self._pool.submit(self._prepared, block))

    def take(self) -> Prepared:
        """The next block, when it is ready."""
        prepared = self._waiting.popleft().result()
        self._images -= len(prepared)
        self._holds(-prepared.num_bytes)
        return prepared

    def are_enough(self, num_images: int) -> bool:
        """Whether so many images are on their way, or a few large ones."""
        return self._images >= num_images or self._bytes > _AHEAD_BYTES

    def cancel(self) -> None:
        """Let blocks that have not begun fall away."""
        for job in self._waiting:
            job.cancel()

    def _prepared(self, block: Block) -> Prepared:
        prepared = self._prepare(block)
        self._holds(prepared.num_bytes - block.num_bytes)
        return prepared

    def _holds(self, num_bytes: int) -> None:
        with self._lock:
            self._bytes += num_bytes


def squares_of(batch: Sequence[Prepared], spec: InputSpec) -> Pixels:
    """What a network sees of the readable images, each alone in its block: view by view.

    Shapes: uint8 (N * V, S, S, C), N of them readable, in V views each.
    """
    geometry = geometry_of(spec)
    good = [each.cuts[geometry] for each in batch if each.error is None]
    squares = [view for cut in good for view in cut.pixels]
    return stacked(squares) if squares else np.empty((0, spec.size, spec.size, 1), np.uint8)
