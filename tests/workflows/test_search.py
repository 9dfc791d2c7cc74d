"""What `--search` understands, and what it refuses before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backbones.errors import BackbonesError, RecipeError, WrongUse
from backbones.training.recipe import Recipe
from backbones.training.settings import apply_settings, load_recipe
from backbones.workflows.tuning.search import (
    Choice,
    Range,
    num_combinations,
    own_values,
    read_searches,
    settings_of,
    usual_searches,
)


def read(*texts: str, recipe: Recipe | None = None):
    def check(settings: Sequence[str]) -> None:
        apply_settings(recipe or Recipe(), settings)

    return read_searches(texts, check)


def test_ranges_lists_and_lengths_are_read() -> None:
    assert read(
        "optimizer.lr=1e-4..1e-1:log",
        "optimizer.weight_decay=0..1",
        "batch_size=16..64:log",
        "length=5..20epochs",
        "model=resnet20_cifar,lenet5",
        'init_layers=[],["conv1","conv2"]',
    ) == (
        Range("optimizer.lr", 1e-4, 1e-1, log=True),
        Range("optimizer.weight_decay", 0, 1),  # whole ends, but the field takes fractions
        Range("batch_size", 16, 64, log=True, whole=True),
        Range("length", 5, 20, whole=True, unit="epochs"),
        Choice("model", ("resnet20_cifar", "lenet5")),
        Choice("init_layers", ("[]", '["conv1","conv2"]')),
    )


def test_a_search_is_written_as_it_is_read() -> None:
    for text in ("optimizer.lr=0.001..0.1:log", "length=5..20epochs", "batch_size=16,32"):
        (search,) = read(text)
        assert read(str(search)) == (search,)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["optimizer.lr"], "says nothing to try"),
        (["optimizer.lr=0.1"], "--set optimizer.lr=0.1"),
        (["optimizer.lr=1e-1..1e-4"], "the smaller number first"),
        (["optimizer.lr=0..0.1:log"], "begin above 0"),
        (["optimizer.lr=0.01..0.1:linear"], "expected :log"),
        (["optimizer.lr=0.01..x"], "a range such as"),
        (["length=5steps..9epochs"], "expected one unit"),
        (["batch_size=16,16"], "twice"),
        (["batch_size=16,,32"], "an empty one"),
        (["batch_size=16,32", "batch_size=8..9"], "2 times"),
        (["seed=1,2"], "cannot be searched"),
        (["val_fraction=0.1..0.2"], "cannot be searched"),
        (["name=a,b"], "cannot be searched"),
    ],
)
def test_what_is_no_search_is_refused_in_one_line(texts: list[str], said: str) -> None:
    with pytest.raises(WrongUse, match=None) as caught:
        read(*texts)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["optimizr.lr=0.1..0.2"], "Did you mean optimizer.lr"),
        (["optimizer.lr=-1..0.2"], "optimizer.lr is -1"),
        (["label_smoothing=0..1"], "label_smoothing is 1"),
        (["batch_size=0.5..8.5"], "batch_size"),
        (["schedule.kind=cosine,cosin"], "cosin"),
        # each is valid alone, two of them together are not
        (["optimizer.kind=sgd,adam", "optimizer.momentum=0.8..0.9"], "no effect with adam"),
        (["ema=none,0.99", "polyak_from=none,50percent"], "two averages"),
    ],
)
def test_what_the_recipe_refuses_is_refused_before_a_trial(texts: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(*texts)
    assert said in str(caught.value)


def test_what_fits_only_together_is_accepted() -> None:
    adam = apply_settings(Recipe(), ["optimizer.kind=adam"])
    read("optimizer.kind=sgd,rmsprop", "optimizer.momentum=0.8..0.9", recipe=adam)


@pytest.mark.parametrize("name", ["digits", "scratch", "finetune", "vgg", "efficientnet", "lenet"])
def test_the_usual_search_holds_the_recipe_itself(name: str) -> None:
    recipe = load_recipe(name)
    optimizer = recipe.optimizer
    texts = usual_searches(optimizer.lr, optimizer.weight_decay, recipe.label_smoothing)
    searches = read(*texts, recipe=recipe)

    def unchanged(settings: Sequence[str]) -> None:
        if apply_settings(recipe, settings) != recipe:
            raise RecipeError("another")

    own = own_values(searches, recipe.to_json(), unchanged)
    assert set(own) == {"optimizer.lr", "optimizer.weight_decay", "label_smoothing"}
    assert apply_settings(recipe, settings_of(searches, own)) == recipe


def test_combinations_are_counted() -> None:
    assert num_combinations(read("batch_size=1..4", "ema=none,0.9,0.99")) == 12
    assert num_combinations(read("batch_size=1..4", "ema=0.9..0.99")) == float("inf")


def test_every_refusal_is_one_of_ours() -> None:
    """Letters put in and left out anywhere give a message, never another exception."""
    for text in ("optimizer.lr=1e-4..1e-1:log", "model=lenet5,vgg_tiny", "length=5..20epochs"):
        for place in range(len(text)):
            for changed in (text[:place] + text[place + 1 :], text[:place] + ".=," + text[place:]):
                said = ""
                try:
                    read(changed)
                except BackbonesError as error:
                    said = str(error)
                assert "\n" not in said, changed
