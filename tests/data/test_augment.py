"""What is sampled: by (seed, epoch, index) alone, with the distributions that the papers name."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from pydantic import ValidationError

from backbones.data import random as chance
from backbones.data.augment import Augment, erased_box, framing_of, sample_params
from backbones.data.geometry import Box, centre_crop_box

EVERYTHING = [
    Augment(resize=(256, 512), flip=0.5, pca_colour=0.1, erase=0.3),
    Augment(crop="random_resized", flip=0.5, erase=0.3, jitter=0.4, rand_ops=3),
]
MANY = np.arange(20_000)


def test_the_hash_is_splitmix64() -> None:
    # the first output of the reference implementation for seed 0
    first = chance._mix(np.array([chance._GAMMA], dtype=np.uint64))
    assert int(first[0]) == 0xE220A8397B1DCDAF


def test_a_seed_means_the_same_for_ever() -> None:
    """Frozen: whoever changes these numbers changes every published run."""
    assert chance.shuffled(0, 0, 8).tolist() == [5, 3, 6, 4, 0, 1, 2, 7]
    found = chance.uniform(1, 2, np.array([0, 1, 10**9]), 3)
    expected = [0.9639860572387748, 0.7699908863213935, 0.6663612624190682]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("augment", EVERYTHING)
def test_draws_do_not_depend_on_the_company(augment: Augment) -> None:
    indices = np.array([5, 900, 3, 77, 12345])
    together = sample_params(augment, 7, 3, indices)
    for row, index in enumerate(indices):
        alone = sample_params(augment, 7, 3, np.array([index]))
        for field in fields(together):
            np.testing.assert_array_equal(
                getattr(together, field.name)[row], getattr(alone, field.name)[0]
            )


@pytest.mark.parametrize("other", [(8, 3), (7, 4), (3, 7), (-7, 3), (7 + 2**64 - 1, 3)])
def test_another_seed_or_epoch_draws_something_else(other: tuple[int, int]) -> None:
    first, second = (sample_params(EVERYTHING[0], *key, MANY) for key in ((7, 3), other))
    assert abs(np.corrcoef(first.x, second.x)[0, 1]) < 0.03
    assert (first.flip == second.flip).mean() == pytest.approx(0.5, abs=0.02)


def test_orders_are_permutations_that_look_unrelated() -> None:
    orders = [chance.shuffled(0, epoch, 5000) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(5000))
        assert abs(np.corrcoef(order, np.arange(5000))[0, 1]) < 0.05
    assert abs(np.corrcoef(orders[0], orders[1])[0, 1]) < 0.05


def test_numbers_of_a_sample_are_uniform_and_independent() -> None:
    slots = np.stack([chance.uniform(0, 0, MANY, slot) for slot in range(1, 12)])
    assert slots.min() >= 0
    assert slots.max() < 1
    counts = np.stack([np.histogram(slot, 20, (0, 1))[0] for slot in slots])
    assert np.abs(counts - 1000).max() < 150  # five standard deviations
    correlation = np.corrcoef(slots) - np.eye(len(slots))
    assert np.abs(correlation).max() < 0.035
    neighbours = np.corrcoef(slots[0][1:], slots[0][:-1])[0, 1]
    assert abs(neighbours) < 0.035


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    numbers = chance.normal(0, 0, MANY, 5)
    moments = [float((numbers**power).mean()) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.15)


def test_scale_jitter_draws_both_ends_and_all_between() -> None:
    sizes = sample_params(Augment(resize=(256, 259)), 0, 0, MANY).resize
    values, counts = np.unique(sizes, return_counts=True)
    assert values.tolist() == [256, 257, 258, 259]
    assert counts.min() > 4700
    assert set(sample_params(Augment(resize=300), 0, 0, MANY).resize.tolist()) == {300}


def test_flip_has_its_probability() -> None:
    assert not sample_params(Augment(), 0, 0, MANY).flip.any()
    assert sample_params(Augment(flip=1.0), 0, 0, MANY).flip.all()
    flips = sample_params(Augment(flip=0.25), 0, 0, MANY).flip
    assert flips.mean() == pytest.approx(0.25, abs=0.015)


def test_pca_colour_has_the_authors_covariance() -> None:
    """By hand: the sum over components of (0.1 * std)^2 times the outer product."""
    components = [
        (-0.56351, -0.57618, -0.59200),
        (-0.71258, -0.02354, 0.70120),
        (0.41796, -0.81698, 0.39731),
    ]
    expected = sum(
        (0.1 * std) ** 2 * np.outer(vector, vector)
        for std, vector in zip((121.78, 37.09, 19.72), components, strict=True)
    )
    colour = sample_params(Augment(pca_colour=0.1), 0, 0, MANY).colour
    np.testing.assert_allclose(np.cov(colour.T), expected, atol=0.04 * expected.max())
    np.testing.assert_allclose(colour.mean(0), 0, atol=0.2)


def test_fb_resnet_colour_is_weaker_by_the_factors_that_are_printed() -> None:
    """2.2, 7.7 and 17 times, component by component."""
    author, weak = (
        sample_params(Augment(pca_colour=0.1, pca_scale=scale), 0, 0, MANY[:50]).colour
        for scale in ("author", "fb.resnet")
    )
    components = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    authors = np.array([[-0.56351, -0.57618, -0.592], [-0.71258, -0.02354, 0.7012]])
    authors = np.vstack([authors, [0.41796, -0.81698, 0.39731]]).T
    assert (np.abs((authors * components).sum(0)) > 0.999).all()  # the same directions, nearly
    ratios = np.abs((author @ authors) / (weak @ components))
    np.testing.assert_allclose(np.median(ratios, 0), [2.196, 7.737, 17.19], rtol=0.01)


def test_random_resized_boxes_stay_inside_with_area_and_aspect_in_range() -> None:
    augment = Augment(crop="random_resized", area=(0.2, 0.8), aspect=(0.5, 2.0))
    params = sample_params(augment, 0, 0, MANY[:500])
    for row in range(500):
        cut, resized, window = framing_of(augment, params, row, 500, 375, 224)
        assert 0 <= cut.left <= 500 - cut.width
        assert 0 <= cut.top <= 375 - cut.height
        assert 0.19 < cut.width * cut.height / (500 * 375) < 0.81
        assert 0.49 < cut.width / cut.height < 2.03
        assert (resized, window) == ((224, 224), Box(0, 0, 224, 224))


def test_centre_crop_is_where_evaluation_puts_it() -> None:
    augment = Augment(resize=256, crop="centre")
    framing = framing_of(augment, sample_params(augment, 0, 0, np.array([3])), 0, 500, 375, 224)
    assert framing.resized == (341, 256)
    assert framing.window == centre_crop_box(341, 256, 224)


def test_erased_boxes_stay_inside_and_have_the_papers_areas() -> None:
    params = sample_params(Augment(erase=0.5), 0, 0, MANY[:1000])
    hit = np.flatnonzero(params.erase[:, 0])
    assert len(hit) / 1000 == pytest.approx(0.5, abs=0.06)
    for row in hit.tolist():
        box = erased_box(params, row, 224)
        assert 0 <= box.left <= 224 - box.width
        assert 0 <= box.top <= 224 - box.height
        assert 0.018 < box.width * box.height / 224**2 < 0.41


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resize": (512, 256)}, "smaller one first"),
        ({"crop": "random_resized", "resize": 256}, "leave out resize"),
        ({"crop": "centre", "pad": 4}, "pad is for crop random"),
        ({"area": (0.0, 1.0)}, "more than nothing"),
        ({"flip": 1.5}, "less than or equal to 1"),
        ({"flipp": 0.5}, "Extra inputs"),
        ({"resize": 0}, "greater than or equal to 1"),
    ],
)
def test_contradictions_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Augment(**values)
