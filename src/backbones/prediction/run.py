"""From pictures to names with probabilities, in the order of the input."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from backbones.compute import Precision
from backbones.data.crew import Crew, usable_cores
from backbones.data.decode import decode_then
from backbones.data.finish import normalised
from backbones.data.geometry import evaluation_framing
from backbones.data.render import Pixels, render, with_channels
from backbones.errors import BadData, BadImage, telling_of_memory
from backbones.footprint.room import batch_advice
from backbones.nn.evaluating import evaluating, naming
from backbones.prediction.inputs import Inputs, Waiting
from backbones.progress import Progress
from backbones.spec import InputSpec

_WAITING_BYTES = 64 * 2**20  # of archives' members that are not decoded yet
_KEPT_PX = 640  # as large as an annotated picture is drawn


@dataclass(frozen=True)
class Guess:
    """One answer.

    Args:
        name: of the class, as it is shown.
        probability: between 0 and 1.
        id: what the network calls the class, where that is not its `name`.
    """

    name: str
    probability: float
    id: str | None = None

    @property
    def class_name(self) -> str:
        """What the network calls the class."""
        return self.name if self.id is None else self.id


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture.

    Args:
        path: as the input named it; in an archive, the archive's path and the member's name.
        predictions: the likeliest classes, best first; empty where there is an error.
        error: why the picture could not be read, or None.
        picture: the decoded pixels, where they were asked for; uint8 (H, W, 3), reduced to a
            longer side of at most 640 px.
    """

    path: str
    predictions: tuple[Guess, ...] = ()
    error: str | None = None
    picture: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)


