"""Folds hold every training image out exactly once, stratified, by the seed and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data.folds import fold_numbers, make_folds
from backbones.data.source import ArrayImages, DataSource, FileImages, Split
from backbones.errors import BadData, RecipeError, WrongUse
from backbones.training.data import folds_for, open_for
from backbones.training.recipe import Recipe, smoke
from backbones.training.settings import apply_settings


def recipe(*settings: str) -> Recipe:
    return apply_settings(Recipe(), settings)


def names_of(split: Split) -> list[str]:
    return [split.images.name(place) for place in range(len(split))]


def files(name: str, labels: list[int]) -> Split:
    paths = tuple(f"{name}/{place}.jpg" for place in range(len(labels)))
    return Split(name, ("cat", "dog"), np.array(labels), FileImages(Path("photos"), paths))


def source(**splits: Split) -> DataSource:
    return DataSource("class folders", "photos", ("cat", "dog"), splits)


@pytest.mark.parametrize("num_folds", [2, 3, 5, 7])
def test_folds_differ_by_one_image_at_most_in_each_class_and_in_all(num_folds: int) -> None:
    labels = np.random.default_rng(3).choice(4, 101, p=[0.5, 0.3, 0.15, 0.05])
    names = [f"{place}.jpg" for place in range(101)]
    numbers = fold_numbers(labels, names, num_folds, seed=1)
    assert set(numbers) == set(range(1, num_folds + 1))
    for chosen in (labels >= 0, *(labels == label for label in range(4))):
        sizes = np.bincount(numbers[chosen], minlength=num_folds + 1)[1:]
        assert sizes.max() - sizes.min() <= 1


def test_a_fold_goes_by_seed_and_name_and_not_by_the_order_of_the_listing() -> None:
    labels = np.arange(60) % 3
    names = [f"{place}.jpg" for place in range(60)]
    first = dict(zip(names, fold_numbers(labels, names, 4, seed=5), strict=True))
    order = np.random.default_rng(0).permutation(60)
    moved = fold_numbers(labels[order], [names[place] for place in order], 4, seed=5)
    assert dict(zip([names[place] for place in order], moved, strict=True)) == first
    other = fold_numbers(labels, names, 4, seed=6)
    assert dict(zip(names, other, strict=True)) != first


def test_every_training_image_is_held_out_exactly_once_and_test_never() -> None:
    whole = source(
        train=files("train", [0, 1] * 9), val=files("val", [1, 0, 1]), test=files("test", [0, 1])
    )
    folds_made = make_folds(whole, 4, seed=2)
    held: list[str] = []
    for fold in range(1, 5):
        found = folds_made.held_out(fold)
        train, val = names_of(found.splits["train"]), names_of(found.splits["val"])
        assert not set(train) & set(val)
        assert len(train) + len(val) == 21
        assert found.splits["test"] is whole.splits["test"]
        assert "train and val" in found.notes[-1]
        held += val
    assert sorted(held) == sorted(names_of(whole.splits["train"]) + names_of(whole.splits["val"]))


def test_labels_stay_with_their_images() -> None:
    whole = source(train=files("train", [0, 0, 1, 1, 1]), val=files("val", [1, 0]))
    truth = {
        name: label
        for split in whole.splits.values()
        for name, label in zip(names_of(split), split.labels, strict=True)
    }
    folds_made = make_folds(whole, 2, seed=0)
    for fold in (1, 2):
        for split in folds_made.held_out(fold).splits.values():
            assert [truth[name] for name in names_of(split)] == split.labels.tolist()


def test_images_in_memory_are_joined_with_their_pixels() -> None:
    def memory(name: str, first: int) -> Split:
        array = np.arange(first, first + 4, dtype=np.uint8)[:, None, None, None]
        return Split(name, ("cat", "dog"), np.array([0, 1, 0, 1]), ArrayImages(array, name))

    folds_made = make_folds(source(train=memory("train", 0), val=memory("val", 4)), 2, seed=0)
    images = folds_made.held_out(1).splits["val"].images
    assert isinstance(images, ArrayImages)
    assert images.array.ravel().tolist() == folds_made.places(1).tolist()
    assert images.name(0) == f"train+val#{folds_made.places(1)[0]}"


def test_train_and_val_that_are_stored_differently_are_bad_data() -> None:
    array = ArrayImages(np.zeros((2, 1, 1, 1), np.uint8), "memory")
    odd = Split("val", ("cat", "dog"), np.array([0, 1]), array)
    with pytest.raises(BadData, match="stored differently"):
        make_folds(source(train=files("train", [0, 1]), val=odd), 2, seed=0)


def test_a_class_with_fewer_images_than_folds_is_named() -> None:
    with pytest.raises(WrongUse, match=r"'dog' has 2 training images in photos, too few for 3"):
        make_folds(source(train=files("train", [0, 0, 0, 1, 1])), 3, seed=0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("folds=1",), "folds is 1"),
        (("folds=3", "fold=4"), "no fold 4 of 3"),
        (("fold=1",), "no fold 1 of no folds"),
        (("folds=5", "limit=4"), "leaves some of 5 folds empty"),
    ],
)
def test_recipes_whose_folds_cannot_be(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(*settings)


def test_a_limited_fold_never_learns_from_what_the_whole_fold_holds_out() -> None:
    whole = folds_for(recipe("folds=3"), "digits")
    few = folds_for(recipe("folds=3", "limit=31"), "digits")
    assert np.bincount(few.numbers)[1:].tolist() == [11, 10, 10]
    place = dict(zip(names_of(whole.pool), whole.numbers, strict=True))
    assert [place[name] for name in names_of(few.pool)] == few.numbers.tolist()


def test_a_recipe_opens_its_own_fold() -> None:
    found = open_for(recipe("folds=3", "fold=2", "limit=30"), "digits")
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": 20,
        "val": 10,
        "test": 30,
    }
    assert set(open_for(recipe("folds=3"), "digits").splits) == {"train", "test"}


@pytest.mark.parametrize("num_folds", [2, 3, 50])
def test_a_smoke_run_leaves_something_in_each_fold(num_folds: int) -> None:
    small = smoke(recipe(f"folds={num_folds}"))
    assert small.limit is not None
    assert small.limit * (num_folds - 1) // num_folds >= 16
    folds_made = folds_for(small, "digits")
    assert np.bincount(folds_made.numbers)[1:].min() >= 1


def test_a_folder_without_a_test_part(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    found = open_for(recipe("folds=2", "fold=1"), tmp_path)
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 4, "val": 4}
    assert np.bincount(found.splits["val"].labels).tolist() == [2, 2]
