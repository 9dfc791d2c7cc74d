"""What the answers of a network are worth: pure functions from scores and labels to numbers.

Scores are a (N, K) array, one row an image, one column a class; the larger, the likelier. Error
rates are in percent, as papers print them; everything else is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backbones.errors import BadData
from backbones.text import finite

Scores = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]

Z_95 = 1.959963984540054  # the normal distribution's two-sided 95 % point
_DENSE_UP_TO = 120  # classes
CALIBRATION_BINS = 15  # Guo et al. 2017, section 5


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in the unit of the number that it belongs to."""

    low: float
    high: float


@dataclass(frozen=True)
class ClassReport:
    """How one class fared. None means undefined: the denominator is zero.

    Args:
        name: of the class.
        support: images that are of this class.
        predicted: images that were called this class.
        precision: the share of `predicted` that was right.
        recall: the share of `support` that was found.
        f1: the harmonic mean of the two.
        id: what data and bundle call the class, where that is not its `name`.
    """

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    id: str | None = None


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose highest probability lies in (low, high].

    Args:
        low, high: limits of the probability.
        count: images in the bin.
        confidence: mean of their highest probabilities; 0 for an empty bin.
        accuracy: the share of them that was right; 0 for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read and is in no number of the report."""

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """Everything that one evaluation measured.

    Args:
        num_samples: images counted; those skipped are not among them.
        num_skipped: images that could not be read.
        skipped: which ones, and why.
        top1_error_percent, top5_error_percent: with k = min(5, classes), so that five classes or
            fewer have a top-5 error of zero by definition.
        top1_interval_percent, top5_interval_percent: 95 % Wilson intervals.
        loss: mean negative log-likelihood of the true class, in nats.
        brier: mean over images of the squared distance between the probabilities and the truth.
        calibration_error: expected calibration error over 15 bins of equal width.
        macro_f1: unweighted mean of the F1 of the classes that the data has images of.
        per_class: one entry a class, in the order of the network's outputs.
        confusion: counts; rows are true classes, columns are predicted ones.
        calibration: the bins of the calibration error, for a reliability diagram.
        misnamed: places of the images whose first class is wrong, in the order of the data; not
            in the JSON.
    """

    num_samples: int
    num_skipped: int
    top1_error_percent: float
    top5_error_percent: float
    top1_interval_percent: Interval
    top5_interval_percent: Interval
    loss: float
    brier: float
    calibration_error: float
    macro_f1: float
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...]
    skipped: tuple[Skipped, ...] = ()
    misnamed: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, ready for `json.dumps`.

        JSON has no word for infinity and "not a number", which a diverged network's loss may be:
        they become null. With more than 120 classes `confusion`, nearly all of it zeros, gives way
        to `confusion_counts`: (true class, predicted class, count), as places in `per_class`.
        """
        plain: dict[str, Any] = finite(asdict(replace(self, confusion=())))
        plain["per_class"] = [
            {key: value for key, value in row.items() if key != "id" or value is not None}
            for row in plain["per_class"]
        ]
        del plain["confusion"], plain["misnamed"]
        if len(self.confusion) <= _DENSE_UP_TO:
            plain["confusion"] = [list(row) for row in self.confusion]
        else:
            table = np.asarray(self.confusion)
            plain["confusion_counts"] = [
                [int(true), int(called), int(table[true, called])]
                for true, called in np.argwhere(table)
            ]
        return plain

    def named(self, names: Sequence[str]) -> Report:
        """The same with other names for the classes; a row whose name changes keeps the old as id.

        Args:
            names: one a class, in the order of `per_class`.
        """
        rows = tuple(
            row if name == row.name else replace(row, name=name, id=row.name)
            for row, name in zip(self.per_class, names, strict=True)
        )
        return replace(self, per_class=rows)


def ranks(scores: Scores, labels: Labels) -> Labels:
    """The place of the true class among all classes; 0 is the first.

    Equal scores are placed in the order of the classes, so that a network that answers the same
    for every class earns what guessing earns. A true class whose score is not a number is last.

    Example:
        >>> ranks(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]), np.array([2, 1])).tolist()
        [1, 1]
    """
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    better = (scores > own) | ((scores == own) & earlier)
    place = better.sum(axis=1, dtype=np.int64)
    return np.where(np.isnan(own[:, 0]), np.int64(scores.shape[1]), place)


