"""A network in int8 held against the same network in fp32, on images that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor

from backbones.agreement import AccuracyLoss, Agreement, accuracy_loss, agreement_of
from backbones.data.source import Split
from backbones.exporting.session import Array, Session
from backbones.quantization.images import batches_of
from backbones.spec import InputSpec
from backbones.speed import time_passes

_BATCH = 16
_BATCHES_TIMED = (1, 16)
_ROUNDS = 5


@dataclass(frozen=True)
class Judged:
    """What int8 does to a network's answers.

    Args:
        agreement: of the two networks' answers.
        loss: of top-1 accuracy.
    """

    agreement: Agreement
    loss: AccuracyLoss


@dataclass(frozen=True)
class Speed:
    """Images a second of both, in one runtime, in turns: medians of the rounds.

    Args:
        batch: images at a time.
        fp32, int8: images a second.
    """

    batch: int
    fp32: float
    int8: float


@dataclass(frozen=True)
class Pair:
    """A graph in both precisions.

    Args:
        fp32, int8: sessions.
        fed: from normalised images to what both take.
    """

    fp32: Session
    int8: Session
    fed: Callable[[Tensor], Array]

    def judged(self, split: Split, spec: InputSpec, done: Callable[[int, int], None]) -> Judged:
        """Both on the same images.

        Args:
            split: labelled images.
            spec: what the network sees of them.
            done: called with (images done, images in all).

        Raises:
            BadData: none of the images can be read.
        """
        exact, faster, truth = [], [], []
        for images, labels in batches_of(split, spec, _BATCH, done):
            fed = self.fed(images)
            exact.append(_probabilities(self.fp32, fed))
            faster.append(_probabilities(self.int8, fed))
            truth.append(labels.numpy())
        both = np.concatenate(exact), np.concatenate(faster)
        return Judged(agreement_of(*both), accuracy_loss(*both, np.concatenate(truth)))

    def speeds(self, spec: InputSpec) -> tuple[Speed, ...]:
        """How fast both are here."""
        found = []
        for batch in _BATCHES_TIMED:
            images = self.fed(torch.zeros(batch, spec.channels, spec.size, spec.size))
            taken: dict[str, list[float]] = {"fp32": [], "int8": []}
            for _ in range(_ROUNDS):
                for name, session in (("fp32", self.fp32), ("int8", self.int8)):
                    run = _runs(session, images)
                    taken[name].append(time_passes(run, least_s=0.1, least=1))
            per_second = {name: round(batch / median(each), 1) for name, each in taken.items()}
            found.append(Speed(batch, **per_second))
        return tuple(found)


def _probabilities(session: Session, fed: Array) -> Array:
    found: Array = session.run(fed)["probabilities"].reshape(len(fed), -1)
    return found


def _runs(session: Session, images: Array) -> Callable[[], object]:
    return lambda: session.run(images)
