"""Every row of the ledger can be tried: what it names exists and fits together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from backbones.errors import NotFound
from backbones.ledger.entry import Arm, Entry
from backbones.ledger.table import entries, find_entry
from backbones.ledger.text import entry_text
from backbones.models import find_row
from backbones.protocols.own import apply_settings as set_protocol
from backbones.protocols.own import load_protocol
from backbones.training.settings import apply_settings, load_recipe
from backbones.weights.table import find as find_weights

ROWS = {entry.id: entry for entry in entries()}
ARMS = [(f"{entry.id}: {arm.name}", arm) for entry in ROWS.values() for arm in entry.arms]


def test_ids_are_unique() -> None:
    assert len(ROWS) == len(entries())


@pytest.mark.parametrize("arm", [arm for _, arm in ARMS], ids=[name for name, _ in ARMS])
def test_what_an_arm_names_exists(arm: Arm) -> None:
    if arm.recipe is not None:
        recipe = apply_settings(load_recipe(arm.recipe), [*arm.settings, "seed=1"])
        assert (arm.init_from is not None) == bool(recipe.init_layers)
        find_row(arm.model or recipe.model)
    else:
        find_weights(arm.weights or "")
    for measure in arm.measures:
        set_protocol(load_protocol(measure.protocol), measure.settings)


@pytest.mark.parametrize("identifier", ROWS)
def test_printed_numbers_belong_to_figures(identifier: str) -> None:
    entry = ROWS[identifier]
    found = [number for label in entry.labels for number in entry.printed_for(label)]
    assert set(found) == {number for arm in entry.arms for number in arm.printed}
    assert entry.claim in entry_text(entry)


def test_an_unknown_id_gets_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean resnet/residual"):
        find_entry("resnet/residul")


def arm(name: str, **fields: object) -> dict[str, object]:
    return {"name": name, "recipe": "digits", **fields}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"arms": [{"name": "a"}]}, "neither a recipe nor weights"),
        ({"arms": [arm("a", measures=[])]}, "never measured"),
        ({"arms": [arm("a", init_from="b"), arm("b")]}, "no arm before it"),
        ({"arms": [arm("a"), arm("a")]}, "two figures have one name"),
        (
            {"arms": [arm("a")], "expectations": [{"figure": "a", "is": "lower", "than": "b"}]},
            "no figure 'b'",
        ),
        ({"arms": [arm("a")], "id": "nothing"}, "String should match"),
        ({"arms": []}, "at least 1 item"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(fields: dict[str, object], why: str) -> None:
    whole = {"id": "a/b", "claim": "c", "source": "s", "data": "digits", **fields}
    with pytest.raises(ValidationError, match=why):
        Entry.model_validate(whole)
