"""Cards of networks: every family tells what its paper contributed and reads its rows."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from backbones import catalog
from backbones.models import find_row
from backbones.report.network_card import contribution_of, network_card
from backbones.report.rows import meanings_of, row_lines
from backbones.spec import Family

TINY = [name for name in catalog.names() if name.endswith("_tiny")]


@pytest.mark.parametrize("family", catalog.families(), ids=lambda family: family.name)
def test_every_paper_s_contribution_is_told(family: Family) -> None:
    told = contribution_of(family)
    assert 80 < len(told) < 500
    assert told.endswith(".")
    assert not told.startswith(family.citation.authors.split(",")[0]), "that is the citation"
    assert "Deviations" not in told


@pytest.mark.parametrize("name", catalog.names())
def test_every_row_is_readable(name: str) -> None:
    _, row = find_row(name)
    lines = row_lines(row)
    text = "\n".join(lines)
    for field in fields(row):
        if field.name in ("name", "summary", "claims", "citation"):
            continue
        told = any(line.startswith(f"  {field.name} ") for line in lines)
        assert told or field.name in ("num_classes", "in_channels", "input_px", "min_px")
    for unreadable in ("Row(", "Claim(", "\\n", "True", "False", "((("):
        assert unreadable not in text, text


@pytest.mark.parametrize("name", TINY)
def test_fields_are_explained(name: str) -> None:
    _, row = find_row(name)
    meanings = meanings_of(type(row))
    assert {"summary", "claims"} <= set(meanings)
    assert all(meaning for meaning in meanings.values())
    unknown = set(meanings) - {field.name for field in fields(row)}
    assert not unknown, "the docstring names fields that there are not"


@pytest.mark.parametrize("name", TINY)
def test_cards_count_as_the_catalog_does(name: str) -> None:
    card = network_card(name)
    document = json.loads(json.dumps(card.to_json()))
    assert document["params"] == catalog.facts(name).params
    assert sum(layer["macs"] for layer in document["layers"]) == catalog.facts(name).macs
    assert sum(stage["macs"] for stage in document["stages"]) == catalog.facts(name).macs
    assert all(len(line) < 200 for line in card.to_text().splitlines())
