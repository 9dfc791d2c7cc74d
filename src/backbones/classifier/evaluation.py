"""Measure networks: the answers of the one path, beside the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.classifier.assembly import Member
from backbones.classifier.checked import SampledFigures, inference_of, sampled_figures
from backbones.classifier.evaluated import EvaluatedImages
from backbones.classifier.inference import Inference, Outputs, collected
from backbones.classifier.options import InferenceOptions
from backbones.classifier.processes import gather
from backbones.classifier.source import split_source
from backbones.compute import Compute, Precision, choose_compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import Split
from backbones.errors import NotFinite
from backbones.language import said
from backbones.metrics import Labels, Report, Skipped, measure
from backbones.nn.evaluating import evaluating
from backbones.progress import Progress
from backbones.protocols.classes import column_order, match_classes
from backbones.protocols.table import Protocol, find_protocol
from backbones.protocols.text import ReportContext, evaluation_text
from backbones.protocols.viewing import plan
from backbones.ranks import Ranks, current
from backbones.spec import InputSpec
from backbones.text import preformatted

_USUAL_PHOTO = (500, 375)  # the number of views is the same for every image


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and how.

    Args:
        protocol: the row that was followed.
        spec: the network's input spec; the first one's of several.
        compute: device, precision and threads.
        report: the numbers.
        seconds: from the first file to the last answer.
        classes_in_data: of how many of the network's classes the data has images.
        num_passes: views, or parts of large ones, that went through the networks.
        models: the networks, as they were named.
        selected_on_this_split: whether these images chose the weights, which flatters the
            figures.
        sampled: a sample that was answered in a faster precision and exactly; None where all
            answers are exact, or were asked for in one precision.
        num_rechecked: images that were answered in the faster precision and again exactly.
        data: what was understood of the data, and which split was measured; empty if not told.
        images: each with its truth and its answer; None where they are not at hand. Not in the
            JSON.
    """

    protocol: Protocol
    spec: InputSpec
    compute: Compute
    report: Report
    seconds: float
    classes_in_data: int
    num_passes: int = 0
    models: tuple[str, ...] = ("network",)
    selected_on_this_split: bool = False
    data: str = ""
    sampled: SampledFigures | None = None
    num_rechecked: int = 0
    images: EvaluatedImages | None = field(default=None, repr=False, compare=False)

    @property
    def views_per_image(self) -> int:
        """How many views of an image each network is shown."""
        return len(plan(self.protocol, *_USUAL_PHOTO, self.spec))

    def named(self, names: Sequence[str]) -> Evaluation:
        """The same with other names for the classes, in their order."""
        return replace(self, report=self.report.named(names))

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary: `protocol`, `num_samples`, `top1_error_percent` and so on."""
        return {
            "protocol": self.protocol.name,
            "citation": str(self.protocol.citation),
            **self.compute.to_json(),
            "input": self.spec.to_json(),
            "seconds": self.seconds,
            **({"data": self.data} if self.data else {}),
            "classes_in_data": self.classes_in_data,
            "models": list(self.models),
            "selected_on_this_split": self.selected_on_this_split,
            "reduction": self.protocol.reduction,
            "views_per_image": self.views_per_image,
            "forward_passes": self.num_passes,
            "agreement": self._agreement,
            "num_rechecked": self.num_rechecked,
            **({"sampled": self.sampled.to_json()} if self.sampled else {}),
            "images_per_second": self.report.num_samples / self.seconds,
            "printed": self.protocol.printed_json(),
            **self.report.to_json(),
        }

    def to_text(self) -> str:
        """The same in lines of text, for people."""
        context = ReportContext(
            title=f"{self.protocol.name}: {self.protocol.summary}",
            seconds=self.seconds,
            classes_in_data=self.classes_in_data,
            protocol=self.protocol,
            models=self.models,
            views_per_image=self.views_per_image,
            num_passes=self.num_passes,
            selected=self.selected_on_this_split,
            data=self.data,
            computed=self._computed_lines(),
        )
        return evaluation_text(self.report, context)

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())

    @property
    def _agreement(self) -> float | None:
        return self.sampled.second_look.agreement.same_first_class if self.sampled else None

    def _computed_lines(self) -> tuple[str, ...]:
        compute = self.compute
        how = said("{precision} by {engine}", precision=compute.precision, engine=compute.engine)
        if self.sampled is None:
            return (how,)
        again = said(
            "{part:,} of {all:,} images again in fp32",
            part=self.num_rechecked,
            all=self.report.num_samples,
        )
        return (f"{how}; {again}", *self.sampled.to_lines())


def evaluate(
    network: nn.Module,
    split: Split,
    spec: InputSpec,
    protocol: str | Protocol = "single",
    *,
    classes: Sequence[str] | None = None,
    batch_size: int | None = None,
    compute: Compute | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a network on a split as a paper would.

    Every image that can be read is counted exactly once; those that cannot are listed in the
    report. Neither the order of the images nor the batch size changes the result.

    Args:
        network: logits out; its mode is restored afterwards.
        split: images and true classes.
        spec: how images become what the network sees.
        protocol: a row or its name.
        classes: the network's class names in the order of its outputs; labels are translated by
            name. None: the split's own.
        batch_size: images at a time; each has as many views as the protocol says.
        compute: device, precision and threads; what `choose_compute` says where None.
        workers: threads that decode; None picks the number.
        progress: called after every batch.

    Raises:
        ProtocolError: no such protocol, or its views do not fit.
        BadData: the classes differ, or no image can be read.
    """
    row = find_protocol(protocol) if isinstance(protocol, str) else protocol
    member = Member(lambda: network, spec, tuple(classes or split.classes))
    options = InferenceOptions(row, batch_size, compute or choose_compute(), workers)
    return evaluate_together([member], split, options, progress=progress)


