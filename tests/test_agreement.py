"""Two ways of computing one network: how often they agree, and what the faster one loses."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.agreement import accuracy_loss, agreement_of, paired_interval


def test_the_loss_is_of_the_same_images() -> None:
    exact = np.eye(4)[[0, 1, 2, 3, 0]]
    faster = np.eye(4)[[0, 1, 2, 0, 1]]
    labels = np.array([0, 1, 2, 3, 1])
    found = accuracy_loss(exact, faster, labels)
    assert (found.exact, found.faster) == (0.8, 0.8)  # each alone is right once
    assert found.points == 0
    assert found.interval.low == pytest.approx(-found.interval.high)
    assert agreement_of(exact, faster).same_first_class == 0.6


def test_nothing_found_on_few_images_is_no_proof() -> None:
    few, many = (paired_interval(0, 0, trials) for trials in (20, 20_000))
    assert few.high > 10
    assert many.high < 0.02


def test_the_interval_holds_the_true_difference_nineteen_times_in_twenty() -> None:
    """Simulated: one alone is right on 6 % of 150 images, the other alone on 2 %."""
    generator = np.random.default_rng(0)
    counts = generator.multinomial(150, [0.06, 0.02, 0.92], size=4000)
    held = [
        interval.low <= 4 <= interval.high
        for one, other, _ in counts.tolist()
        for interval in [paired_interval(one, other, 150)]
    ]
    assert 0.94 < np.mean(held) < 0.98
