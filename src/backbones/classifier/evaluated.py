"""The images of an evaluation, each with its truth and its answer: where the mistakes are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backbones.data.source import Split
from backbones.metrics import Labels, Scores, ranks


@dataclass(frozen=True)
class EvaluatedImages:
    """The images that were counted, in the order of the data.

    Args:
        split: images and true classes, which count in the network's classes.
        log_probabilities: (N, K).
    """

    split: Split
    log_probabilities: Scores

    def __len__(self) -> int:
        return len(self.split)

    @property
    def true(self) -> Labels:
        """(N,), the true classes."""
        return self.split.labels

    @cached_property
    def predicted(self) -> Labels:
        """(N,), the likeliest classes; the first of equal ones, as in the report."""
        first: Labels = np.argmax(self.log_probabilities, axis=1).astype(np.int64)
        return first

    @cached_property
    def true_ranks(self) -> Labels:
        """(N,), the place of the true class among all classes, from 1."""
        places: Labels = ranks(self.log_probabilities, self.true) + 1
        return places

    def probabilities(self, place: int) -> Scores:
        """(K,), of one image."""
        shares: Scores = np.exp(self.log_probabilities[place])
        return shares

    def likeliest(self, place: int, most: int) -> Iterator[tuple[int, float]]:
        """Classes of one image with their probabilities, the likeliest first."""
        found = self.probabilities(place)
        for number in np.argsort(-found, kind="stable")[:most].tolist():
            yield number, float(found[number])

    def worst(self, most: int) -> list[int]:
        """Places of the mistakes, first those whose wrong class leads the true one by the most."""
        rows = np.arange(len(self))
        scores = np.exp(self.log_probabilities)
        lead = scores[rows, self.predicted] - scores[rows, self.true]
        wrong = np.flatnonzero(self.predicted != self.true)
        return _first(wrong, -lead[wrong], most)

    def least_certain(self, most: int) -> list[int]:
        """Places of the images whose two likeliest classes are closest; empty for one class."""
        if self.log_probabilities.shape[1] < 2:
            return []
        best = np.sort(np.exp(self.log_probabilities), axis=1)[:, -2:]
        return _first(np.arange(len(self)), best[:, 1] - best[:, 0], most)

    def hardest_of(self, class_number: int, most: int) -> list[int]:
        """Places of the images of a class, first those that look least like it to the network."""
        own = np.flatnonzero(self.true == class_number)
        return _first(own, self.log_probabilities[own, class_number], most)


def _first(places: Labels, keys: Scores, most: int) -> list[int]:
    """The places with the smallest keys; of equal ones, the first."""
    chosen: Sequence[int] = places[np.argsort(keys, kind="stable")[:most]].tolist()
    return list(chosen)
