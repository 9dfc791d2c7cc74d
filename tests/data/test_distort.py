"""What jitter and RandAugment do to pixels."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.data.augment import Augment, sample_params
from backbones.data.distort import OPERATIONS, distort
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.spec import InputSpec

NAMES = [name for name, _ in OPERATIONS]
MANY = np.arange(5000)


def image(channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[:20, :20]
    grey = (6 * x + 5 * y + 7 * ((x // 3 + y // 3) % 2)).astype(np.uint8)
    return np.stack([grey, grey // 2 + 20, 255 - grey][:channels], 2)


def done(name: str, strength: float, channels: int = 3) -> np.ndarray:
    squares = image(channels)[None].copy()
    operations = np.array([[[NAMES.index(name), strength]]])
    distort(squares, np.zeros((1, 0)), operations)
    return squares[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_operation_works_on_grey_and_colour(name, channels):
    changed = done(name, 0.9, channels)
    same = np.array_equal(changed, image(channels))
    assert same == (name == "identity" or (name, channels) == ("colour", 1))


@pytest.mark.parametrize(
    "name",
    ["rotate", "colour", "contrast", "brightness", "sharpness", "shear_x", "shear_y",
     "translate_x", "translate_y", "solarize", "posterize"],
)  # fmt: skip
def test_a_strength_of_nothing_does_nothing(name):
    np.testing.assert_array_equal(done(name, 0.0), image())


def test_operations_by_hand():
    plain = image().astype(int)
    np.testing.assert_array_equal(
        done("solarize", -0.5), np.where(plain >= 128, 255 - plain, plain)
    )
    np.testing.assert_array_equal(done("posterize", 1.0), plain & 0b11110000)
    assert np.abs(done("brightness", 1.0) - np.minimum(plain * 1.9, 255)).max() <= 1
    moved = done("translate_x", 1.0)
    np.testing.assert_array_equal(moved[:, :11], plain[:, 9:])
    assert (moved[:, 11:] == 128).all()


def test_jitter_multiplies_brightness_and_leaves_grey_saturation():
    squares = np.full((1, 4, 4, 3), 100, dtype=np.uint8)
    distort(squares, np.array([[1.4, 1.0, 0.6, 0.0]]), np.zeros((1, 0, 2)))
    assert (squares == 140).all()


def test_draws_are_even_and_within_their_ranges():
    params = sample_params(Augment(jitter=0.4, rand_ops=2, rand_magnitude=7), 0, 0, MANY)
    assert params.jitter[:, :3].min() >= 0.6
    assert params.jitter[:, :3].max() <= 1.4
    assert params.jitter[:, :3].mean() == pytest.approx(1.0, abs=0.01)
    numbers, counts = np.unique(params.operations[:, :, 0], return_counts=True)
    assert numbers.tolist() == list(range(14))
    assert counts.min() > 600
    assert set(np.abs(params.operations[:, :, 1]).ravel().tolist()) == {0.7}
    assert np.sign(params.operations[:, :, 1]).mean() == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers_or_where_they_begin(workers):
    array = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    split = Split("train", ("a", "b"), np.arange(12) % 2, ArrayImages(array, "noise"))
    augment = Augment(crop="random_resized", jitter=0.4, rand_ops=2)
    spec = InputSpec(size=16, resize=16)

    def batches(workers, start):
        pipeline = Pipeline(split, spec, batch_size=4, augment=augment, workers=workers)
        found = [batch.images.numpy() for batch in pipeline.epoch(1, start=start)]
        pipeline.close()
        return found

    whole = batches(1, 0)
    assert np.array_equal(np.stack(whole)[1:], np.stack(batches(workers, 1)))


def test_the_set_in_memory_stays_as_it_is():
    array = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    before = array.copy()
    split = Split("train", ("a", "b"), np.arange(4) % 2, ArrayImages(array, "noise"))
    augment = Augment(crop="centre", resize=16, rand_ops=3)
    list(Pipeline(split, InputSpec(size=16, resize=16), batch_size=4, augment=augment).epoch(0))
    assert np.array_equal(array, before)
