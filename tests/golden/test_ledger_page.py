"""The page of the ledger is what the ledger says. BACKBONES_REGENERATE=1 writes it and charts."""

from __future__ import annotations

import os
from pathlib import Path

from backbones.ledger.table import entries, find_entry, shipped
from backbones.ledger.text import file_name, page_text
from backbones.workflows.reproduction import draw_measured

DOCS = Path(__file__).parents[2] / "docs" / "en" / "why"


def test_the_page_equals_the_ledger() -> None:
    text = page_text(entries(), shipped(), "reproduce")
    page = DOCS / "reproduce.md"
    if os.environ.get("BACKBONES_REGENERATE"):
        page.write_text(text, encoding="utf-8")
        for identifier, measured in shipped().items():
            chart = DOCS / "reproduce" / f"{file_name(identifier)}.png"
            draw_measured(find_entry(identifier), measured, chart)
    assert page.read_text(encoding="utf-8") == text, "make golden"


def test_every_measured_row_has_its_chart_and_no_other() -> None:
    charts = {path.stem for path in (DOCS / "reproduce").glob("*.png")}
    assert charts == {file_name(identifier) for identifier in shipped()}


def test_measured_rows_are_whole() -> None:
    for identifier, measured in shipped().items():
        entry = find_entry(identifier)
        assert not measured.smoke
        assert tuple(figure.label for figure in measured.figures) == entry.labels
        assert {len(figure.runs) for figure in measured.figures} == {entry.runs}
