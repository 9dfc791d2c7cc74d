"""The page of record types: what a run yields, and the files of a run's folder."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from backbones.training import folder as run_folder
from backbones.training.record import Record
from generators.language import Lang, Words
from generators.markdown import cell, literal, page, table

_RUN_FILES_INTRO = "What `backbones train` leaves in its folder, and goes on from."

_RECORDS_INTRO = (
    "What a run yields while it runs, in the order of events; `metrics.jsonl` holds the same, "
    "a line each."
)


def write(docs: Path, lang: Lang) -> None:
    """One page: the files, then the records."""
    say = Words(lang)
    files = [(f"`{name}`", cell(say.of_package(what))) for name, what in run_files()]
    parts = [f"## {say('Files of a run')}", "", say(_RUN_FILES_INTRO), ""]
    parts += table([say("file"), say("what it holds")], files)
    parts += [f"## {say('Records')}", "", say(_RECORDS_INTRO), ""]
    for kind in get_args(Record):
        parts += _record(kind, say)
    text = page(say("Run folders and records"), parts)
    (docs / lang / "know" / "records.md").write_text(text, encoding="utf-8")


def run_files() -> list[tuple[str, str]]:
    """(name, what it holds), as the module of run folders lists them."""
    found = re.findall(r"^(\S+)  +(\S.*)$", run_folder.__doc__ or "", re.MULTILINE)
    assert ("recipe.json", "the resolved recipe; a recipe file itself") in found
    return found


def described(kind: type) -> tuple[str, dict[str, str]]:
    """The summary of a record, and what its documented fields are."""
    text = kind.__doc__ or ""
    summary, _, rest = text.partition("\n\n")
    found: dict[str, str] = {}
    for names, what in re.findall(r"^ {8}([a-z0-9_, ]+): (.+(?:\n {10,}.+)*)", rest, re.MULTILINE):
        told = " ".join(what.split())
        found |= {name.strip(): told for name in names.split(",")}
    return summary.strip(), found


def _record(kind: Any, say: Words) -> list[str]:
    summary, meanings = described(kind)
    hints = get_type_hints(kind)
    rows = [
        (
            f"`{each.name}`",
            f"`{getattr(hints[each.name], '__name__', hints[each.name])}`".replace("|", "or"),
            cell(say.of_package(meanings[each.name])),
        )
        for each in fields(kind)
    ]
    headings = [say("field"), say("type"), say("meaning")]
    return [f"### `{kind.__name__}`", "", literal(say.of_package(summary)), *table(headings, rows)]
