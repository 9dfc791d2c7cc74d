"""The one way from images to answers: views -> batches -> networks -> scores -> one answer each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from backbones.classifier.assembly import Answer, Assembly, Member
from backbones.classifier.packing import Packer, Part, tiles
from backbones.classifier.preparing import Preparation, Prepared, geometry_of
from backbones.classifier.source import Block, Source
from backbones.compute import Compute, choose_compute
from backbones.data.finish import normalised, stacked
from backbones.data.render import Pixels
from backbones.engines import find_engine, settled
from backbones.errors import (
    BadData,
    NotFinite,
    ProtocolError,
    WrongUse,
    is_short_of_memory,
    telling_of_memory,
)
from backbones.features.dense import dense
from backbones.footprint.room import batch_advice
from backbones.metrics import Labels, Scores, Skipped
from backbones.nn.evaluating import naming
from backbones.progress import Progress
from backbones.protocols.classes import column_order
from backbones.protocols.row import Protocol
from backbones.protocols.score import score_dense
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec

__all__ = ["Answer", "Inference", "InferenceOptions", "Member", "Outputs"]

_BATCH_PIXELS = 32 * 224**2


@dataclass(frozen=True)
class InferenceOptions:
    """How networks are shown images.

    Args:
        protocol: the row that is followed.
        batch_size: images at a time, of the size that the network sees; larger views are fewer.
            None takes `default_batch`.
        compute: device, precision and threads.
        workers: threads that decode; one a core where None, none where 0.
        kept_px: hand the images on too, with a longer side of at most this; None for not.
    """

    protocol: Protocol = field(default_factory=lambda: find_protocol("single"))
    batch_size: int | None = None
    compute: Compute = field(default_factory=choose_compute)
    workers: int | None = None
    kept_px: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise WrongUse(f"batch_size is {self.batch_size}, expected at least 1")

    def settled(self, members: Sequence[Member], num_images: int | None = None) -> InferenceOptions:
        """With the engine chosen where it was left open, for so many images or no end of them."""
        size = max(each.spec.size for each in members)
        return replace(self, compute=settled(self.compute, size, num_images))

    def batch_of(self, size: int) -> int:
        """Images at a time for a network that sees squares of a side of so many px."""
        return self.batch_size or default_batch(size)


def default_batch(size: int) -> int:
    """As many images as have the pixels of 32 at 224 px, between 16 and 512.

    One rule for every verb, so that the same images give the same answers to the last bit.

    Args:
        size: side of the square that the network sees, px.

    Example:
        >>> default_batch(224), default_batch(28)
        (32, 512)
    """
    return max(16, min(512, _BATCH_PIXELS // size**2))


@dataclass(frozen=True)
class Outputs:
    """What networks say about all images of a source.

    Args:
        log_probabilities: (N, K), of the images that could be read.
        indices: their positions in the source, ascending.
        skipped: the images that could not be read.
        num_passes: views, or parts of them, that went through the networks.
    """

    log_probabilities: Scores
    indices: Labels
    skipped: tuple[Skipped, ...]
    num_passes: int


class Inference:
    """Networks that answer together, on their device.

    Every image is decoded once, and cut once for all networks that see the same pixels. Their
    views are reduced first, then the networks, as the protocol says. All networks stay in memory.

    Args:
        members: one network or more; the classes of all must be the same, in any order.
        options: the protocol and the means.

    Raises:
        BadData: the networks' classes differ; before any is built.
        ProtocolError: the network cannot be read densely, as the protocol wants it.
    """

    def __init__(self, members: Sequence[Member], options: InferenceOptions) -> None:
        for each in members:
            column_order(each.classes, members[0].classes, each.name)
        options = options.settled(members)
        self.members, self.options = members, options
        self.num_passes = 0
        self._networks = [_Network(each, options, alone=len(members) == 1) for each in members]
        self._by_geometry: dict[InputSpec, list[int]] = defaultdict(list)
        for number, each in enumerate(members):
            self._by_geometry[geometry_of(each.spec)].append(number)
        self._size = max(each.size for each in self._by_geometry)
        self._batch_size = options.batch_of(self._size)
        self._preparation = Preparation(
            options.protocol, tuple(self._by_geometry), options.kept_px, options.workers
        )

    def answers(self, source: Source, progress: Progress | None = None) -> Iterator[Answer]:
        """An answer for every image, in the source's order.

        Args:
            source: the images.
            progress: called with (images done, images in all) as batches are done.

        Raises:
            ProtocolError: the protocol's views don't fit a network.
            NotFinite: the network's answer to an image is no number; names the file.
            OutOfMemory: not even one image fits.
        """
        done = 0
        with closing(self._preparation.stream(source, self._batch_size)) as stream:
            for answers in self._answered(stream):
                done += len(answers)
                yield from answers
                if progress is not None and answers:
                    progress(done, max(source.num_images, done))

    def prepare(self, block: Block) -> Prepared:
        """The first half of the way for a block: decoded, and cut for all networks. In any thread.

        Raises:
            ProtocolError: the protocol's views don't fit a network.
        """
        return self._preparation.prepared(block)

    def answer(self, prepared: Iterable[Prepared]) -> list[Answer]:
        """The second half of the way for blocks that are prepared, as `answers` goes it.

        Raises:
            NotFinite, OutOfMemory: as `answers`.
        """
        return [each for answers in self._answered(prepared) for each in answers]

    def check_tensor(self, images: Tensor) -> None:
        """See whether `answer_tensor` takes images.

        Raises:
            WrongUse: another shape, values that are not finite, or networks that want their images
                in different ways.
        """
        specs = {each.spec for each in self.members}
        if len(specs) > 1:
            raise WrongUse("these networks want images in different ways; send files or pixels")
        (spec,) = specs
        expected = (spec.channels, spec.size, spec.size)
        if tuple(images.shape[1:]) != expected:
            raise WrongUse(f"images of shape {tuple(images.shape[1:])}, expected {expected}")
        if not images.isfinite().all():
            raise WrongUse("the images have values that are not finite")

    def answer_tensor(self, images: Tensor) -> Tensor:
        """Log-probabilities (N, K) of images (N, C, S, S) that are cut and normalised already.

        Raises:
            NotFinite, OutOfMemory: as `answers`.
        """
        images = images.to(self.options.compute.device)
        scores = [network.of_tensor(images).cpu() for network in self._networks]
        return Assembly(self.members, self.options.protocol).fused(scores)

    def _answered(self, stream: Iterable[Prepared]) -> Iterator[list[Answer]]:
        """The answers that are next in order, each time some are there."""
        assembly = Assembly(self.members, self.options.protocol)
        packer = Packer(self._batch_size * self._size**2)
        for number, prepared in enumerate(stream):
            parts = list(_parts(number, prepared))
            times = [len(self._by_geometry[part.geometry]) for part in parts]
            assembly.add(number, prepared, sum(times))
            for part in parts:
                for batch in packer.add(part):
                    self._score(batch, assembly)
            yield list(assembly.ready())
        for batch in packer.rest():
            self._score(batch, assembly)
        yield list(assembly.ready())

    def _score(self, parts: list[Part], assembly: Assembly) -> None:
        """Show a batch of one size to every network that sees these pixels."""
        names = assembly.names(parts)
        pixels = stacked([part.pixels for part in parts])
        for member in self._by_geometry[parts[0].geometry]:
            network = self._networks[member]
            with network.naming(names):
                sums, places = network.scores(pixels, densely=parts[0].dense)
            self.num_passes += len(pixels)
            assembly.scored(member, parts, sums, places)
        assembly.reduce(parts)


def _parts(number: int, prepared: Prepared) -> Iterator[Part]:
    """The views of a block; large ones that are scored densely in tiles."""
    for spec, cut in prepared.cuts.items():
        for place, (view, pixels) in enumerate(zip(cut.plan, cut.pixels, strict=True)):
            if not view.dense:
                yield Part(number, place, pixels, dense=False, geometry=spec)
                continue
            for box in tiles(pixels.shape[2], pixels.shape[1], spec.size):
                tile = pixels[:, box.top : box.top + box.height, box.left :][:, :, : box.width]
                yield Part(number, place, tile, dense=True, geometry=spec)


def run_inference(
    members: Sequence[Member],
    source: Source,
    options: InferenceOptions,
    progress: Progress | None = None,
) -> Outputs:
    """Show every image of a source to networks that answer together.

    Args:
        members, options: as of `Inference`.
        source, progress: as of `Inference.answers`.

    Raises:
        BadData, ProtocolError, NotFinite, OutOfMemory: as these two.
    """
    inference = Inference(members, options)
    found: list[Answer] = []
    skipped: list[Skipped] = []
    for answer in inference.answers(source, progress):
        if answer.error is None:
            found.append(answer)
        else:
            skipped.append(Skipped(answer.name, answer.error))
    rows = [answer.log_probabilities for answer in found if answer.log_probabilities is not None]
    scores = torch.stack(rows).numpy() if rows else np.zeros((0, 0), np.float32)
    indices = np.array([answer.index for answer in found], np.int64)
    return Outputs(scores, indices, tuple(skipped), inference.num_passes)


class _Network:
    """One member, built and placed."""

    def __init__(self, member: Member, options: InferenceOptions, *, alone: bool) -> None:
        self._member, self._options, self._alone = member, options, alone
        compute, self._network = options.compute, options.compute.place(member.build())
        engine = find_engine(compute.engine)
        self._score = engine.build(self._network, compute)
        self._dense: nn.Module | None = None
        if options.protocol.scoring != "crops":
            self._dense = _dense_of(self._network, member.spec, options.protocol)
            self._score_dense = engine.build(self._dense, compute)

    def scores(self, pixels: Pixels, *, densely: bool) -> tuple[Tensor, int]:
        """Scores (N, K) of (N, h, w, C), added up over places, and the number of places.

        What does not fit into memory is tried again in halves.
        """
        with telling_of_memory(lambda: self._advice(pixels)):
            try:
                return self._at_once(pixels, densely)
            except (MemoryError, RuntimeError) as error:
                if not is_short_of_memory(error) or len(pixels) == 1:
                    raise
        middle = len(pixels) // 2
        first, places = self.scores(pixels[:middle], densely=densely)
        return torch.cat([first, self.scores(pixels[middle:], densely=densely)[0]]), places

    def _at_once(self, pixels: Pixels, densely: bool) -> tuple[Tensor, int]:
        images = normalised(pixels, self._member.spec, self._options.compute.device)
        if not densely:
            return self._checked(self._score(images)), 1
        try:
            return score_dense(self._checked(self._score_dense(images)))
        except WrongUse as error:
            raise ProtocolError(str(error)) from None

    def of_tensor(self, images: Tensor) -> Tensor:
        """Scores (N, K) of images that are normalised, on the device."""
        return self._checked(self._score(images))

    def _checked(self, found: Tensor) -> Tensor:
        """Scores (N, K, ...), as many as there are classes."""
        if found.shape[1] != len(self._member.classes):
            raise BadData(
                f"the network has {found.shape[1]} outputs and there are"
                f" {len(self._member.classes)} class names; use the names that it was trained with"
            )
        return found

    def _advice(self, pixels: Pixels) -> str:
        spec = self._member.spec
        _, height, width, _ = pixels.shape
        return batch_advice(
            self._network,
            (spec.channels, height, width),
            self._options.batch_of(spec.size),
            "--batch-size ",
            precision=self._options.compute.precision,
        )

    @contextmanager
    def naming(self, names: Sequence[str]) -> Iterator[None]:
        """Say which file, and of several networks which one, an answer that is no number is of."""
        try:
            with naming(names):
                yield
        except NotFinite as error:
            if self._alone:
                raise
            about = f"{self._member.name}, {error.about}"
            raise NotFinite(error.found, about, error.row) from None


def _dense_of(network: nn.Module, spec: InputSpec, protocol: Protocol) -> nn.Module:
    """The network with its head read as convolutions."""
    try:
        return dense(network, spec.size)
    except WrongUse as error:
        raise ProtocolError(
            f"{protocol.name} sees whole images, and {error}; choose a protocol of crops"
        ) from None
