"""The words of the generated pages in both languages: English here, Chinese in `zh/*.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Lang = Literal["en", "zh"]
LANGS: tuple[Lang, ...] = ("en", "zh")
FOLDER = Path(__file__).parent / "zh"


@cache
def chinese() -> dict[str, str]:
    """English text -> Chinese, of all files of the folder."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        found |= tomllib.loads(path.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Words:
    """A language.

    Args:
        lang: "en" or "zh".
    """

    lang: Lang

    def __call__(self, text: str, **values: object) -> str:
        """A text of a page, its `{fields}` filled in.

        Raises:
            KeyError: there is no Chinese for it.
        """
        said = text if self.lang == "en" else chinese()[text]
        return said.format(**values) if values else said

    def sentence(self, text: str) -> str:
        """A sentence of the package that lacks its full stop."""
        return self.of_package(text) + {"en": ".", "zh": "。"}[self.lang]

    def of_package(self, text: str) -> str:
        """A sentence of the package: in Chinese where there is one, else as it stands."""
        return text if self.lang == "en" else chinese().get(text, text)
