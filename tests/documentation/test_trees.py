"""Both languages have the same pages, headings and code; what is generated has its Chinese."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

GENERATED = ("networks", "recipes", "protocols", "commands", "python")


def pages(lang: str) -> list[str]:
    """Committed pages of a tree."""
    found = [path.relative_to(DOCS / lang) for path in (DOCS / lang).rglob("*.md")]
    return sorted(
        str(path)
        for path in found
        if path.name != "records.md"
        and path.parts[:2] not in [("know", name) for name in GENERATED]
    )


def text_of(lang: str, page: str) -> str:
    """A page with what it includes in its place."""
    path = DOCS / lang / page
    text = path.read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        lines = (path.parent / match[1]).read_text(encoding="utf-8").splitlines()
        return "\n".join(lines[1:])

    return re.sub(r"^```\{include\} (\S+)\n(?::.*\n)*```$", included, text, flags=re.MULTILINE)


def parts(text: str) -> tuple[list[str], list[str]]:
    """(Code blocks with their languages, marks of headings outside of them)."""
    blocks = re.findall(r"^(```+|:::+)(.*\n(?:.*\n)*?)\1 *$", text, flags=re.MULTILINE)
    code = [block for _, block in blocks if not block.startswith("{image}")]
    rest = re.sub(r"^(```+)(.*\n(?:.*\n)*?)\1 *$", "", text, flags=re.MULTILINE)
    return code, re.findall(r"^#+(?= )", rest, flags=re.MULTILINE)


def test_both_trees_have_the_same_pages() -> None:
    assert pages("en") == pages("zh")
    assert len(pages("en")) >= 12


@pytest.mark.parametrize("page", pages("en"))
def test_both_languages_of_a_page_have_the_same_code_and_headings(page: str) -> None:
    (code, headings), (other_code, other_headings) = (
        parts(text_of(lang, page)) for lang in ("en", "zh")
    )
    assert other_code == code
    assert other_headings == headings


@pytest.mark.parametrize("page", pages("zh"))
def test_chinese_pages_are_in_chinese(page: str) -> None:
    text = (DOCS / "zh" / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"[一-鿿]", prose)) >= 2
    title = re.search(
        r"^# .*[一-鿿].*$|^# (int8|backbones|NIN|VGG|ResNet|DenseNet|EfficientNet|Inception)$",
        text,
        re.MULTILINE,
    )
    assert title


def test_the_help_of_every_command_has_its_chinese() -> None:
    """Nine tenths of it: who adds an option need not speak Chinese; the page shows English then."""
    from generators import commands, records
    from generators.language import chinese

    from backbones.cli.app import VERBS
    from backbones.training.record import Record

    said = {what for verbs in VERBS.values() for what in verbs.values()}
    said |= {text for verbs in VERBS.values() for verb in verbs for text in commands.said(verb)}
    said |= {what for _, what in records.run_files()}
    for kind in get_args(Record):
        summary, meanings = records.described(kind)
        said |= {summary, *meanings.values()}
    missing = sorted(text for text in said if text and text not in chinese())
    assert len(missing) <= len(said) / 10, missing


def test_networks_recipes_and_protocols_say_what_they_are_in_chinese() -> None:
    from generators.language import chinese

    from backbones import catalog, find_protocol, load_recipe, protocol_names, recipe_names

    said = {catalog.facts(name).summary for name in catalog.names()}
    said |= {each.what for name in catalog.names() for each in catalog.facts(name).deviations}
    said |= {load_recipe(name).summary for name in recipe_names()}
    said |= {find_protocol(name).summary for name in protocol_names()}
    missing = sorted(said - set(chinese()))
    assert len(missing) <= len(said) / 10, missing


def test_views_are_drawn_as_many_as_the_plan_has_places() -> None:
    from generators.protocols import views_svg

    from backbones import find_protocol

    assert views_svg(find_protocol("ten_crop")).count("<rect") == 1 + 5
    assert views_svg(find_protocol("single")).count("<rect") == 1 + 1


def test_a_citation_becomes_bibtex() -> None:
    from generators.networks import bibtex

    from backbones import catalog

    entry = bibtex(catalog.resolve("vgg16")[0].citation)
    assert "author = {Simonyan and Zisserman}" in entry
    assert "eprint = {1409.1556}" in entry


def test_every_public_name_is_on_one_page_of_the_api() -> None:
    from generators.python_api import GROUPS

    import backbones

    grouped = [name for names in GROUPS.values() for name in names.split()]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= set(backbones.__all__)
