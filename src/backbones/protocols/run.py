"""Evaluate a network: views -> score -> reduce -> metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.data.pipeline import Batch, Pipeline
from backbones.data.source import Split
from backbones.metrics import Labels, Report, Scores, Skipped, measure
from backbones.nn.evaluating import Network, evaluating
from backbones.protocols.classes import match_classes
from backbones.protocols.score import mean_softmax, score_crops
from backbones.protocols.table import Protocol, find_protocol
from backbones.protocols.text import evaluation_text
from backbones.protocols.views import views_of
from backbones.spec import InputSpec
from backbones.speed import Precision

Progress = Callable[[int, int], None]
"""Called with the pictures done and the pictures in all."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and how.

    Args:
        protocol: the row that was followed.
        spec: the network's input spec.
        precision: of the network's arithmetic.
        report: the numbers.
        seconds: from the first file to the last answer.
        classes_in_data: how many of the network's classes the data has.
    """

    protocol: Protocol
    spec: InputSpec
    precision: Precision
    report: Report
    seconds: float
    classes_in_data: int

    def named(self, names: Sequence[str]) -> Evaluation:
        """The same with other names for the classes, in their order."""
        return replace(self, report=self.report.named(names))

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary: `protocol`, `num_samples`, `top1_error_percent` and so on."""
        return {
            "protocol": self.protocol.name,
            "citation": str(self.protocol.citation),
            "precision": self.precision,
            "input": self.spec.to_json(),
            "seconds": self.seconds,
            "classes_in_data": self.classes_in_data,
            **self.report.to_json(),
        }

    def to_text(self) -> str:
        """The same in lines of text, for people."""
        return evaluation_text(
            self.report,
            title=f"{self.protocol.name}: {self.protocol.summary}",
            seconds=self.seconds,
            classes_in_data=self.classes_in_data,
        )


def evaluate(
    network: nn.Module,
    split: Split,
    spec: InputSpec,
    protocol: str | Protocol = "single",
    *,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    precision: Precision = "fp32",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a network on a split as a paper would.

    Every picture that can be read is counted exactly once; those that cannot are listed in the
    report. Neither the order of the pictures nor the batch size changes the result.

    Args:
        network: logits out; its mode is restored afterwards.
        split: pictures and true classes.
        spec: how pictures become what the network sees.
        protocol: a row or its name.
        classes: the network's class names in the order of its outputs; labels are translated by
            name. None: the split's own.
        batch_size: pictures at a time; each has as many views as the protocol says.
        precision: "fp32" is exact; "bf16" is faster on processors with bf16 units.
        workers: threads that decode; None picks the number.
        progress: called after every batch.

    Raises:
        ProtocolError: no such protocol, or its views do not fit.
        BadData: the classes differ, or no picture can be read.
    """
    row = find_protocol(protocol) if isinstance(protocol, str) else protocol
    matched = match_classes(split, classes if classes is not None else split.classes)
    start = time.perf_counter()
    pipelines = [
        Pipeline(matched, scaled, batch_size=batch_size, workers=workers)
        for scaled in _scaled_specs(spec, row)
    ]
    try:
        with evaluating(network, precision) as scored:
            batches = _scored(scored, pipelines, row, spec.size)
            answers = _collect(batches, len(split), progress)
    finally:
        for pipeline in pipelines:
            pipeline.close()
    log_probabilities, indices, skipped = answers
    report = measure(log_probabilities, matched.labels[indices], matched.classes, skipped=skipped)
    seconds = time.perf_counter() - start
    return Evaluation(row, spec, precision, report, seconds, len(split.classes))


def quick_evaluate(
    network: nn.Module, pipeline: Pipeline, *, precision: Precision = "fp32"
) -> dict[str, float]:
    """The few numbers that a training run watches, under the protocol "single".

    Args:
        network: logits out; its mode is restored afterwards.
        pipeline: an evaluation pipeline, which is not closed; its classes are the network's.
        precision: of the network's arithmetic.

    Returns:
        `top1_error_percent`, `top5_error_percent`, `loss`, `num_samples`, `num_skipped`.

    Raises:
        BadData: no picture can be read.
    """
    with evaluating(network, precision) as scored:
        batches = _scored(scored, [pipeline], find_protocol("single"), pipeline.spec.size)
        log_probabilities, indices, skipped = _collect(batches, len(pipeline.split), None)
    labels = pipeline.split.labels[indices]
    report = measure(log_probabilities, labels, pipeline.split.classes, skipped=skipped)
    return {
        "top1_error_percent": report.top1_error_percent,
        "top5_error_percent": report.top5_error_percent,
        "loss": report.loss,
        "num_samples": report.num_samples,
        "num_skipped": report.num_skipped,
    }


def _scaled_specs(spec: InputSpec, protocol: Protocol) -> list[InputSpec]:
    """For every scale, the spec that makes the region from which the views are cut."""
    lengths = [side.length_px(spec.resize) for side in protocol.resize]
    if protocol.region == "square":
        return [replace(spec, resize=length, size=length) for length in lengths]
    return [replace(spec, resize=length) for length in lengths]


def _scored(
    network: Network, pipelines: Sequence[Pipeline], protocol: Protocol, size: int
) -> Iterator[tuple[Batch, Tensor]]:
    """Every batch with its answers: log-probabilities (N, K)."""
    for scales in zip(*(pipeline.epoch(0) for pipeline in pipelines), strict=True):
        if not len(scales[0].indices):
            yield scales[0], torch.empty(0)
            continue
        views = [view for batch in scales for view in views_of(batch.images, protocol, size)]
        yield scales[0], mean_softmax(score_crops(network, views))


def _collect(
    batches: Iterator[tuple[Batch, Tensor]], total: int, progress: Progress | None
) -> tuple[Scores, Labels, list[Skipped]]:
    """Answers, the positions in the split that they belong to, and the files without any."""
    answers: list[Scores] = []
    indices: list[Labels] = []
    skipped: list[Skipped] = []
    done = 0
    for batch, log_probabilities in batches:
        skipped.extend(Skipped(bad.name, bad.reason) for bad in batch.bad)
        if len(batch.indices):
            answers.append(log_probabilities.cpu().numpy())
            indices.append(batch.indices)
        done += len(batch.indices) + len(batch.bad)
        if progress is not None:
            progress(done, total)
    if not answers:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64), skipped
    return np.concatenate(answers), np.concatenate(indices), skipped
