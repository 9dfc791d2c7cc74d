"""From a split of labelled images to batches that a network can eat.

Every batch is a function of (seed, epoch, batch number): the number of workers, the number of
processes that share it, and the point at which a run was resumed change nothing. In training,
images from a decoded copy differ a little from those from the files (see `cached_shorter_px`), so
that `cache` is part of the recipe.

* In training (an `Augment` is given) the order is shuffled anew each epoch; in evaluation (None)
  images come in order, resized and cropped as torchvision does, to the pixel.
* The last batch may be smaller. In training it is dropped when one image alone would be left
  of several batches: batch norm cannot learn from one image. (Files are counted here, as
  nobody knows before which of them are bad; `training.lone` sees to batches that these shrink.)
* A file that does not decode is quarantined: it is missing from its batch, named in
  `Batch.bad`, and never replaced. A batch can become empty that way; the numbering stays.
* In training, large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that still has the
  pixels that the crop needs, and a small crop of a large resized image is cut out before the
  resize. Against Pillow on the same crops of small photos that is a mean of 0.1 to 0.2 grey
  levels, 4 in the worst image of a hundred; of 3000 x 2000 photos 1 to 2, and 5 in the worst
  (`benchmarks/pipeline.py` measures it). Evaluation does neither: its mean is 0.003, at most 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbones.data.augment import Augment, AugmentParams, framing_of, sample_params
from backbones.data.cache import CacheForm, open_cache
from backbones.data.decoder_pool import DecoderPool, usable_cores
from backbones.data.finish import Finisher
from backbones.data.geometry import Framing, evaluation_framing, shorter_px, tighten
from backbones.data.memory import MemorySquares, can_cut_at_once
from backbones.data.random import Integers
from backbones.data.readers import Reader, open_reader
from backbones.data.render import Pixels, render
from backbones.data.source import ArrayImages, Split
from backbones.errors import BadImage, WrongUse
from backbones.ranks import ALONE, Ranks
from backbones.spec import InputSpec

_MOST_IMAGES_A_TASK = 16
_DRAWN_AT_ONCE = 4096


@dataclass(frozen=True)
class BadFile:
    """An image that could not be decoded.

    Args:
        name: as the source calls it: the path below the root.
        reason: one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Some images, ready for the network.

    Args:
        images: float32 (N, C, S, S), normalised; strides are channels_last.
        labels: int64 (N,).
        indices: positions in the split, int64 (N,).
        bad: files that belong to this batch and are missing from it.
    """

    images: Tensor
    labels: Tensor
    indices: Integers
    bad: tuple[BadFile, ...] = ()


class Pipeline:
    """The batches of one split, epoch after epoch.

    Args:
        split: labelled images.
        spec: what the network sees.
        batch_size: images in a batch, at least 1.
        augment: what training samples; None evaluates.
        seed: of everything that is sampled.
        cache: folder for a decoded copy of image files (see `backbones.data.cache`).
        workers: threads that prepare images; None takes one per core, 0 none.
        progress: called with (images done, images in all) while the cache is built.
        ranks: the processes that share each batch; this one prepares its part of it.

    Raises:
        WrongUse: a batch size below 1, workers below 0, or PCA colour for grey images.
    """

    def __init__(
        self,
        split: Split,
        spec: InputSpec,
        *,
        batch_size: int,
        augment: Augment | None = None,
        seed: int = 0,
        cache: Path | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        if batch_size < 1:
            raise WrongUse(f"batch_size is {batch_size}, expected at least 1")
        if workers is not None and workers < 0:
            raise WrongUse(f"workers is {workers}, expected at least 0")
        if augment is not None and augment.pca_colour and spec.channels != 3:
            raise WrongUse("pca_colour shifts RGB, and the network takes grey: set it to 0")
        self.split = split
        self.spec = spec
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed
        self.workers = usable_cores() if workers is None else workers
        self.steps_per_epoch = _num_batches(len(split), batch_size, training=augment is not None)
        self._finisher = Finisher(spec)
        self._pool: DecoderPool | None = None
        self._reader: Reader | None = None
        self._cache, self._progress, self._ranks = cache, progress, ranks
        self._memory: MemorySquares | None = None

    def epoch(self, epoch: int = 0, *, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: counted from 0; evaluation is the same in each.
            start: number of the first batch, to go on in the middle.

        Raises:
            WrongUse: `start` is outside 0 .. `steps_per_epoch`.
        """
        if not 0 <= start <= self.steps_per_epoch:
            raise WrongUse(f"start is {start}, expected 0 to {self.steps_per_epoch} batches")
        return self._stream(epoch, start)

    def close(self) -> None:
        """Stop the threads; the next epoch starts them again."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def prepare(self) -> None:
        """Start the threads, and build or open the cache; the first epoch does it otherwise."""
        self._ready()

    def _ready(self) -> tuple[DecoderPool, Reader]:
        if self._pool is None:
            self._pool = DecoderPool(self.workers)
        if self._reader is None:
            self._reader = self._opened(self._pool)
        return self._pool, self._reader

    def _opened(self, pool: DecoderPool) -> Reader:
        images, spec = self.split.images, self.spec
        if self._cache is None or isinstance(images, ArrayImages):
            return open_reader(images, spec.channels)
        bound = cached_shorter_px(spec, self.augment)
        form = CacheForm(bound, spec.channels, spec.interpolation)
        return open_cache(
            self._cache, self.split.name, images, form, pool=pool, progress=self._progress
        )

    def _stream(self, epoch: int, start: int) -> Iterator[Batch]:
        images = self.split.images
        orders = self._orders(epoch, start)
        if isinstance(images, ArrayImages) and can_cut_at_once(self.augment):
            if self._memory is None:
                self._memory = MemorySquares(images, self.spec, self.augment)
            for order in orders:
                yield self._at_once(self._memory, order)
        else:
            yield from self._by_crew(orders)

    def _orders(self, epoch: int, start: int) -> Iterator[_Order]:
        """What each batch is made of; sampled for many batches at once, which is cheaper."""
        count, size, augment = len(self.split), self.batch_size, self.augment
        order = np.arange(count)
        if augment is not None:
            order = self.split.images.order(self.seed, epoch)
        if self._reader is not None:
            self._reader.expect(self._own(order[start * size :]))
        stride = max(1, _DRAWN_AT_ONCE // size)
        for first in range(start, self.steps_per_epoch, stride):
            steps = range(first, min(first + stride, self.steps_per_epoch))
            block = order[steps.start * size : steps.stop * size]
            params = None if augment is None else sample_params(augment, self.seed, epoch, block)
            for at in range(0, len(block), size):
                mine = self._ranks.share(min(size, len(block) - at))
                first_row, last_row = at + mine.start, at + mine.stop
                rows = None if params is None else params.rows(first_row, last_row)
                yield _Order(block[first_row:last_row], rows)

    def _own(self, order: Integers) -> Integers:
        """What this process prepares of batches in a row."""
        if self._ranks.alone:
            return order
        batches = np.split(order, range(self.batch_size, len(order), self.batch_size))
        return np.concatenate([batch[self._ranks.share(len(batch))] for batch in batches])

    def _at_once(self, memory: MemorySquares, order: _Order) -> Batch:
        images = self._empty(order)
        if not len(order.indices):
            return _batch(images, self.split, order.indices)
        self._finisher.finish(images, memory.squares(order.indices, order.params), order.params)
        return _batch(images, self.split, order.indices)

    def _by_crew(self, orders: Iterator[_Order]) -> Iterator[Batch]:
        pool, reader = self._ready()
        ahead = 1 if not self.workers else 2 + self.workers * 8 // self.batch_size
        jobs: deque[_Job] = deque()
        try:
            for order in orders:
                jobs.append(_Job(self, pool, reader, order))
                if len(jobs) > ahead:
                    yield jobs.popleft().batch()
            while jobs:
                yield jobs.popleft().batch()
        finally:
            for job in jobs:
                job.cancel()

    def _empty(self, order: _Order) -> Tensor:
        size, channels = self.spec.size, self.spec.channels
        shape = (len(order.indices), size, size, channels)
        return torch.empty(shape, dtype=torch.float32, device="cpu")

    def _framing(self, order: _Order, row: int, width: int, height: int) -> Framing:
        """How the image of a row is cut."""
        if self.augment is None or order.params is None:
            return evaluation_framing(width, height, self.spec.resize, self.spec.size)
        return tighten(framing_of(self.augment, order.params, row, width, height, self.spec.size))

    def _square(self, reader: Reader, order: _Order, row: int, known: Framing | None) -> Pixels:
        """Read and cut one image; `known` is its framing, where its size was known before."""

        def needed(width: int, height: int) -> int:
            return shorter_px(width, height, self._framing(order, row, width, height))

        def square(pixels: Pixels) -> Pixels:
            framed = known or self._framing(order, row, pixels.shape[1], pixels.shape[0])
            return render(pixels, framed, self.spec.interpolation)

        index = int(order.indices[row])
        return reader.read(index, None if self.augment is None else needed, square)


@dataclass(frozen=True)
class _Order:
    """What a batch is made of: positions in the split, and what was sampled for them."""

    indices: Integers
    params: AugmentParams | None


class _Job:
    """One batch in the making: its rows are filled by the pool, a few to a task."""

    def __init__(
        self, pipeline: Pipeline, pool: DecoderPool, reader: Reader, order: _Order
    ) -> None:
        self._pipeline, self._reader, self._order = pipeline, reader, order
        self._images = pipeline._empty(order)
        count = len(order.indices)
        share = -(-count // max(1, 2 * pool.workers))
        step = max(1, min(_MOST_IMAGES_A_TASK, share))
        self._tasks: list[Future[dict[int, BadFile]]] = [
            pool.submit(self._fill, row, min(row + step, count)) for row in range(0, count, step)
        ]

    def batch(self) -> Batch:
        """Wait for the rows, and leave out those whose files are bad."""
        bad: dict[int, BadFile] = {}
        for task in self._tasks:
            bad.update(task.result())
        images, indices = self._images, self._order.indices
        if bad:
            good = np.array([row for row in range(len(indices)) if row not in bad], dtype=np.int64)
            images, indices = images[torch.from_numpy(good)], indices[good]
        found = tuple(bad[row] for row in sorted(bad))
        return _batch(images, self._pipeline.split, indices, found)

    def cancel(self) -> None:
        """Let tasks that have not begun fall away."""
        for task in self._tasks:
            task.cancel()

    def _fill(self, first: int, last: int) -> dict[int, BadFile]:
        pipeline, order = self._pipeline, self._order
        images = self._images[first:last]
        known = self._known_framings(first, last)
        bad: dict[int, BadFile] = {}

        def squares() -> Iterator[Pixels]:
            for row, framed in zip(range(first, last), known, strict=True):
                try:
                    yield pipeline._square(self._reader, order, row, framed)
                except BadImage as error:
                    name = pipeline.split.images.name(int(order.indices[row]))
                    bad[row] = BadFile(name, str(error))
                    yield np.zeros(tuple(images.shape[1:]), dtype=np.uint8)

        params = None if order.params is None else order.params.rows(first, last)
        pipeline._finisher.finish(images, squares(), params)
        return bad

    def _known_framings(self, first: int, last: int) -> list[Framing | None]:
        """The framings of those rows whose images' sizes are known before they are read.

        One after the other: between the pixels of two images, which fill the processor's cache,
        the same lines of Python take twice as long.
        """
        framings: list[Framing | None] = []
        for row, index in enumerate(self._order.indices[first:last].tolist(), first):
            size = self._reader.size(index)
            framings.append(size and self._pipeline._framing(self._order, row, *size))
        return framings


def _batch(images: Tensor, split: Split, indices: Integers, bad: tuple[BadFile, ...] = ()) -> Batch:
    labels = torch.from_numpy(split.labels[indices])
    return Batch(images.permute(0, 3, 1, 2), labels, indices, bad)


def cached_shorter_px(spec: InputSpec, augment: Augment | None) -> int | None:
    """The shorter side that a cached image must keep: what the largest resize asks for.

    With it, an evaluation from the cache sees exactly the pixels that it would see from the files.
    For "random_resized" it is the usual 8/7 of the square, as a choice: small boxes come out
    softer than from the files (mean 3 grey levels, 11 in the worst of a hundred small photos).
    None means the whole image.
    """
    if augment is None:
        return spec.resize
    if augment.crop == "random_resized":
        return max(spec.resize, -(-spec.size * 8 // 7))
    return augment.resize[1] if isinstance(augment.resize, tuple) else augment.resize


def _num_batches(count: int, batch_size: int, *, training: bool) -> int:
    batches = -(-count // batch_size)
    lone = batches > 1 and batch_size > 1 and count % batch_size == 1
    return batches - 1 if training and lone else batches
