"""Verdicts, worked out by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from backbones.ledger.entry import Expectation
from backbones.ledger.measured import Figure, Machine, Measured, Run
from backbones.ledger.verdict import judge

MACHINE = Machine(
    processor="p",
    threads=1,
    device="cpu",
    precision="fp32",
    python="3",
    torch="2",
    backbones="0",
)


def figure(label: str, *errors: float, samples: int = 10_000) -> Figure:
    runs = tuple(
        Run(seed=n, top1_error_percent=e, low=e, high=e, num_samples=samples)
        for n, e in enumerate(errors)
    )
    return Figure(label=label, runs=runs)


def measured(*figures: Figure) -> Measured:
    return Measured(
        id="a/b", date="2026-01-01", smoke=False, figures=figures, machine=MACHINE, train_seconds={}
    )


LOWER = Expectation(figure="a", **{"is": "lower"}, than="b")
NOT_LOWER = Expectation(figure="a", **{"is": "not lower"}, than="b")


@pytest.mark.parametrize(
    ("a", "b", "lower", "not_lower"),
    [
        (10.0, 20.0, "agrees", "disagrees"),
        (20.0, 10.0, "disagrees", "agrees"),
        (10.0, 10.2, "undecided", "undecided"),  # 0.2 +- 0.84: both claims fit
        (10.0, 9.5, "undecided", "agrees"),  # -0.5 +- 0.83
    ],
)
def test_words(a: float, b: float, lower: str, not_lower: str) -> None:
    found = measured(figure("a", a), figure("b", b))
    assert judge(LOWER, found, of_seeds=False).word == lower
    assert judge(NOT_LOWER, found, of_seeds=False).word == not_lower


def test_not_lower_is_not_agreed_to_because_too_little_was_measured() -> None:
    """31.07 against 31.67 % of a thousand images: dense may be better by points, or not at all."""
    few = judge(NOT_LOWER, measured(figure("a", 31.07, samples=1000), figure("b", 31.67)))
    assert few.word == "undecided"
    many = [figure(each, 31.07, samples=10**6) for each in "ab"]
    assert judge(NOT_LOWER, measured(*many), of_seeds=False).word == "agrees"


def test_networks_that_were_trained_once_decide_nothing() -> None:
    found = judge(LOWER, measured(figure("a", 10), figure("b", 20, 20)))
    assert found.word == "undecided"
    assert "one run each" in found.to_text()


def test_the_standard_error_of_one_run_is_binomial() -> None:
    found = judge(LOWER, measured(figure("a", 10.0), figure("b", 20.0)))
    assert found.difference == 10
    assert found.standard_error == pytest.approx(100 * sqrt(0.09 / 10_000 + 0.16 / 10_000))
    assert found.low == pytest.approx(10 - 1.959964 * found.standard_error)


def test_two_seeds_a_side_are_held_against_student_s_t_with_two_degrees_of_freedom() -> None:
    """10 and 10.4: s^2 / 2 = 0.04 each, the standard error sqrt(0.08), t 4.303 and not 2."""
    one, other = figure("a", 10, 10.4, samples=10**8), figure("b", 11, 11.4, samples=10**8)
    found = judge(LOWER, measured(one, other))
    assert found.standard_error == pytest.approx(sqrt(0.08))
    assert found.high - found.difference == pytest.approx(4.302653 * sqrt(0.08), rel=1e-5)
    assert found.word == "undecided"  # 1.0 +- 1.2; twice the standard error would have agreed


def test_seeds_that_lie_unevenly_far_apart_have_welch_s_degrees_of_freedom() -> None:
    """One side does not vary: one degree of freedom is left, t 12.706."""
    one, other = figure("a", 10, 14, samples=10**8), figure("b", 15, 15, samples=10**8)
    found = judge(LOWER, measured(one, other))
    assert found.standard_error == pytest.approx(2)
    assert found.high - found.difference == pytest.approx(12.7062 * 2, rel=1e-4)


def test_measures_of_one_network_are_paired_run_by_run() -> None:
    """Networks lie 10 points apart, the measures of each network exactly 1: that is decided."""
    one = figure("a", 10.0, 20.0, 30.0, samples=10**8)
    other = figure("b", 11.0, 21.0, 31.0, samples=10**8)
    assert judge(LOWER, measured(one, other), of_seeds=False).word == "agrees"
    assert judge(LOWER, measured(one, other)).word == "undecided"


def test_answers_for_the_same_images_are_paired_image_by_image() -> None:
    """Of 1,000 images 100 are wrong for both, 20 more for one only: the rest says nothing."""
    both = tuple(range(100))
    runs = [
        Run(seed=0, top1_error_percent=e, low=0, high=0, num_samples=1000, misnamed=wrong)
        for e, wrong in ((10.0, both), (12.0, (*both, *range(500, 520))))
    ]
    figures = [Figure(label=n, runs=(run,)) for n, run in zip("ab", runs, strict=True)]
    found = judge(LOWER, measured(*figures), of_seeds=False)
    assert found.standard_error == pytest.approx(100 * sqrt(20 - 20**2 / 1000) / 1000)
    assert found.word == "agrees"
    unpaired = [figure("a", 10.0, samples=1000), figure("b", 12.0, samples=1000)]
    assert judge(LOWER, measured(*unpaired), of_seeds=False).word == "undecided"


def test_several_runs_are_told_with_their_spread() -> None:
    assert figure("a", 10, 14).to_text() == "12.00 ± 2.83 %"
    assert figure("a", 10).to_text() == "10.00 %"
