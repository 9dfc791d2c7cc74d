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
        (10.0, 10.5, "undecided", "agrees"),
    ],
)
def test_words(a: float, b: float, lower: str, not_lower: str) -> None:
    found = measured(figure("a", a), figure("b", b))
    assert judge(LOWER, found, of_seeds=False).word == lower
    assert judge(NOT_LOWER, found, of_seeds=False).word == not_lower
    twice = measured(figure("a", a, a), figure("b", b, b))
    assert judge(LOWER, twice).word == lower
    assert judge(NOT_LOWER, twice).word == not_lower


def test_networks_that_were_trained_once_decide_nothing() -> None:
    found = judge(LOWER, measured(figure("a", 10), figure("b", 20, 20)))
    assert found.word == "undecided"
    assert "one run each" in found.to_text()


def test_the_standard_error_of_one_run_is_binomial() -> None:
    found = judge(LOWER, measured(figure("a", 10.0), figure("b", 20.0)))
    assert found.difference == 10
    assert found.standard_error == pytest.approx(100 * sqrt(0.09 / 10_000 + 0.16 / 10_000))


def test_seeds_that_lie_far_apart_widen_it() -> None:
    """10 and 14: the standard deviation is sqrt(8), that of the mean sqrt(8 / 2) = 2."""
    found = judge(LOWER, measured(figure("a", 10, 14, samples=10**8), figure("b", 15, 15)))
    assert found.standard_error == pytest.approx(sqrt(4 + 1e4 * 0.15 * 0.85 / 20_000))
    assert found.word == "undecided"


def test_several_runs_are_told_with_their_spread() -> None:
    assert figure("a", 10, 14).to_text() == "12.00 ± 2.83 %"
    assert figure("a", 10).to_text() == "10.00 %"
