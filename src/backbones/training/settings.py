"""Recipes from their names and files, and `--set` on top of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from backbones.errors import NotFound, RecipeError, nearest
from backbones.text import parse, read_document
from backbones.training.recipe import (
    OPTIMIZER_FIELDS,
    OPTIMIZER_SHARED,
    SCHEDULE_FIELDS,
    SCHEDULE_SHARED,
    Recipe,
)

_SHOWN = 200  # letters of a setting, in a message


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package, in alphabetical order."""
    folder = resources.files("backbones.training.recipes")
    return tuple(
        sorted(row.name[: -len(".toml")] for row in folder.iterdir() if row.name.endswith(".toml"))
    )


def load_recipe(name_or_file: str | Path) -> Recipe:
    """A recipe of the package by its name, or one from a TOML or JSON file.

    Raises:
        NotFound: there is no such recipe or file.
        RecipeError: the file cannot be read, or does not fit the schema.

    Example:
        >>> load_recipe("nin_fashion").batch_size
        16
    """
    if str(name_or_file) in recipe_names():
        row = resources.files("backbones.training.recipes") / f"{name_or_file}.toml"
        return read_recipe(tomllib.loads(row.read_text(encoding="utf-8")), str(name_or_file))
    path = Path(name_or_file)
    if path.suffix not in (".toml", ".json"):
        raise NotFound(
            f"no recipe {str(name_or_file)!r}.{nearest(str(name_or_file), recipe_names())}"
            " For images of your own: finetune, scratch; `backbones list recipes` shows all"
            f" {len(recipe_names())}; a recipe's file ends in .toml or .json"
        )
    if not path.exists():
        raise NotFound(f"no recipe file {path}")
    return read_recipe(read_document(path, RecipeError), str(path))


def read_recipe(values: object, where: str) -> Recipe:
    """Check plain values against the schema.

    Args:
        values: a dictionary, as a recipe file holds it.
        where: what messages call it.

    Raises:
        RecipeError: one line that names the first field that does not fit.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{where} holds {type(values).__name__}, expected a table of fields")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error)}") from None


def with_reading(
    settings: Sequence[str], layout: str | None, label_pattern: str | None
) -> list[str]:
    """The settings of a recipe, with what was said about its data, which it keeps."""
    said = {"layout": layout, "label_pattern": label_pattern}
    return [*settings, *(f"{field}={json.dumps(text)}" for field, text in said.items() if text)]


def apply_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with some fields set anew.

    Args:
        recipe: to start from; it stays as it is.
        settings: `field=value` each, tables with a dot: `optimizer.lr=0.02`. A value is read as
            JSON where it is JSON, else as text; `none` empties a field.

    Raises:
        RecipeError: an unknown field (names the nearest), a wrong value, or a field that the
            chosen optimiser or schedule does not use.

    Example:
        >>> apply_settings(Recipe(), ["optimizer.lr=0.02", "length=3epochs"]).optimizer.lr
        0.02
    """
    values = recipe.to_json()
    keys = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting!r} has no value; expected field=value")
        keys.append(key.strip())
        _put(values, keys[-1], _value(text.strip()), recipe)
    said = " ".join(each if len(each) <= _SHOWN else f"{each[:_SHOWN]}..." for each in settings)
    changed = read_recipe(values, f"--set {said}") if settings else recipe
    for key in keys:
        _refuse_unused(changed, key)
    return changed


def _value(text: str) -> object:
    """JSON where it is JSON; `none`; else the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return parse(text, "json", "--set", RecipeError)
    except RecipeError:
        return {"True": True, "False": False}.get(text, text)


def _put(values: dict[str, Any], key: str, value: object, recipe: Recipe) -> None:
    """Set one dotted field in plain values; the field has to exist in the schema."""
    *tables, leaf = key.split(".")
    schema: type[BaseModel] = type(recipe)
    for table in tables:
        inner = values.get(table)
        if table not in schema.model_fields or not isinstance(inner, dict):
            raise _unknown(key)
        values = inner
        annotation = schema.model_fields[table].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            values[leaf] = value  # a mapping of free names, such as class_weights
            return
        schema = annotation
    if leaf not in schema.model_fields:
        raise _unknown(key)
    if key == "class_weights" and value is None:
        value = "none"  # the word that the schema uses
    values[leaf] = value


def field_paths(schema: type[BaseModel] = Recipe, above: str = "") -> tuple[str, ...]:
    """Every field of a recipe by its dotted path: "seed", "optimizer.lr" and so on."""
    found: list[str] = []
    for name, field in schema.model_fields.items():
        found.append(above + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += field_paths(field.annotation, f"{above}{name}.")
    return tuple(found)


def _unknown(key: str) -> RecipeError:
    """A recipe has no such field: the same last word elsewhere comes first, then the nearest."""
    paths = field_paths()
    leaf = key.rsplit(".", 1)[-1]
    same = [path for path in paths if path.rsplit(".", 1)[-1] == leaf]
    hint = f" Did you mean {' or '.join(same[:3])}?" if same else nearest(key, paths)
    return RecipeError(f"a recipe has no field {key!r}.{hint}")


def _refuse_unused(recipe: Recipe, key: str) -> None:
    """A setting without effect would be believed to have one."""
    table, _, leaf = key.partition(".")
    if table == "optimizer" and leaf:
        kind: str = recipe.optimizer.kind
        used = OPTIMIZER_FIELDS[kind] | OPTIMIZER_SHARED
    elif table == "schedule" and leaf:
        kind = recipe.schedule.kind
        used = SCHEDULE_FIELDS[kind] | SCHEDULE_SHARED
    else:
        return
    if leaf not in used:
        known = ", ".join(sorted(used))
        raise RecipeError(f"{key} has no effect with {kind}, which uses {known}")


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, and how many more there are."""
    wrong = error.errors(include_url=False)
    places = [_place(one["loc"]) for one in wrong]
    first, path = wrong[0], places[0]
    more = len(set(places) - {path})
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "extra_forbidden":
        return str(_unknown(".".join(str(part) for part in first["loc"]))) + rest
    expected = [
        str(one["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
        for one, place in zip(wrong, places, strict=True)
        if place == path
    ]
    value = _shown(first["input"])
    text = " or ".join(dict.fromkeys(expected)).replace("or expected", "or")
    if first["type"] == "missing":
        return f"{path} is missing{rest}"
    said = f"{path} is {value}: " if path and value else path and f"{path}: "
    return one_line(said + text) + rest


def _place(location: tuple[int | str, ...]) -> str:
    """The dotted path of a field, without the branches of a union that pydantic appends."""
    known = field_paths()
    parts: list[str] = []
    for part in location:
        named = [one for one in parts if not one.isdigit()]
        if isinstance(part, str) and ".".join([*named, part]) not in known and parts:
            if parts[-1].isdigit():
                parts.append(part)
            break
        parts.append(str(part))
    return ".".join(parts)


def _shown(value: object) -> str:
    """A wrong value as a message shows it; nothing for whole tables."""
    if isinstance(value, Mapping | BaseModel):
        return ""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(error: object) -> str:
    """An error's message without its line breaks."""
    return " ".join(str(error).split())
