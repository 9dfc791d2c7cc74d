"""Two ways of computing one network, held against each other on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbones.metrics import Z_95, Interval, Labels, Scores, ranks


@dataclass(frozen=True)
class Agreement:
    """How the answers of a faster way differ from the exact one's.

    Args:
        num_images: that both answered.
        same_first_class: share of them on which both name the same class first.
        mean_probability_diff: mean distance between the two probabilities of the class that the
            exact one names first.
    """

    num_images: int
    same_first_class: float
    mean_probability_diff: float


@dataclass(frozen=True)
class AccuracyLoss:
    """What the faster way loses of the exact one's top-1 accuracy, on the same images.

    Args:
        exact, faster: top-1 accuracies, fractions.
        interval: of the loss, in points.
    """

    exact: float
    faster: float
    interval: Interval

    @property
    def points(self) -> float:
        """Top-1 accuracy that is lost, in points: a hundred is all of it."""
        return 100 * (self.exact - self.faster)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "top1_accuracy_exact": self.exact,
            "top1_accuracy": self.faster,
            "top1_loss_points": self.points,
            "top1_loss_interval_points": [self.interval.low, self.interval.high],
        }


def agreement_of(exact: Scores, faster: Scores) -> Agreement:
    """Compare answers.

    Args:
        exact, faster: probabilities, (N, K) each, of the same N images.

    Example:
        >>> agreement_of(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.8, 0.2], [0.3, 0.7]]))
        Agreement(num_images=2, same_first_class=0.5, mean_probability_diff=0.2)
    """
    first = exact.argmax(1)[:, None]
    apart = np.take_along_axis(exact, first, 1) - np.take_along_axis(faster, first, 1)
    return Agreement(
        len(exact),
        float((first[:, 0] == faster.argmax(1)).mean()),
        round(float(np.abs(apart).mean()), 6),
    )


def accuracy_loss(exact: Scores, faster: Scores, labels: Labels) -> AccuracyLoss:
    """Compare answers with the truth.

    Args:
        exact, faster: scores or probabilities, (N, K) each, of the same N images.
        labels: (N,), the true classes.
    """
    right, still = ranks(exact, labels) == 0, ranks(faster, labels) == 0
    interval = paired_interval(int((right & ~still).sum()), int((still & ~right).sum()), len(right))
    return AccuracyLoss(float(right.mean()), float(still.mean()), interval)


def paired_interval(only_one: int, only_other: int, trials: int) -> Interval:
    """The interval of the difference between two proportions of the same trials, in points.

    Args:
        only_one, only_other: trials in which one of the two alone succeeded.
        trials: all of them, at least 1.

    Reference:
        D. G. Bonett, R. M. Price (2012), Adjusted Wald confidence interval for a difference of
        binomial proportions based on paired data, Journal of Educational and Behavioral
        Statistics 37(4). It has a width even where the two never differed.

    Example:
        >>> found = paired_interval(5, 2, 200)
        >>> round(found.low, 2), round(found.high, 2)
        (-1.42, 4.39)
    """
    one, other = (only_one + 1) / (trials + 2), (only_other + 1) / (trials + 2)
    half = Z_95 * math.sqrt((one + other - (one - other) ** 2) / (trials + 2))
    return Interval(*(100 * max(-1.0, min(1.0, one - other + side)) for side in (-half, half)))