def evaluate_together(
    members: Sequence[Member],
    split: Split,
    options: InferenceOptions,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure several networks as one: their answers are reduced as the protocol's views are.

    Under `torchrun`, or wherever a process group is there, every process takes its share of the
    images, and all get the whole evaluation.

    Args:
        members: one network or more; the classes of all must be the same, in any order.
        split: images and true classes.
        options: the protocol and the means.
        progress: called with (images done, images in all) of this process.

    Raises:
        ProtocolError: the protocol's views do not fit a network.
        BadData: classes differ, or no image can be read.
    """
    first = members[0]
    for each in members:
        column_order(each.classes, first.classes, each.name)  # before any work
    matched = match_classes(split, first.classes)
    start = time.perf_counter()
    ranks = current()
    inference = inference_of(members, options, len(matched), alone=ranks.alone)
    with ranks.telling_of_lost():
        answers = share_of_process(inference, matched, ranks, progress)
    report = measure(
        answers.log_probabilities,
        matched.labels[answers.indices],
        matched.classes,
        skipped=answers.skipped,
    )
    return Evaluation(
        options.protocol,
        first.spec,
        inference.usual.compute,
        report,
        seconds=time.perf_counter() - start,
        classes_in_data=len(np.unique(matched.labels)),
        num_passes=answers.num_passes,
        models=tuple(each.name for each in members),
        sampled=sampled_figures(inference, matched.labels),
        num_rechecked=answers.num_rechecked,
        images=EvaluatedImages(matched.take(answers.indices), answers.log_probabilities),
    )


def share_of_process(
    inference: Inference, split: Split, ranks: Ranks, progress: Progress | None = None
) -> Outputs:
    """What networks say together about a split, of which every process has shown them its share."""
    if ranks.alone:
        return collected(inference, split_source(split), progress)
    share = np.arange(ranks.rank, len(split), ranks.size)
    answers = collected(inference, split_source(split.take(share.tolist())), progress)
    return gather(ranks, replace(answers, indices=share[answers.indices]))


def quick_answers(
    network: nn.Module, pipeline: Pipeline, *, precision: Precision = "fp32"
) -> Outputs:
    """What a network says of the images that a training run watches, under "single".

    Args:
        network: logits out; its mode is restored afterwards.
        pipeline: an evaluation pipeline, which is not closed; its classes are the network's.
        precision: of the network's arithmetic.

    Returns:
        The answers; nan stands for all where one is no finite number (batch norm's averages can
        make them so for a while).
    """
    scores: list[Tensor] = []
    indices: list[Labels] = []
    skipped: list[Skipped] = []
    try:
        with evaluating(network, precision) as scored:
            for batch in pipeline.epoch(0):
                skipped += [Skipped(bad.name, bad.reason) for bad in batch.bad]
                if len(batch.indices):
                    scores.append(torch.log_softmax(scored(batch.images), dim=1).cpu())
                    indices.append(batch.indices)
    except NotFinite:
        nothing = np.full((1, len(pipeline.split.classes)), math.nan, np.float32)
        return Outputs(nothing, np.zeros(1, np.int64), (), 0)
    places = np.concatenate(indices) if indices else np.zeros(0, np.int64)
    answers = torch.cat(scores).numpy() if scores else np.zeros((0, 0), np.float32)
    return Outputs(answers, places, tuple(skipped), len(places))


def quick_figures(answers: Outputs, split: Split) -> dict[str, float]:
    """The few numbers that a training run watches, of what `quick_answers` gave.

    Returns:
        `top1_error_percent`, `top5_error_percent`, `loss`, `num_samples`, `num_skipped`; nan for
        the first three where nan stands for an answer.

    Raises:
        BadData: no image can be read.
    """
    if np.isnan(answers.log_probabilities).any():
        nothing = dict.fromkeys(("top1_error_percent", "top5_error_percent", "loss"), math.nan)
        return {**nothing, "num_samples": len(split), "num_skipped": 0}
    report = measure(
        answers.log_probabilities,
        split.labels[answers.indices],
        split.classes,
        skipped=answers.skipped,
    )
    return {
        "top1_error_percent": report.top1_error_percent,
        "top5_error_percent": report.top5_error_percent,
        "loss": report.loss,
        "num_samples": report.num_samples,
        "num_skipped": report.num_skipped,
    }
