"""The one way from images to answers: views -> batches -> networks -> scores -> one answer each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbones.classifier.assembly import Answer, Assembly, Member
from backbones.classifier.options import InferenceOptions
from backbones.classifier.packing import Packer, Part, tiles
from backbones.classifier.placed import PlacedNetwork
from backbones.classifier.preparing import Preparation, Prepared
from backbones.classifier.second_look import Computed
from backbones.classifier.source import Block, Source
from backbones.data.finish import stacked
from backbones.errors import WrongUse
from backbones.metrics import Labels, Scores, Skipped
from backbones.progress import Progress
from backbones.protocols.classes import column_order
from backbones.spec import InputSpec


@dataclass(frozen=True)
class Outputs:
    """What networks say about all images of a source.

    Args:
        log_probabilities: (N, K), of the images that could be read.
        indices: their positions in the source, ascending.
        skipped: the images that could not be read.
        num_passes: views, or parts of them, that went through the networks.
        num_rechecked: images that were answered in a faster precision and again exactly.
    """

    log_probabilities: Scores
    indices: Labels
    skipped: tuple[Skipped, ...]
    num_passes: int
    num_rechecked: int = 0


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
        self.computed = Computed(options.compute)
        self._networks = [PlacedNetwork(each, options, alone=len(members) == 1) for each in members]
        self._by_geometry: dict[InputSpec, list[int]] = defaultdict(list)
        for number, each in enumerate(members):
            self._by_geometry[each.geometry(options.protocol)].append(number)
        self._size = max(each.size for each in self._by_geometry)
        self._batch_size = options.batch_of(self._size)
        self._preparation = Preparation(
            options.protocol, tuple(self._by_geometry), options.kept_px, options.workers
        )

    @property
    def usual(self) -> Computed:
        """How most images are answered, as far as that is known yet."""
        return self.computed

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

    def forget(self) -> None:
        """Take no account of what was answered so far, such as a test image."""

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
        assembly = Assembly(self.members, self.options.protocol, self.computed)
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


def collected(inference: Inference, source: Source, progress: Progress | None = None) -> Outputs:
    """What networks say about every image of a source.

    Args:
        inference: the networks.
        source, progress: as of `Inference.answers`.

    Raises:
        BadData, ProtocolError, NotFinite, OutOfMemory: as `Inference.answers`.
    """
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
    again = sum(each.computed is not None and each.computed.again for each in found)
    return Outputs(scores, indices, tuple(skipped), inference.num_passes, again)


def run_inference(
    members: Sequence[Member],
    source: Source,
    options: InferenceOptions,
    progress: Progress | None = None,
) -> Outputs:
    """Show every image of a source to networks that answer together, exactly.

    Args:
        members, options: as of `Inference`.
        source, progress: as of `Inference.answers`.

    Raises:
        BadData, ProtocolError, NotFinite, OutOfMemory: as these two.
    """
    return collected(Inference(members, options), source, progress)
