"""An inspection as text: whole in a pipe, and without broken words in a narrow terminal."""

from __future__ import annotations

import backbones


def test_no_line_is_longer_than_the_terminal_and_no_word_is_broken() -> None:
    found = backbones.inspect("resnet_tiny")
    narrow, whole = found.to_text(width=80), found.to_text()
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, whole.splitlines()))
    said = "no room for start, jump, bytes, field, paper, kernel: a wider terminal shows all, and"
    assert said in " ".join(narrow.split())
    assert "no room" not in whole
    assert set(narrow.split()) - set(whole.split()) <= set(said.split()) | {"so", "does", "pipe"}
    assert found.to_text(width=500).split() == whole.split()
