"""Answers in a faster precision, as far as they agree with exact ones: `--precision auto`.

A sample of the images is answered both ways, before any answer is handed out. Where the answers
agree well enough, the others are answered in the faster precision, and those whose two likeliest
classes are close are answered again exactly. What is shown of an image comes from one of the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from backbones.agreement import AccuracyLoss, accuracy_loss
from backbones.classifier.assembly import Answer, Member
from backbones.classifier.inference import Inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.preparing import Prepared
from backbones.classifier.second_look import (
    Computed,
    SecondLook,
    choose_second_look,
    near_ties,
)
from backbones.classifier.source import Source
from backbones.compute import instruction_set
from backbones.engines.table import SMALLEST_BUILT
from backbones.language import said
from backbones.metrics import Labels
from backbones.progress import Progress

SAMPLE = 64  # images that are answered both ways
FEWEST = 4 * SAMPLE  # images, below which a sample would cost more than it saves
_BATCHES = 4  # that are answered before their close ones are answered again, together

# How many answers in the faster precision take the time of an exact one: fixed, so that the same
# images are answered again whatever else the machine does. OpenVINO, geometric means of six nets.
_TIMES_SLOWER = {"avx512_bf16": 2.0}
_USUALLY_SLOWER = 4.0


@dataclass
class Sample:
    """Images that were answered both ways.

    Args:
        positions: of the images in their source.
        fast, exact: log-probabilities (K,) of each.
    """

    positions: list[int] = field(default_factory=list)
    fast: list[Tensor] = field(default_factory=list)
    exact: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)


class CheckedInference(Inference):
    """Networks that answer in a faster precision where that agrees with the exact one.

    Args:
        members: as of `Inference`.
        options: with a compute that has a faster precision.
    """

    def __init__(self, members: Sequence[Member], options: InferenceOptions) -> None:
        options = options.settled(members)
        super().__init__(members, replace(options, compute=options.compute.exact))
        self._fast = Inference(members, replace(options, compute=options.compute.fast))
        self.sample = Sample()
        self._second_look: SecondLook | None = None

    @property
    def usual(self) -> Computed:
        enough = self._second_look is not None and self._second_look.is_enough
        return self._fast.computed if enough else self.computed

    def answers(self, source: Source, progress: Progress | None = None) -> Iterator[Answer]:
        if self._second_look is None and source.num_images >= FEWEST:
            self._check(source)
        yield from super().answers(source, progress)

    def forget(self) -> None:
        self.sample, self._second_look = Sample(), None
        self.computed = replace(self.computed, second_look=None)

    def answer_tensor(self, images: Tensor) -> Tensor:
        if self._second_look is None or not self._second_look.is_enough:
            return super().answer_tensor(images)
        found = self._fast.answer_tensor(images)
        again = near_ties(found, self._second_look.gap)
        if again.any():
            found[again] = super().answer_tensor(images[again])
        return found

    def _check(self, source: Source) -> None:
        """Answer a sample both ways, and judge it unless hardly an image can be read."""
        some, step = source.sample(SAMPLE)
        first = 0
        with closing(self._preparation.stream(some, self._batch_size)) as stream:
            for chunk in _chunks(stream, self._chunk_bytes):
                first += len(self._both_ways(chunk, first, step))
        if len(self.sample) >= SAMPLE // 2:
            self._judge()
        else:
            self.forget()

    @property
    def _chunk_bytes(self) -> int:
        channels = max(each.channels for each in self._by_geometry)
        return _BATCHES * self._batch_size * self._size**2 * channels

    def _answered(self, stream: Iterable[Prepared]) -> Iterator[list[Answer]]:
        first = 0
        for chunk in _chunks(stream, self._chunk_bytes):
            found = self._checked(chunk, first)
            yield [replace(each, index=first + place) for place, each in enumerate(found)]
            first += len(found)

    def _checked(self, chunk: Sequence[Prepared], first: int) -> list[Answer]:
        """Answers to blocks, each in one precision or the other; `first` images came before."""
        if self._second_look is None:
            found = self._both_ways(chunk, first)
            if len(self.sample) >= SAMPLE:
                self._judge()
            return found
        if not self._second_look.is_enough:
            return self._exactly(chunk)
        found = self._faster(chunk)
        gap = self._second_look.gap
        again = [
            each.log_probabilities is not None
            and bool(near_ties(each.log_probabilities[None], gap))
            for each in found
        ]
        exact = iter(self._exactly(_those(chunk, again)))
        computed = replace(self.computed, again=True)
        return [
            replace(next(exact), computed=computed) if looked else each
            for looked, each in zip(again, found, strict=True)
        ]

    def _both_ways(self, chunk: Sequence[Prepared], first: int, step: int = 1) -> list[Answer]:
        """Exact answers, which are put into the sample beside the faster ones."""
        exact, fast = self._exactly(chunk), self._faster(chunk)
        sample = self.sample
        for one, other in zip(exact, fast, strict=True):
            if one.log_probabilities is not None and other.log_probabilities is not None:
                sample.positions.append((first + one.index) * step)
                sample.exact.append(one.log_probabilities)
                sample.fast.append(other.log_probabilities)
        return [replace(each, computed=replace(self.computed, again=True)) for each in exact]

    def _judge(self) -> None:
        compute = self._fast.options.compute
        slower = _TIMES_SLOWER.get(instruction_set(), _USUALLY_SLOWER)
        found = choose_second_look(
            torch.stack(self.sample.fast),
            torch.stack(self.sample.exact),
            compute.agree,
            most_again=1 / (3 * slower),  # a quarter of the whole time
        )
        self._second_look = found
        self.computed = replace(self.computed, second_look=found)
        self._fast.computed = Computed(compute, found)

    def _exactly(self, chunk: Iterable[Prepared]) -> list[Answer]:
        return [each for answers in super()._answered(chunk) for each in answers]

    def _faster(self, chunk: Iterable[Prepared]) -> list[Answer]:
        found = self._fast.answer(chunk)
        self.num_passes += self._fast.num_passes
        self._fast.num_passes = 0
        return found


@dataclass(frozen=True)
class SampledFigures:
    """Top-1 errors of the same images in a faster precision and exactly.

    Args:
        second_look: what the sample led to.
        loss: of accuracy in the faster precision.
    """

    second_look: SecondLook
    loss: AccuracyLoss

    def to_json(self) -> dict[str, Any]:
        """`num_images`, `mean_probability_diff`, both accuracies and the loss with its interval."""
        found = self.second_look.agreement
        return {
            "num_images": found.num_images,
            "mean_probability_diff": found.mean_probability_diff,
            **self.loss.to_json(),
        }

    def to_lines(self) -> list[str]:
        """For people."""
        fast, exact = 100 * (1 - self.loss.faster), 100 * (1 - self.loss.exact)
        low, high = self.loss.interval.low, self.loss.interval.high
        return [
            *self.second_look.to_lines(),
            said(
                "top-1 error of these {fast:.2f} %, in fp32 {exact:.2f} %;"
                " 95 % interval of the difference {low:+.2f} to {high:+.2f}",
                fast=fast,
                exact=exact,
                low=low,
                high=high,
            ),
        ]


def sampled_figures(inference: Inference, labels: Labels) -> SampledFigures | None:
    """What the sample of a checked inference says about accuracy; None where there was none.

    Args:
        inference: that has answered.
        labels: of all images of its source.
    """
    second_look = inference.computed.second_look
    if not isinstance(inference, CheckedInference) or second_look is None:
        return None
    sample = inference.sample
    exact, fast = (torch.stack(rows).numpy() for rows in (sample.exact, sample.fast))
    return SampledFigures(second_look, accuracy_loss(exact, fast, labels[sample.positions]))


def inference_of(
    members: Sequence[Member],
    options: InferenceOptions,
    num_images: int | None = None,
    *,
    alone: bool = True,
) -> Inference:
    """What answers so many images, or no end of them, the way that the options say.

    Args:
        members, options: as of `Inference`.
        num_images: None for no end of them.
        alone: no other process has a share of them, of which each would check its own sample.
    """
    options = options.settled(members, num_images)
    many = num_images is None or num_images >= FEWEST
    large = min(each.spec.size for each in members) >= SMALLEST_BUILT
    if options.compute.faster is not None and many and large and alone:
        return CheckedInference(members, options)
    return Inference(members, replace(options, compute=options.compute.exact))


def _chunks(stream: Iterable[Prepared], num_bytes: int) -> Iterator[list[Prepared]]:
    """Blocks with so many bytes of pixels together, or a few more."""
    chunk: list[Prepared] = []
    held = 0
    for each in stream:
        chunk.append(each)
        held += each.num_bytes
        if held >= num_bytes:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _those(chunk: Sequence[Prepared], wanted: Sequence[bool]) -> Iterator[Prepared]:
    """The images of blocks that are wanted, in their order."""
    flags = iter(wanted)
    for each in chunk:
        if rows := [row for row in range(len(each)) if next(flags)]:
            yield each.take(rows)
