"""What people read, in their language: one catalogue of sentences for pages, charts and reports.

The English sentence is the key; `translations/zh.json` beside this file holds the Chinese one.
Class names have tables of their own (`backbones.labels`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

_spoken: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Inside, pages, charts and reports are written in this language.

    Args:
        lang: "zh"; whatever else, "both" among it, is English.

    Example:
        >>> with speaking("zh"):
        ...     said("right")
        '正确'
    """
    before = _spoken.set(lang)
    try:
        yield
    finally:
        _spoken.reset(before)


def speak(lang: str) -> None:
    """From here on, as `speaking` has it."""
    _spoken.set(lang)


def spoken() -> str:
    """The language of pages, charts and reports: "en" or "zh"."""
    return "zh" if _spoken.get() == "zh" else "en"


def said(sentence: str, **values: object) -> str:
    """A sentence in the language that is spoken.

    Args:
        sentence: in English, with `{names}` for what varies.
        values: for the names; numbers take a format, as in `{count:,}`.
    """
    text = catalogue()[sentence] if spoken() == "zh" else sentence
    return text.format(**values) if values else text


@cache
def catalogue() -> dict[str, str]:
    """English sentences and their Chinese ones."""
    file = Path(__file__).with_name("translations") / "zh.json"
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found
