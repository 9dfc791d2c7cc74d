"""Does what was measured agree with what was claimed?

Two figures differ where their difference is larger than twice its standard error. The standard
error counts what a finite number of test pictures leaves open (binomial, all runs together) or how
far the seeds lie apart, whichever is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

from backbones.ledger.entry import Entry, Expectation
from backbones.ledger.measured import Figure, Measured

Word = Literal["agrees", "disagrees", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One expectation beside its figures.

    Args:
        expectation: what the claim means.
        difference: error of `expectation.than` less that of `expectation.figure`, percent points.
        standard_error: of the difference, percent points.
        word: the outcome.
        num_runs: of the figure that has fewer.
    """

    expectation: Expectation
    difference: float
    standard_error: float
    word: Word
    num_runs: int

    def to_text(self) -> str:
        """One line for people."""
        expected = self.expectation
        once = ", one run each" if self.num_runs == 1 else ""
        how = "lower" if self.difference > 0 else "higher"
        return (
            f"{self.word}: {expected.figure} is {abs(self.difference):.2f} points {how} than"
            f" {expected.than} (standard error {self.standard_error:.2f}{once}); the claim:"
            f" {expected.is_}"
        )


def verdicts(entry: Entry, measured: Measured) -> tuple[Verdict, ...]:
    """One for each expectation of the row."""
    return tuple(
        judge(expected, measured, of_seeds=_depends_on_seeds(entry, expected))
        for expected in entry.expectations
    )


def _depends_on_seeds(entry: Entry, expected: Expectation) -> bool:
    """Whether two networks are compared that were trained apart."""
    arms = {
        arm.name: arm.recipe
        for arm in entry.arms
        for measure in arm.measures
        if arm.label(measure) in (expected.figure, expected.than)
    }
    return len(arms) > 1 and any(recipe is not None for recipe in arms.values())


def judge(expected: Expectation, measured: Measured, *, of_seeds: bool = True) -> Verdict:
    """Compare two figures with what was expected of them.

    "lower" agrees where the figure is lower by more than two standard errors, disagrees where it
    is higher by as much, and is undecided between. "not lower" disagrees where it is lower by more
    than two standard errors, and agrees else. With one run of either, nothing is decided.

    Args:
        expected: of the row.
        measured: what was found.
        of_seeds: another seed would have given other figures; not so for two measures of one
            network, or for published weights.
    """
    one, other = measured.figure(expected.figure), measured.figure(expected.than)
    difference = other.mean - one.mean
    error = sqrt(_variance(one) + _variance(other))
    word: Word
    if of_seeds and min(len(one.runs), len(other.runs)) == 1:
        word = "undecided"
    elif expected.is_ == "not lower":
        word = "disagrees" if difference > 2 * error else "agrees"
    elif abs(difference) <= 2 * error:
        word = "undecided"
    else:
        word = "agrees" if difference > 0 else "disagrees"
    return Verdict(expected, difference, error, word, min(len(one.runs), len(other.runs)))


def _variance(figure: Figure) -> float:
    """Of a figure's mean, in percent points squared."""
    share = figure.mean / 100
    samples = sum(run.num_samples for run in figure.runs)
    sampling = 1e4 * share * (1 - share) / samples
    between = (figure.spread or 0.0) ** 2 / len(figure.runs)
    return max(sampling, between)
