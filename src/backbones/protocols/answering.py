"""One network's answers to all pictures of a split, under a protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from backbones.compute import Precision
from backbones.data.pipeline import Batch, Pipeline
from backbones.data.source import Split
from backbones.errors import ProtocolError, WrongUse, telling_of_memory
from backbones.features.dense import dense
from backbones.footprint.room import batch_advice, room_bytes
from backbones.metrics import Labels, Scores, Skipped
from backbones.nn.evaluating import Network, evaluating, finite, naming
from backbones.progress import Progress
from backbones.protocols.looking import Seen, look
from backbones.protocols.packing import Packer, Part, batch_of, tiles
from backbones.protocols.row import Protocol
from backbones.protocols.score import reduce, score_crops, score_dense
from backbones.protocols.viewing import View, views_of
from backbones.spec import InputSpec


@dataclass(frozen=True)
class Asking:
    """How pictures are put to a network.

    Args:
        protocol: the row that is followed.
        batch_size: pictures at a time, of the size that the network sees; larger views are fewer.
        precision: of the network's arithmetic.
        workers: threads that decode; None picks the number.
    """

    protocol: Protocol
    batch_size: int = 64
    precision: Precision = "fp32"
    workers: int | None = None


@dataclass(frozen=True)
class Answers:
    """What a network said.

    Args:
        log_probabilities: (N, K), of the pictures that could be read.
        indices: their positions in the split, ascending.
        skipped: the pictures that could not be read.
        num_passes: views, or parts of them, that went through the network.
    """

    log_probabilities: Scores
    indices: Labels
    skipped: tuple[Skipped, ...]
    num_passes: int


def answer(
    network: nn.Module,
    split: Split,
    spec: InputSpec,
    asking: Asking,
    progress: Progress | None = None,
) -> Answers:
    """Put every picture of a split to a network.

    Args:
        network: logits out; its mode is restored afterwards.
        split: the pictures.
        spec: how pictures become what the network sees.
        asking: the protocol and the means.
        progress: called with (pictures done, pictures in all).

    Raises:
        ProtocolError: the protocol's views do not fit, or the network cannot be read densely.
        NotFinite: the network's answer to a picture is no number; names the file.
        OutOfMemory: says which batch would fit.
    """

    def advice() -> str:
        scales = _scaled_specs(spec, asking.protocol)
        longest = max(each.resize for each in scales)
        if longest**2 * spec.channels > room_bytes(torch.device("cpu")) // asking.batch_size:
            return f"images are resized to {longest} px: use a smaller resize"
        side = max(each.size for each in scales)
        shape = (spec.channels, side, side)
        return batch_advice(
            network, shape, asking.batch_size, "--batch-size ", precision=asking.precision
        )

    with telling_of_memory(advice), evaluating(network, asking.precision) as scored:
        count = _Counter(scored)
        if _is_batch_wise(asking.protocol):
            found = _by_pipeline(count, split, spec, asking)
        else:
            maps = _dense_of(network, spec, asking) if asking.protocol.scoring != "crops" else None
            found = _by_views(_Networks(count, maps, count), split, spec, asking)
        return collect(found, len(split), progress, count)


def _is_batch_wise(protocol: Protocol) -> bool:
    """Whether all views come from a square, so that whole batches are cut at once."""
    square = protocol.region in ("crop", "square")
    few = protocol.views in ("centre", "corners_and_centre")
    return square and few and protocol.scoring == "crops"


@dataclass
class _Counter:
    """A network that counts what passes through it."""

    network: Network
    num_passes: int = 0

    def __call__(self, pictures: Tensor) -> Tensor:
        self.num_passes += len(pictures)
        return self.network(pictures)


@dataclass(frozen=True)
class Answered:
    """Pictures that are done.

    Args:
        indices: positions in the split.
        log_probabilities: one row each.
        skipped: pictures that could not be read.
    """

    indices: Labels
    log_probabilities: Tensor
    skipped: tuple[Skipped, ...] = ()


def collect(
    found: Iterable[Answered], total: int, progress: Progress | None, count: _Counter | None = None
) -> Answers:
    """All answers in the order of the split.

    Args:
        found: in any order.
        total: pictures in all, for the progress.
        progress: called after each of `found`.
        count: what has counted the passes.
    """
    answers: list[Scores] = []
    indices: list[Labels] = []
    skipped: list[Skipped] = []
    done = 0
    for each in found:
        skipped.extend(each.skipped)
        if len(each.indices):
            answers.append(each.log_probabilities.cpu().numpy())
            indices.append(each.indices)
        done += len(each.indices) + len(each.skipped)
        if progress is not None:
            progress(done, total)
    passes = count.num_passes if count else 0
    if not answers:
        return Answers(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), tuple(skipped), passes)
    places = np.concatenate(indices)
    order = np.argsort(places, kind="stable")
    return Answers(np.concatenate(answers)[order], places[order], tuple(skipped), passes)


def answered(
    network: Network, pipelines: list[Pipeline], protocol: Protocol, size: int
) -> Iterator[Answered]:
    """The answers to every batch of square regions, one pipeline a scale."""
    for scales in zip(*(pipeline.epoch(0) for pipeline in pipelines), strict=True):
        first: Batch = scales[0]
        skipped = tuple(Skipped(bad.name, bad.reason) for bad in first.bad)
        if not len(first.indices):
            yield Answered(first.indices, torch.empty(0), skipped)
            continue
        views = [view for batch in scales for view in views_of(batch.images, protocol, size)]
        pictures = pipelines[0].split.pictures
        with naming([pictures.name(int(index)) for index in first.indices]):
            scores = score_crops(network, views)
        yield Answered(first.indices, reduce(scores, protocol.reduction), skipped)


def _by_pipeline(
    network: Network, split: Split, spec: InputSpec, asking: Asking
) -> Iterator[Answered]:
    protocol = asking.protocol
    pipelines = [
        Pipeline(split, scaled, batch_size=asking.batch_size, workers=asking.workers)
        for scaled in _scaled_specs(spec, protocol)
    ]
    try:
        yield from answered(network, pipelines, protocol, spec.size)
    finally:
        for pipeline in pipelines:
            pipeline.close()


def _scaled_specs(spec: InputSpec, protocol: Protocol) -> list[InputSpec]:
    """For every scale, the spec that makes the region from which the views are cut."""
    lengths = [side.length_px(spec.resize, spec.size) for side in protocol.resize]
    if protocol.region == "square":
        return [replace(spec, resize=length, size=length) for length in lengths]
    return [replace(spec, resize=length) for length in lengths]


def _dense_of(network: nn.Module, spec: InputSpec, asking: Asking) -> Network:
    """The network with its head read as convolutions."""
    try:
        reader = dense(network, spec.size)
    except WrongUse as error:
        raise ProtocolError(
            f"{asking.protocol.name} sees whole pictures, and {error}; choose a protocol of crops"
        ) from None

    weight = next(network.parameters(), None)
    device = weight.device if weight is not None else torch.device("cpu")

    def maps(pictures: Tensor) -> Tensor:
        rounded = asking.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            found: Tensor = reader(pictures.to(device))
        return finite(found.float())

    return maps


@dataclass(frozen=True)
class _Networks:
    """The network for crops, the one for whole pictures, and what counts."""

    crops: Network
    dense: Network | None
    count: _Counter

    def score(self, batch: Tensor, *, densely: bool) -> tuple[Tensor, int]:
        """Scores (N, K) added up over places, and the number of places."""
        if not densely:
            return self.crops(batch), 1
        assert self.dense is not None
        self.count.num_passes += len(batch)
        try:
            return score_dense(self.dense(batch))
        except WrongUse as error:
            raise ProtocolError(str(error)) from None


@dataclass
class _Open:
    """A picture some of whose views have been scored."""

    index: int
    plan: tuple[View, ...]
    parts_left: int
    sums: dict[int, Tensor] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)

    def add(self, view: int, scores: Tensor, places: int) -> None:
        self.sums[view] = self.sums[view] + scores if view in self.sums else scores
        self.places[view] = self.places.get(view, 0) + places
        self.parts_left -= 1

    def answer(self, protocol: Protocol) -> Tensor:
        """One row, from all views in the plan's order."""
        scores = torch.stack([self.sums[v] / self.places[v] for v in range(len(self.plan))])
        return reduce(scores[None], protocol.reduction, view_weights(self.plan))


