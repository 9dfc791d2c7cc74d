"""The rows of the ledger by their ids, and what was measured of them."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pydantic import ValidationError

from backbones.errors import NotFound, RecipeError, nearest
from backbones.ledger.entry import Entry
from backbones.ledger.measured import Measured

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@cache
def entries() -> tuple[Entry, ...]:
    """All rows, by the names of their files.

    Raises:
        RecipeError: a file does not fit the schema.
    """
    files = sorted(_files("rows", ".toml"), key=lambda file: file.name)
    return tuple(row for file in files for row in _read(file))


def find_entry(name: str) -> Entry:
    """A row by its id.

    Raises:
        NotFound: no such row; names the nearest.

    Example:
        >>> find_entry("resnet/residual").data
        'fashion-mnist'
    """
    found = {entry.id: entry for entry in entries()}
    if name not in found:
        raise NotFound(
            f"the ledger has no row {name!r}; `backbones list ledger` shows all."
            + nearest(name, tuple(found))
        )
    return found[name]


@cache
def shipped() -> dict[str, Measured]:
    """What was measured for the package's own page, by id."""
    found = [
        Measured.model_validate_json(file.read_text(encoding="utf-8"))
        for file in _files("figures", ".json")
    ]
    return {each.id: each for each in found}


def _files(folder: str, suffix: str) -> list[Traversable]:
    there = resources.files(f"backbones.ledger.{folder}")
    return [file for file in there.iterdir() if file.name.endswith(suffix)]


def _read(file: Traversable) -> list[Entry]:
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    try:
        return [Entry.model_validate(row) for row in values["entries"]]
    except ValidationError as error:
        raise RecipeError(f"ledger {file.name}: {json.dumps(error.errors()[0]['msg'])}") from None
