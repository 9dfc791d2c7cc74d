"""Protocols of one's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from backbones.errors import NotFound, ProtocolError, RecipeError
from backbones.protocols.describing import ProtocolCard, views_and_cost
from backbones.protocols.own import apply_settings, load_protocol, read_protocol
from backbones.protocols.row import ShorterSide
from backbones.protocols.table import PROTOCOLS, find_protocol
from backbones.settings import read_settings

YAML = """
name: mine/five_by_five
summary: a grid at two scales
citation: our lab
resize: [256, S, S-32, {times_size: 2.0}]
region: whole
views: grid
mirrored: true
reduction: mean_logits
printed:
  - {network: ours, data: val, top1_error_percent: 20.5, top5_error_percent: null, where: notes}
"""


def test_a_yaml_file_has_the_fields_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    row = load_protocol(path)
    assert row.name == "mine/five_by_five"
    assert row.resize == (
        *(ShorterSide(px=256), ShorterSide(), ShorterSide(plus=-32), ShorterSide(times_size=2.0)),
    )
    assert views_and_cost(row)[0] == 4 * 50
    assert row.printed[0].top1_error_percent == 20.5
    assert row.source_of(row.printed[0]).startswith("our lab")


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.name)
def test_every_row_can_be_written_to_a_file_and_read_back(row, tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text(json.dumps(asdict(row)))
    assert load_protocol(path) == row


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"vews": "grid"}, "no field 'vews'.*Did you mean views"),
        ({"views": "grids"}, "views is 'grids': expected 'centre', "),
        ({"resize": []}, "resize is empty"),
        ({"resize": ["T-32"]}, "resize.0"),
        ({"resize": [{"px": 2, "times_size": 3.0}]}, "px or times_size"),
        ({"resize": [{"pixels": 2}]}, "resize.0.pixels"),
        ({"resize": [0]}, "px is 0"),
        ({"grid": 0}, "grid is 0"),
        ({"views": "grid"}, 'region "crop" is one view'),
        ({"scoring": "dense"}, 'set views and region to "whole"'),
        ([1], "holds list"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(values: object, said: str) -> None:
    with pytest.raises(ProtocolError, match=said) as told:
        read_protocol(values, "mine.yaml")
    assert "\n" not in str(told.value)


def test_files_that_are_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        load_protocol(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ProtocolError, match="cannot be read as YAML"):
        load_protocol(tmp_path / "bad.yaml")


def test_a_setting_changes_a_field_and_leaves_the_paper_s_results_behind() -> None:
    changed = apply_settings(find_protocol("vgg/dense"), ["resize=[384, S]", "mirrored=false"])
    assert changed.resize == (ShorterSide(px=384), ShorterSide())
    assert (changed.mirrored, changed.printed) == (False, ())
    assert changed.name == "vgg/dense with resize=[384, S] mirrored=false"
    assert apply_settings(find_protocol("vgg/dense"), []) is find_protocol("vgg/dense")
    with pytest.raises(ProtocolError, match="has no value"):
        apply_settings(changed, ["mirrored"])
    with pytest.raises(ProtocolError, match=r"no field 'scales'. Write resize=288. It has name"):
        apply_settings(changed, ["scales=288"])


def test_recipes_and_protocols_read_values_alike() -> None:
    """One `--set`: what a value means does not hang on what it is set in."""
    typed = ["a=0.5", "b=[1, S-32]", "c=none", "d=True", "e={px: 256}", "f=10epochs", 'g="1"']
    values = [each.value for each in read_settings(typed, ProtocolError)]
    assert values == [0.5, [1, "S-32"], None, True, {"px": 256}, "10epochs", "1"]
    assert values == [each.value for each in read_settings(typed, RecipeError)]


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.name)
def test_every_row_describes_itself(row) -> None:
    text, values = ProtocolCard(row).to_text(), ProtocolCard(row).to_json()
    assert f"{values['views_per_image']} views an image" in text
    assert json.loads(json.dumps(values))["name"] == row.name
    for each in row.printed:
        assert row.source_of(each) in text
    assert all(reading in text for reading in row.readings)


def test_a_dense_pass_costs_less_than_the_crops_it_stands_for() -> None:
    assert views_and_cost(find_protocol("vgg/multicrop")) == (150, 150.0)
    _, cost = views_and_cost(find_protocol("vgg/dense_multiscale"))
    sizes = ((341, 256), (512, 384), (682, 512))
    assert cost == pytest.approx(2 * sum(width * height for width, height in sizes) / 224**2)
