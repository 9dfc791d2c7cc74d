"""The shipped facts are those of the networks. BACKBONES_REGENERATE=1 writes them anew."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from backbones import catalog
from backbones.errors import NotFound
from backbones.inspection.facts import facts_json

SHIPPED = Path(catalog.__file__).with_name("variants.json")


def test_variants_json_equals_the_model_files() -> None:
    text = facts_json()
    if os.environ.get("BACKBONES_REGENERATE"):
        SHIPPED.write_text(text, encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8") == text, (
        "a model file changed: BACKBONES_REGENERATE=1 pytest tests/golden, and look at the diff"
    )


def test_every_name_stands_as_text_in_its_family_s_file() -> None:
    for family in catalog.families():
        text = Path(importlib.import_module(family.module).__file__ or "").read_text("utf-8")
        own = [name for name in catalog.names() if catalog.facts(name).family == family.name]
        assert own, family.name
        for name in own:
            assert f'"{name}"' in text, f"grep finds no row {name}"


def test_every_model_file_is_in_the_catalog() -> None:
    files = {path.stem for path in (SHIPPED.parent / "models").glob("*.py")} - {"__init__"}
    assert {family.name for family in catalog.families()} == set(catalog.FAMILIES) == files


def test_every_family_has_a_tiny_row() -> None:
    tiny = {catalog.facts(name).family for name in catalog.names() if name.endswith("_tiny")}
    assert tiny == {family.name for family in catalog.families()}


def test_every_deviation_names_a_field_of_its_row() -> None:
    for family in catalog.families():
        module = importlib.import_module(family.module)
        for row in module.ROWS:
            known = {field.name for field in fields(row)}
            for deviation in row.deviations:
                assert deviation.field in known
                assert deviation.source


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("vg16", "vgg16"), ("lenet", "lenet5_1998"), ("vgg19bn", "vgg19_bn"), ("zzz", "list")],
)
def test_an_unknown_name_gets_the_nearest_ones(asked: str, hint: str) -> None:
    with pytest.raises(NotFound, match=hint):
        catalog.resolve(asked)


def test_the_catalog_answers_without_torch() -> None:
    code = (
        "import sys\nfrom backbones import catalog\n"
        "assert catalog.facts('vgg19_bn_nobias').params == 143_672_744\n"
        "assert catalog.resolve('nin_fashion')[0].name == 'nin'\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
