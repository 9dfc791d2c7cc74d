"""Mixup and CutMix: the formulas, the distribution, and nothing but (seed, step) behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.training.mixing import Targets, beta, cut_box, mix
from backbones.training.recipe import Recipe

IMAGES = torch.arange(4 * 3 * 16 * 12, dtype=torch.float32).reshape(4, 3, 16, 12)
LABELS = torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0])
def test_the_share_has_the_moments_of_the_beta_distribution(alpha):
    shares = np.array([beta(3, step, alpha) for step in range(4000)])
    assert 0 <= shares.min() <= shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_mixup_is_the_weighted_sum_with_the_neighbour():
    recipe = Recipe(mixup=0.2, seed=5)
    mixed, targets = mix(IMAGES, LABELS, recipe, step=7)
    share = beta(5, 7, 0.2)
    for row in range(4):
        expected = share * IMAGES[row] + (1 - share) * IMAGES[row - 1]
        torch.testing.assert_close(mixed[row], expected)
    assert targets.others.tolist() == [3, 0, 1, 2]
    assert targets.share == share
    assert targets.likelier.tolist() == ([0, 1, 2, 3] if share >= 0.5 else [3, 0, 1, 2])


def test_cutmix_takes_whole_pixels_and_counts_them():
    seen = []
    for step in range(30):
        mixed, targets = mix(IMAGES, LABELS, Recipe(cutmix=1.0), step)
        own = (mixed == IMAGES).all(dim=1)
        others = (mixed == IMAGES.roll(1, 0)).all(dim=1)
        assert bool((own | others).all())
        assert float(own.double().mean()) == pytest.approx(targets.share)
        seen.append(targets.share)
    assert min(seen) < 0.4
    assert max(seen) > 0.9


def test_boxes_have_their_area_in_the_middle_and_are_cut_at_the_borders():
    for share in (0.0, 0.3, 0.9):
        left, top, right, bottom = cut_box(200, 100, share, (0.5, 0.5))
        assert (right - left) * (bottom - top) / 20_000 == pytest.approx(1 - share, abs=0.02)
    assert cut_box(32, 32, 0.75, (0.0, 0.999)) == (0, 23, 8, 32)


def test_both_take_turns_and_neither_changes_nothing():
    recipe = Recipe(mixup=0.2, cutmix=1.0)
    cuts = 0
    for step in range(200):
        mixed, _ = mix(IMAGES, LABELS, recipe, step)
        cuts += bool(((mixed == IMAGES) | (mixed == IMAGES.roll(1, 0))).all())
    assert 70 < cuts < 130
    assert mix(IMAGES, LABELS, Recipe(), 0) == (IMAGES, Targets(LABELS))
    assert mix(IMAGES[:1], LABELS[:1], recipe, 0)[1].others is None


def test_the_batch_itself_and_the_random_state_stay():
    before, state = IMAGES.clone(), torch.get_rng_state()
    first = mix(IMAGES, LABELS, Recipe(cutmix=1.0), 3)
    again = mix(IMAGES, LABELS, Recipe(cutmix=1.0), 3)
    other = mix(IMAGES, LABELS, Recipe(cutmix=1.0), 4)
    assert torch.equal(IMAGES, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
