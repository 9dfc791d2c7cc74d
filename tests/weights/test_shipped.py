"""The networks inside the package answer at once, as well as they say."""

from __future__ import annotations

from pathlib import Path

import pytest

import backbones
from backbones.weights import table
from backbones.weights.opening import open_bundle

# Accuracy that their recipes reached when trained (figures: docs/en/why/results.md).
AT_LEAST = {"lenet5.digits": 0.985, "lenet5_1998.digits": 0.975, "lenet5.fashion": 0.915}


def test_they_are_small_and_there() -> None:
    files = table.shipped_weights()
    assert set(files) == set(AT_LEAST)
    assert sum(path.stat().st_size for path in files.values()) < 2_000_000


@pytest.mark.parametrize("name", AT_LEAST)
def test_they_say_how_they_were_made(name: str) -> None:
    bundle = open_bundle(name)
    assert bundle.variant == name.partition(".")[0]
    assert bundle.recipe is not None
    assert bundle.recipe["name"] == name.partition(".")[2]
    assert bundle.trained_on is not None
    assert len(bundle.classes) == 10


@pytest.mark.parametrize("name", ["lenet5.digits", "lenet5_1998.digits"])
def test_digits_are_read_as_well_as_promised(name: str) -> None:
    report = backbones.evaluate(name, "digits").report
    assert report.num_samples == 359, "only those that it did not learn from"
    assert 1 - report.top1_error_percent / 100 >= AT_LEAST[name]


def test_clothes_are_told_as_well_as_promised(test_data: Path) -> None:
    report = backbones.evaluate("lenet5.fashion", test_data / "fashion-mnist").report
    assert report.num_samples == 10_000
    assert 1 - report.top1_error_percent / 100 >= AT_LEAST["lenet5.fashion"]
