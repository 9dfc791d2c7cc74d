"""Which class a person means, however it is said."""

from __future__ import annotations

import pytest

from backbones.errors import NotFound, WrongUse
from backbones.labels import label_set
from backbones.labels.choosing import class_index

IMAGENET = [label.id for label in label_set("imagenet").labels]


@pytest.mark.parametrize(
    ("said", "index"),
    [
        ("n01440764", 0),
        ("0", 0),
        ("999", 999),
        ("tench", 0),
        ("  TENCH ", 0),
        ("丁鲷", 0),
        ("crane (bird)", 134),
        ("起重机", 517),
        ("entlebucher", 241),
        ("husky", 250),
    ],
)
def test_a_class_is_found_by_every_name(said: str, index: int) -> None:
    assert class_index(IMAGENET, said) == index


def test_every_class_is_found_by_its_id_and_both_its_names() -> None:
    for place, label in enumerate(label_set("imagenet").labels):
        assert class_index(IMAGENET, label.id) == place
        for name in (label.en, label.zh):
            assert class_index(IMAGENET, name) == place, name


def test_a_name_comes_before_a_number() -> None:
    assert class_index(["7", "3", "cat"], "3") == 1
    assert class_index(["7", "3", "cat"], "2") == 2


@pytest.mark.parametrize("number", ["0", "3", "01"])
def test_where_all_names_are_numbers_a_number_is_a_name(number: str) -> None:
    classes = ["1", "02", "2", "10"]
    assert class_index(classes, "10") == 3
    assert class_index(classes, "02") == 1
    with pytest.raises(NotFound, match=f"no class is called {number}; .*names: 1, 02, 2, 10"):
        class_index(classes, number)


def test_what_is_not_there_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no class 'umbrela'\. Did you mean umbrella"):
        class_index(IMAGENET, "umbrela")
    with pytest.raises(NotFound, match="no class 1000; there are 1000, counted from 0"):
        class_index(IMAGENET, "1000")
    with pytest.raises(NotFound):
        class_index(IMAGENET, "")


def test_what_may_mean_several_lists_them() -> None:
    with pytest.raises(WrongUse, match=r"may mean .*; say which"):
        class_index(IMAGENET, "terrier")
