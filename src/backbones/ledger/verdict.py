"""Does what was measured agree with what was claimed?

A verdict is a 95 % interval of the difference of two figures, held against the claim: it agrees or
disagrees where the whole interval does, and is undecided else. The interval counts what another
seed would change (Student's t, as many degrees of freedom as the runs leave) and what other test
images would change (paired, where both figures know which images they got wrong), whichever is
wider.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance
from typing import Literal

from backbones.ledger.entry import Entry, Expectation
from backbones.ledger.measured import Figure, Measured, Run

Word = Literal["agrees", "disagrees", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One expectation beside its figures.

    Args:
        expectation: what the claim means.
        difference: error of `expectation.than` less that of `expectation.figure`, percent points.
        standard_error: of the difference, percent points.
        low, high: the 95 % interval of the difference, percent points.
        word: the outcome.
        num_runs: of the figure that has fewer.
    """

    expectation: Expectation
    difference: float
    standard_error: float
    low: float
    high: float
    word: Word
    num_runs: int

    def to_text(self) -> str:
        """One line for people."""
        expected = self.expectation
        once = ", one run each" if self.num_runs == 1 else ""
        how = "lower" if self.difference > 0 else "higher"
        claim: str = expected.is_
        if claim == "not lower":
            claim += f" by more than {expected.margin:g} percent points"
        return (
            f"{self.word}: {expected.figure} is {abs(self.difference):.2f} points {how} than"
            f" {expected.than} (95 % interval: {self.low:.2f} to {self.high:.2f} lower{once}); the"
            f" claim: {claim}"
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

    "lower" agrees where the interval of the difference lies above 0, and disagrees where it lies
    below. "not lower" agrees where the interval lies below the claim's margin, and disagrees where
    it lies above. All else is undecided, and so is one run of either where seeds matter.

    Args:
        expected: of the row.
        measured: what was found.
        of_seeds: another seed would have given other figures; not so for two measures of one
            network, or for published weights.
    """
    one, other = measured.figure(expected.figure), measured.figure(expected.than)
    num_runs = min(len(one.runs), len(other.runs))
    difference = other.mean - one.mean
    of_images = _variance_over_images(one, other)
    of_runs, freedom = _between_trainings(one, other) if of_seeds else _between_pairs(one, other)
    error = sqrt(max(of_images, of_runs))
    reach = max(_quantile(None) * sqrt(of_images), _quantile(freedom) * sqrt(of_runs))
    low, high = difference - reach, difference + reach
    word: Word = "undecided"
    if of_seeds and num_runs == 1:
        pass
    elif expected.is_ == "not lower":
        word = _word(high <= expected.margin, low > expected.margin)
    else:
        word = _word(low > 0, high < 0)
    return Verdict(expected, difference, error, low, high, word, num_runs)


def _word(agrees: bool, disagrees: bool) -> Word:
    return "agrees" if agrees else "disagrees" if disagrees else "undecided"


def _quantile(freedom: float | None) -> float:
    """Of Student's t, two-sided at 95 %; of the normal distribution where no seed matters."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(0.975) if freedom is None else stdtrit(freedom, 0.975))


def _between_trainings(one: Figure, other: Figure) -> tuple[float, float | None]:
    """Variance of the difference of two means of trainings, and Welch's degrees of freedom."""
    counts = [len(figure.runs) for figure in (one, other)]
    if min(counts) == 1:
        return 0.0, None
    parts = [(f.spread or 0.0) ** 2 / n for f, n in zip((one, other), counts, strict=True)]
    total = sum(parts)
    if total == 0:
        return 0.0, float(sum(counts) - 2)
    welch = total**2 / sum(p**2 / (n - 1) for p, n in zip(parts, counts, strict=True))
    return total, welch


def _between_pairs(one: Figure, other: Figure) -> tuple[float, float | None]:
    """The same for two measures of the same networks: a difference a network."""
    pairs = _pairs(one, other)
    differences = [b.top1_error_percent - a.top1_error_percent for a, b in pairs]
    if len(differences) < 2:
        return 0.0, None
    return variance(differences) / len(differences), float(len(differences) - 1)


def _variance_over_images(one: Figure, other: Figure) -> float:
    """Of the difference, percent points squared: what other test images would change."""
    pairs = _pairs(one, other)
    paired = [_paired_variance(a, b) for a, b in pairs]
    known = [each for each in paired if each is not None]
    if pairs and len(known) == len(one.runs) == len(other.runs):
        return fmean(known) / len(known)
    return _binomial_variance(one) + _binomial_variance(other)


def _pairs(one: Figure, other: Figure) -> list[tuple[Run, Run]]:
    """The runs of one seed: they have the same held-out images."""
    others = {run.seed: run for run in other.runs}
    return [(run, others[run.seed]) for run in one.runs if run.seed in others]


def _paired_variance(one: Run, other: Run) -> float | None:
    """From the images that only one of the two got wrong; None where a run doesn't know them."""
    if one.misnamed is None or other.misnamed is None or one.num_samples != other.num_samples:
        return None
    only_one = len(set(one.misnamed) - set(other.misnamed))
    only_other = len(set(other.misnamed) - set(one.misnamed))
    n = one.num_samples
    return 1e4 * (only_one + only_other - (only_one - only_other) ** 2 / n) / n**2


def _binomial_variance(figure: Figure) -> float:
    share = figure.mean / 100
    samples = sum(run.num_samples for run in figure.runs)
    return 1e4 * share * (1 - share) / samples