def view_weights(plan: tuple[View, ...]) -> Tensor:
    """How much each view counts: whole pictures and crops the same, where there are both.

    Reference: Simonyan & Zisserman (2014), section 3.2 and Table 5, averages the outputs of the
        two.
    """
    num_dense = sum(view.dense for view in plan)
    kinds = {True: num_dense, False: len(plan) - num_dense}
    num_kinds = sum(count > 0 for count in kinds.values())
    return torch.tensor([1 / (kinds[view.dense] * num_kinds) for view in plan])


def _by_views(
    networks: _Networks, split: Split, spec: InputSpec, asking: Asking
) -> Iterator[Answered]:
    """View by view, batched across pictures of different sizes."""
    packer = Packer(asking.batch_size * spec.size**2)
    opened: dict[int, _Open] = {}

    def scored(parts: list[Part]) -> Iterator[Answered]:
        with naming([split.pictures.name(part.picture) for part in parts]):
            sums, places = networks.score(batch_of(parts, spec), densely=parts[0].dense)
        for part, row in zip(parts, sums, strict=True):
            picture = opened[part.picture]
            picture.add(part.view, row, places)
            if not picture.parts_left:
                del opened[part.picture]
                yield Answered(np.array([picture.index]), picture.answer(asking.protocol))

    for seen in look(split, spec, asking.protocol, workers=asking.workers):
        if seen.reason:
            bad = Skipped(split.pictures.name(seen.index), seen.reason)
            yield Answered(np.zeros(0, np.int64), torch.empty(0), (bad,))
            continue
        parts = list(_parts(seen, spec.size))
        opened[seen.index] = _Open(seen.index, seen.plan, len(parts))
        for part in parts:
            for batch in packer.add(part):
                yield from scored(batch)
    for batch in packer.rest():
        yield from scored(batch)


def _parts(seen: Seen, size: int) -> Iterator[Part]:
    for number, (view, pixels) in enumerate(zip(seen.plan, seen.pixels, strict=True)):
        if not view.dense:
            yield Part(seen.index, number, pixels, dense=False)
            continue
        for box in tiles(pixels.shape[1], pixels.shape[0], size):
            tile = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
            yield Part(seen.index, number, tile, dense=True)