def predict(
    network: nn.Module,
    inputs: Inputs | Iterable[Waiting],
    spec: InputSpec,
    classes: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    top: int | None = 5,
    batch_size: int = 32,
    precision: Precision = "fp32",
    workers: int | None = None,
    keep_pictures: bool = False,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predict pictures one after the other, while the next ones are being decoded.

    A picture that cannot be read becomes a prediction with an error, and the rest goes on. What
    the network sees is to the pixel what an evaluation under "single" shows it.

    Args:
        network: logits out; its mode is restored after every batch.
        inputs: what `find_inputs` found.
        spec: how pictures become what the network sees.
        classes: names, in the order of the network's outputs.
        names: how they are shown, in the same order; as they are where None.
        top: answers a picture; None gives all classes.
        batch_size: pictures at a time, at least 1.
        precision: "fp32" is exact; "bf16" is faster on processors with bf16 units.
        workers: threads that decode; None takes one per core, 0 none.
        keep_pictures: hand the decoded pixels on, for drawing.
        progress: called after every batch.

    Yields:
        One prediction a picture, in input order.

    Raises:
        BadData: the network's outputs are not as many as the class names.
        NotFinite: the network's answer to a picture is no number; names the file.
        OutOfMemory: says which batch would fit.
    """
    if batch_size < 1 or (top is not None and top < 1):
        raise ValueError(f"batch_size is {batch_size} and top is {top}, expected at least 1")
    desk = _Desk(network, spec, class_names(classes, names), top, precision)

    def advice() -> str:
        shape = (spec.channels, spec.size, spec.size)
        return batch_advice(network, shape, batch_size, "--batch-size ", precision=precision)

    for batch in batches(
        inputs,
        spec,
        batch_size,
        workers=workers,
        keep_pictures=keep_pictures,
        progress=progress,
    ):
        readable = [prepared.path for prepared in batch if prepared.square is not None]
        with telling_of_memory(advice), naming(readable):
            answers = desk.answer([prepared.square for prepared in batch])
        for prepared, guesses in zip(batch, answers, strict=True):
            yield Prediction(prepared.path, guesses, prepared.error, prepared.picture)


def batches(
    inputs: Inputs | Iterable[Waiting],
    spec: InputSpec,
    batch_size: int,
    *,
    workers: int | None = None,
    keep_pictures: bool = False,
    progress: Progress | None = None,
) -> Generator[list[Prepared]]:
    """Decode pictures ahead of whoever takes them, and hand them out in order.

    Args:
        inputs, spec, batch_size, workers, keep_pictures: see `predict`.
        progress: called when a batch is done, that is, when the next one is asked for.

    Yields:
        Up to `batch_size` pictures at a time, those that cannot be read among them.
    """
    crew = Crew(usable_cores() if workers is None else workers)
    total = inputs.num_pictures if isinstance(inputs, Inputs) else 0
    pictures = _prepared(crew, iter(inputs), spec, batch_size + crew.workers, keep_pictures)
    done = 0
    try:
        while batch := list(islice(pictures, batch_size)):
            yield batch
            done += len(batch)
            if progress is not None:
                progress(done, max(done, total))
    finally:
        pictures.close()
        crew.close()


def class_names(
    classes: Sequence[str], names: Sequence[str] | None
) -> tuple[tuple[str, str | None], ...]:
    """Each class's name to show, and its id where that is another."""
    pairs = zip(classes, classes if names is None else names, strict=True)
    return tuple((shown, None if shown == name else name) for name, shown in pairs)


@dataclass(frozen=True)
class Prepared:
    """A decoded picture, cut to what the network sees; or the reason why there is none.

    Args:
        path: as the input named it.
        square: uint8 (H, W, channels), or None.
        picture: the whole picture, reduced, where it was asked for.
        error: why there is none.
    """

    path: str
    square: Pixels | None
    picture: Pixels | None
    error: str | None


def _prepare(waiting: Waiting, spec: InputSpec, keep: bool) -> Prepared:
    def prepared(picture: Pixels) -> Prepared:
        pixels = with_channels(picture, spec.channels)
        framing = evaluation_framing(pixels.shape[1], pixels.shape[0], spec.resize, spec.size)
        square = render(pixels, framing, spec.interpolation)
        return Prepared(waiting.path, square, reduced(picture) if keep else None, None)

    try:
        return decode_then(waiting.read(), prepared)
    except BadImage as error:
        return Prepared(waiting.path, None, None, str(error))


def reduced(picture: Pixels) -> Pixels:
    """The picture with a longer side of 640 px at most, so that many may wait for their turn."""
    image = Image.fromarray(picture)
    image.thumbnail((_KEPT_PX, _KEPT_PX))
    return np.asarray(image)


def _prepared(
    crew: Crew, waiting: Iterator[Waiting], spec: InputSpec, ahead: int, keep: bool
) -> Generator[Prepared]:
    """Decode in threads, at most `ahead` pictures ahead, and hand out in order.

    Members of archives wait in memory: few of them where they are large.
    """
    jobs: deque[tuple[Future[Prepared], int]] = deque()
    try:
        for each in waiting:
            jobs.append((crew.submit(_prepare, each, spec, keep), each.num_bytes))
            del each  # its bytes go as soon as they are decoded
            while len(jobs) >= ahead or _held(jobs) > _WAITING_BYTES:
                yield jobs.popleft()[0].result()
        while jobs:
            yield jobs.popleft()[0].result()
    finally:
        for job, _ in jobs:
            job.cancel()


def _held(jobs: Iterable[tuple[Future[Prepared], int]]) -> int:
    return sum(num_bytes for job, num_bytes in jobs if not job.done())


@dataclass(frozen=True)
class _Desk:
    """Answers batches: squares of pixels in, guesses out."""

    network: nn.Module
    spec: InputSpec
    names: tuple[tuple[str, str | None], ...]
    top: int | None
    precision: Precision

    def answer(self, squares: Sequence[Pixels | None]) -> list[tuple[Guess, ...]]:
        """Guesses for every square; none where there is no square."""
        readable = [square for square in squares if square is not None]
        found = iter(self._guesses(readable) if readable else ())
        return [() if square is None else next(found) for square in squares]

    def _guesses(self, squares: Sequence[Pixels]) -> Iterator[tuple[Guess, ...]]:
        # Not across a yield: the caller's code must not run in evaluation mode.
        with evaluating(self.network, self.precision) as scored:
            probabilities = torch.softmax(scored(normalised(squares, self.spec)), dim=1).cpu()
        yield from best_guesses(probabilities, self.names, self.top)


def best_guesses(
    probabilities: torch.Tensor, names: Sequence[tuple[str, str | None]], top: int | None
) -> Iterator[tuple[Guess, ...]]:
    """The likeliest classes of every picture, best first.

    Args:
        probabilities: of the classes.
        names: what `class_names` gave.
        top: answers a picture; None gives all.

    Shapes:
        probabilities (N, K), K names.

    Raises:
        BadData: the network's outputs are not as many as the class names.
    """
    outputs = probabilities.shape[1]
    if outputs != len(names):
        raise BadData(
            f"the network has {outputs} outputs and there are {len(names)} class"
            " names; use the names that it was trained with"
        )
    # A stable sort gives equal probabilities in class order, as `metrics.ranks` places them.
    order = torch.argsort(probabilities, dim=1, descending=True, stable=True)
    for row, best in zip(probabilities, order[:, :top], strict=True):
        answers = ((*names[i], float(row[i])) for i in best.tolist())
        yield tuple(Guess(name, share, own) for name, own, share in answers)
