"""A recipe as a TOML file that people can read and change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backbones.text import spelled
from backbones.training.recipe import Recipe


def recipe_toml(recipe: Recipe, comments: Sequence[str] = ()) -> str:
    """A recipe with all its fields; what is empty is left out.

    Args:
        recipe: resolved or not.
        comments: lines for the head of the file.

    Example:
        >>> recipe_toml(Recipe(), ["mine"]).splitlines()[:3]
        ['# mine', 'name = "custom"', 'model = "lenet5"']
    """
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    values = {name: value for name, value in recipe.to_json().items() if value not in (None, "")}
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    lines += [f"{name} = {_toml(value)}" for name, value in values.items() if name not in tables]
    for name, table in tables.items():
        rows = [f"{_key(key)} = {_toml(each)}" for key, each in table.items() if each is not None]
        if rows:
            lines += ["", f"[{name}]", *rows]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = (f"{_key(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(inside)} }}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)  # true, false and numbers are written alike in both


def _text(value: str) -> str:
    """JSON's escapes are TOML's; TOML forbids one more letter."""
    return json.dumps(spelled(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _text(name)
