"""From a split of labelled pictures to batches that a network can eat.

Every batch is a function of (seed, epoch, batch number): the number of workers, the way the
pictures are stored and the point at which a run was resumed change nothing.

* In training (an `Augment` is given) the order is shuffled anew each epoch; in evaluation (None)
  pictures come in order, resized and cropped as torchvision does, to the pixel.
* The last batch may be smaller. In training it is dropped when one picture alone would be left
  of several batches: batch norm cannot learn from one picture.
* A file that does not decode is quarantined: it is missing from its batch, named in
  `Batch.bad`, and never replaced. A batch can become empty that way; the numbering stays.
* In training, large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that still has the
  pixels that the crop needs, and a small crop of a large resized picture is cut out before the
  resize. Most pictures change by less than a grey level, a few small boxes visibly (mean 6).
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

from backbones.data.augment import Augment, Draws, draws, erased_box, framing_of
from backbones.data.crew import Crew, usable_cores
from backbones.data.draws import Integers, shuffled
from backbones.data.geometry import Framing, evaluation_framing, tighten
from backbones.data.readers import Reader, open_reader
from backbones.data.render import Normaliser, Pixels, render
from backbones.data.source import Split
from backbones.errors import BadImage, WrongUse
from backbones.spec import InputSpec

_MOST_PICTURES_A_TASK = 16


@dataclass(frozen=True)
class BadFile:
    """A picture that could not be decoded.

    Args:
        name: as the source calls it: the path below the root.
        reason: one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Some pictures, ready for the network.

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
        split: labelled pictures.
        spec: what the network sees.
        batch_size: pictures in a batch, at least 1.
        augment: what training draws; None evaluates.
        seed: of everything that is drawn.
        cache: folder for a decoded copy of picture files (see `backbones.data.cache`).
        workers: threads that prepare pictures; None takes one per core, 0 none.
        progress: called with (pictures done, pictures in all) while the cache is built.

    Raises:
        WrongUse: a batch size below 1, or PCA colour for grey pictures.
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
    ) -> None:
        if batch_size < 1:
            raise WrongUse(f"batch_size is {batch_size}, expected at least 1")
        if augment is not None and augment.pca_colour and spec.channels != 3:
            raise WrongUse("pca_colour shifts RGB, and the network takes grey: set it to 0")
        self.split = split
        self.spec = spec
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed
        self.workers = usable_cores() if workers is None else workers
        self.steps_per_epoch = _num_batches(len(split), batch_size, training=augment is not None)
        self._normaliser = Normaliser(spec)
        self._crew: Crew | None = None
        self._reader: Reader = open_reader(split.pictures, spec.channels)

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
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _indices(self, epoch: int, start: int) -> Iterator[Integers]:
        count, size = len(self.split), self.batch_size
        order = np.arange(count) if self.augment is None else shuffled(self.seed, epoch, count)
        for step in range(start, self.steps_per_epoch):
            yield order[step * size : (step + 1) * size]

    def _stream(self, epoch: int, start: int) -> Iterator[Batch]:
        if self._crew is None:
            self._crew = Crew(self.workers)
        ahead = 1 if not self.workers else 2 + self.workers * 8 // self.batch_size
        jobs: deque[_Job] = deque()
        try:
            for indices in self._indices(epoch, start):
                jobs.append(_Job(self, self._crew, epoch, indices))
                if len(jobs) >= ahead:
                    yield jobs.popleft().batch()
            while jobs:
                yield jobs.popleft().batch()
        finally:
            for job in jobs:
                job.cancel()


class _Job:
    """One batch in the making: its rows are filled by the crew, a few to a task."""

    def __init__(self, pipeline: Pipeline, crew: Crew, epoch: int, indices: Integers) -> None:
        self._pipeline = pipeline
        self._indices = indices
        augment, spec = pipeline.augment, pipeline.spec
        self._drawn: Draws | None = None
        if augment is not None:
            self._drawn = draws(augment, pipeline.seed, epoch, indices)
        shape = (len(indices), spec.size, spec.size, spec.channels)
        self._images = torch.empty(shape, dtype=torch.float32)
        share = -(-len(indices) // max(1, 2 * crew.workers))
        step = max(1, min(_MOST_PICTURES_A_TASK, share))
        self._tasks: list[Future[dict[int, BadFile]]] = [
            crew.submit(self._fill, row, min(row + step, len(indices)))
            for row in range(0, len(indices), step)
        ]

    def batch(self) -> Batch:
        bad: dict[int, BadFile] = {}
        for task in self._tasks:
            bad.update(task.result())
        images, indices = self._images, self._indices
        if bad:
            good = np.array([row for row in range(len(indices)) if row not in bad], dtype=np.int64)
            images, indices = images[torch.from_numpy(good)], indices[good]
        labels = torch.from_numpy(self._pipeline.split.labels[indices])
        found = tuple(bad[row] for row in sorted(bad))
        return Batch(images.permute(0, 3, 1, 2), labels, indices, found)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _fill(self, first: int, last: int) -> dict[int, BadFile]:
        bad = {}
        for row in range(first, last):
            try:
                self._fill_row(row)
            except BadImage as error:
                index = int(self._indices[row])
                name = self._pipeline.split.pictures.name(index)
                bad[row] = BadFile(name, str(error))
        return bad

    def _fill_row(self, row: int) -> None:
        pipeline = self._pipeline
        needed = None if pipeline.augment is None else lambda w, h: _shorter(w, h, frame(w, h))

        def frame(width: int, height: int) -> Framing:
            return self._framing(row, width, height)

        pixels = pipeline._reader.read(int(self._indices[row]), needed)
        framing = frame(pixels.shape[1], pixels.shape[0])
        square = render(pixels, framing, pipeline.spec.interpolation)
        self._finish(row, square)

    def _framing(self, row: int, width: int, height: int) -> Framing:
        augment, spec = self._pipeline.augment, self._pipeline.spec
        if augment is None or self._drawn is None:
            return evaluation_framing(width, height, spec.resize, spec.size)
        return tighten(framing_of(augment, self._drawn, row, width, height, spec.size))

    def _finish(self, row: int, square: Pixels) -> None:
        """Flip, normalise, shift the colour, erase."""
        if not square.flags.writeable or not square.flags.c_contiguous:
            square = square.copy()
        picture = torch.from_numpy(square)[None]
        out = self._images[row : row + 1]
        normaliser, drawn = self._pipeline._normaliser, self._drawn
        if drawn is None:
            normaliser.into(out, picture)
            return
        if drawn.flip[row]:
            picture = picture.permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
        colour = None
        if drawn.colour[row].any():
            colour = torch.from_numpy(drawn.colour[row : row + 1].astype(np.float32))
        normaliser.into(out, picture, colour)
        box = erased_box(drawn, row, self._pipeline.spec.size)
        if box is not None:
            out[0, box.top : box.top + box.height, box.left : box.left + box.width] = 0.0


def _shorter(width: int, height: int, framing: Framing) -> int:
    """Px that the picture's shorter side needs, so that the cut need not be enlarged."""
    cut, (wide, high), _ = framing
    share = max(wide / cut.width, high / cut.height)
    return max(1, int(np.ceil(min(width, height) * share)))


def _num_batches(count: int, batch_size: int, *, training: bool) -> int:
    batches = -(-count // batch_size)
    lone = batches > 1 and count % batch_size == 1 and batch_size > 1
    return batches - 1 if training and lone else batches
