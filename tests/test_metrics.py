"""Metrics against numbers worked out by hand, and against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from backbones.errors import BadData
from backbones.metrics import (
    Skipped,
    calibration_bins,
    confusion_matrix,
    expected_calibration_error,
    measure,
    per_class,
    ranks,
    wilson_interval,
)


def answers(num: int = 400, classes: int = 7, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a network that is right more often than not, and the truth."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, num)
    logits = generator.normal(size=(num, classes))
    logits[np.arange(num), labels] += 1.5
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels


def topk_error_percent(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    return 100.0 * float(np.mean(ranks(scores, labels) >= min(k, scores.shape[1])))


def test_topk_error_by_hand() -> None:
    scores = np.array([[4, 3, 2, 1, 0, -1], [4, 3, 2, 1, 0, -1], [0, 0, 0, 0, 0, 9]], float)
    labels = np.array([0, 5, 3])
    assert topk_error_percent(scores, labels, 1) == pytest.approx(200 / 3)
    assert topk_error_percent(scores, labels, 5) == pytest.approx(100 / 3)
    assert topk_error_percent(scores, labels, 6) == 0


def test_top5_of_five_classes_or_fewer_is_zero_by_definition() -> None:
    scores, labels = answers(classes=4)
    assert topk_error_percent(scores, labels, 5) == 0
    report = measure(scores, labels, "abcd")
    assert report.top5_error_percent == 0
    assert report.top1_error_percent > 0


def test_a_network_that_answers_the_same_for_all_classes_earns_no_more_than_guessing() -> None:
    labels = np.arange(10)
    assert topk_error_percent(np.zeros((10, 10)), labels, 1) == 90
    assert topk_error_percent(np.zeros((10, 10)), labels, 5) == 50


def test_scores_that_are_not_numbers_are_wrong_answers() -> None:
    assert topk_error_percent(np.full((4, 10), np.nan), np.arange(4), 5) == 100


def test_ranks_put_equal_scores_in_class_order_as_argmax_does() -> None:
    scores = np.array([[1.0, 1.0, 0.0]] * 3)
    assert ranks(scores, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_topk_agrees_with_scikit_learn() -> None:
    scores, labels = answers()
    for k in (1, 2, 5):
        accuracy = peer.top_k_accuracy_score(labels, scores, k=k)
        assert topk_error_percent(scores, labels, k) == pytest.approx(100 * (1 - accuracy))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # solved from |p - x/n| = z * sqrt(p (1 - p) / n) in closed form
        (0, 20, 0.0, 0.16112516),
        (20, 20, 0.83887484, 1.0),
        (81, 263, 0.25529069, 0.36618735),
    ],
)
def test_wilson_interval_by_hand(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson_interval(successes, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_limits_solve_the_score_equation(trials: int, share: float) -> None:
    successes = round(share * trials)
    found = wilson_interval(successes, trials)
    observed = successes / trials
    assert 0 <= found.low <= observed <= found.high <= 1
    for limit in (found.low, found.high):
        if 0 < limit < 1:
            distance = 1.959963984540054 * np.sqrt(limit * (1 - limit) / trials)
            assert abs(limit - observed) == pytest.approx(distance, rel=1e-6)


def test_wilson_interval_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        wilson_interval(3, 2)


def test_confusion_and_per_class_agree_with_scikit_learn() -> None:
    scores, labels = answers()
    predicted = scores.argmax(axis=1)
    matrix = confusion_matrix(predicted, labels, 7)
    assert matrix.tolist() == peer.confusion_matrix(labels, predicted).tolist()
    precision, recall, f1, support = peer.precision_recall_fscore_support(labels, predicted)
    for i, row in enumerate(per_class(matrix, "abcdefg")):
        assert (row.precision, row.recall, row.f1, row.support) == (
            pytest.approx(precision[i]),
            pytest.approx(recall[i]),
            pytest.approx(f1[i]),
            support[i],
        )


def test_undefined_shares_are_none_and_not_zero() -> None:
    never_seen, never_called, both = per_class(np.array([[0, 0, 0], [2, 0, 0], [0, 0, 0]]), "abc")
    assert (never_seen.recall, never_seen.precision, never_seen.f1) == (None, 0.0, 0.0)
    assert (never_called.recall, never_called.precision, never_called.f1) == (0.0, None, 0.0)
    assert (both.recall, both.precision, both.f1) == (None, None, None)


def test_calibration_by_hand() -> None:
    # 0.95 lies in the last bin, 0.55 in the ninth, (8/15, 9/15].
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, False])
    bins = calibration_bins(confidence, correct)
    assert len(bins) == 15
    assert [each.count for each in bins if each.count] == [2, 4]
    assert bins[8].count == 2
    assert expected_calibration_error(bins) == pytest.approx((4 * 0.20 + 2 * 0.05) / 6)


def test_calibration_bins_are_closed_on_the_right_and_hold_both_ends() -> None:
    bins = calibration_bins(np.array([0.0, 1 / 15, 1.0]), np.array([True, True, True]))
    assert (bins[0].count, bins[14].count) == (2, 1)


def test_report_agrees_with_scikit_learn() -> None:
    scores, labels = answers()
    report = measure(scores, labels, "abcdefg")
    probabilities = np.exp(scores)
    assert report.loss == pytest.approx(peer.log_loss(labels, probabilities))
    truth = np.eye(7)[labels]
    assert report.brier == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean())
    macro = peer.f1_score(labels, scores.argmax(axis=1), average="macro")
    assert report.macro_f1 == pytest.approx(macro)
    assert report.top1_interval_percent.low < report.top1_error_percent
    assert report.top1_error_percent < report.top1_interval_percent.high


def test_report_counts_exactly_and_is_json() -> None:
    scores, labels = answers(num=13, classes=3)
    report = measure(scores, labels, "abc", skipped=[Skipped("x.jpg", "cut off")])
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert values["num_samples"] == 13
    assert values["num_skipped"] == 1
    assert values["skipped"] == [{"name": "x.jpg", "reason": "cut off"}]
    assert sum(map(sum, values["confusion"])) == 13
    assert sum(each["count"] for each in values["calibration"]) == 13
    assert sum(each["support"] for each in values["per_class"]) == 13


def test_nan_is_never_counted_for_the_first_class() -> None:
    scores = np.log(np.full((3, 4), 0.25))
    scores[1] = np.nan
    with pytest.raises(BadData, match="1 of 3 answers are no numbers"):
        measure(scores, np.array([0, 1, 2]), "abcd")


def test_report_of_an_answer_of_no_probability_is_still_json() -> None:
    report = measure(np.array([[0.0, -np.inf]]), np.array([1]), "ab")
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert values["top1_error_percent"] == 100
    assert values["loss"] is None


def test_report_is_the_same_for_any_order_of_images() -> None:
    scores, labels = answers()
    order = np.random.default_rng(0).permutation(len(labels))
    one, other = (
        measure(s, y, "abcdefg") for s, y in ((scores, labels), (scores[order], labels[order]))
    )
    assert one.confusion == other.confusion
    assert one.top5_error_percent == other.top5_error_percent
    assert one.loss == pytest.approx(other.loss, rel=1e-12)


def test_nothing_to_measure_is_bad_data() -> None:
    with pytest.raises(BadData, match="no image"):
        measure(np.zeros((0, 3)), np.zeros(0, np.int64), "abc")


def test_labels_outside_the_network_are_bad_data() -> None:
    with pytest.raises(BadData, match="has 3 outputs"):
        measure(np.zeros((2, 3)), np.array([0, 3]), "abc")
    with pytest.raises(BadData, match="3 outputs and there are 2 class names"):
        measure(np.zeros((2, 3)), np.array([0, 1]), "ab")