def wilson_interval(successes: int, trials: int, *, z: float = Z_95) -> Interval:
    """The score interval of a proportion, as fractions. Honest near 0, near 1 and for few trials.

    Args:
        successes: 0..trials.
        trials: at least 1.
        z: the normal quantile; the default gives 95 %.

    Reference:
        E. B. Wilson (1927), Probable inference, the law of succession, and statistical
        inference, Journal of the American Statistical Association 22(158).

    Example:
        >>> interval = wilson_interval(5, 10)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.2366, 0.7634)
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials")
    share = successes / trials
    weight = z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # At the ends one limit is exactly 0 or 1; rounding must not carry it past.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low, high)


def confusion_matrix(predicted: Labels, labels: Labels, num_classes: int) -> npt.NDArray[np.int64]:
    """Counts of (true class, predicted class): rows are the truth.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def per_class(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> tuple[ClassReport, ...]:
    """Precision, recall and F1 of every class, from the confusion matrix."""
    found = np.diagonal(confusion)
    support = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)

    def share(part: np.int64, whole: np.int64) -> float | None:
        return float(part / whole) if whole else None

    return tuple(
        ClassReport(
            name=name,
            support=int(support[i]),
            predicted=int(predicted[i]),
            precision=share(found[i], predicted[i]),
            recall=share(found[i], support[i]),
            f1=share(2 * found[i], support[i] + predicted[i]),
        )
        for i, name in enumerate(names)
    )


def calibration_bins(
    confidence: npt.NDArray[np.floating[Any]], correct: npt.NDArray[np.bool_]
) -> tuple[CalibrationBin, ...]:
    """Sort answers by their confidence into 15 bins of equal width, closed on the right.

    Args:
        confidence: (N,), the highest probability of each image.
        correct: (N,), whether that answer was right.
    """
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    counts = np.bincount(place, minlength=CALIBRATION_BINS)
    trust = np.bincount(place, weights=confidence, minlength=CALIBRATION_BINS)
    right = np.bincount(place, weights=correct, minlength=CALIBRATION_BINS)
    return tuple(
        CalibrationBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(trust[i] / counts[i]) if counts[i] else 0.0,
            accuracy=float(right[i] / counts[i]) if counts[i] else 0.0,
        )
        for i in range(CALIBRATION_BINS)
    )


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """The mean gap between confidence and accuracy, weighted by the bins' counts.

    Reference:
        Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks,
        ICML 2017, equation 3.
    """
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total


def measure(
    log_probabilities: Scores,
    labels: Labels,
    classes: Sequence[str],
    *,
    skipped: Sequence[Skipped] = (),
) -> Report:
    """Measure everything at once.

    Args:
        log_probabilities: natural logarithms of the class probabilities.
        labels: the true classes, as indices into `classes`.
        classes: names, in the order of the columns.
        skipped: images that could not be read, to be listed.

    Shapes:
        log_probabilities (N, K); labels (N,); K names.

    Raises:
        BadData: there is no image, a label or the number of classes does not fit, or an answer
            is no number: it would be counted for a class that nobody named.
    """
    _check(log_probabilities, labels)
    if np.isnan(log_probabilities).any():
        nameless = int(np.isnan(log_probabilities).any(axis=1).sum())
        raise BadData(
            f"{nameless} of {len(labels)} answers are no numbers (nan), so there is nothing to"
            " measure; the network's weights are damaged or diverged in training"
        )
    count, num_classes = log_probabilities.shape
    if num_classes != len(classes):
        raise BadData(
            f"the network has {num_classes} outputs and there are {len(classes)} class names;"
            " use the class names that the network was trained with"
        )
    place = ranks(log_probabilities, labels)
    # argmax takes the first of equal scores, as `ranks` does.
    predicted = np.argmax(log_probabilities, axis=1).astype(np.int64)
    probabilities = np.exp(log_probabilities.astype(np.float64))
    own = log_probabilities[np.arange(count), labels].astype(np.float64)
    confusion = confusion_matrix(predicted, labels, num_classes)
    classwise = per_class(confusion, classes)
    bins = calibration_bins(probabilities[np.arange(count), predicted], predicted == labels)
    misses = [int(np.sum(place >= min(k, num_classes))) for k in (1, 5)]
    intervals = [wilson_interval(missed, count) for missed in misses]
    present = [each.f1 for each in classwise if each.f1 is not None and each.support]
    squared = np.einsum("nk,nk->n", probabilities, probabilities) - 2 * np.exp(own) + 1
    return Report(
        num_samples=count,
        num_skipped=len(skipped),
        top1_error_percent=100.0 * misses[0] / count,
        top5_error_percent=100.0 * misses[1] / count,
        top1_interval_percent=Interval(100 * intervals[0].low, 100 * intervals[0].high),
        top5_interval_percent=Interval(100 * intervals[1].low, 100 * intervals[1].high),
        loss=float(-own.mean()),
        brier=float(squared.mean()),
        calibration_error=expected_calibration_error(bins),
        macro_f1=sum(present) / len(present),
        per_class=classwise,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=bins,
        skipped=tuple(skipped),
        misnamed=tuple(np.flatnonzero(place >= 1).tolist()),
    )


def _check(scores: Scores, labels: Labels) -> None:
    if scores.ndim != 2 or len(scores) != len(labels):
        raise ValueError(f"scores have shape {scores.shape} for {len(labels)} labels")
    if not len(labels):
        raise BadData("there is no image to measure; at least one that can be read is needed")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise BadData(
            f"labels run from {labels.min()} to {labels.max()},"
            f" but the network has {scores.shape[1]} outputs, 0 to {scores.shape[1] - 1}"
        )
