"""Frozen rows as JSON and back, driven by the types that their fields declare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from backbones.errors import BadWeights


def row_to_json(row: Any) -> dict[str, Any]:
    """A row as plain values, nested rows included, just as JSON text gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(row)))
    return plain


def row_from_json(row_type: type, values: Mapping[str, Any]) -> Any:
    """Read what `row_to_json` wrote, possibly through JSON text.

    Args:
        row_type: the frozen dataclass.
        values: a value for each of its fields.

    Raises:
        BadWeights: a field is missing, unknown or of another type.
    """
    known = {field.name for field in fields(row_type)}
    if not isinstance(values, Mapping) or set(values) != known:
        found = sorted(values) if isinstance(values, Mapping) else repr(values)
        raise BadWeights(
            f"{row_type.__name__} is stored as {found}, expected the fields {sorted(known)}:"
            " written by another version"
        )
    hints = get_type_hints(row_type)
    read = {key: _read(hints[key], value, key) for key, value in values.items()}
    try:
        return row_type(**read)
    except ValueError as error:  # the type's own check of its values
        raise BadWeights(f"{row_type.__name__}: {error}") from error


def _read(kind: Any, value: Any, field: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return row_from_json(kind, value)
    if origin is Literal and value in arguments:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        return _read(next(a for a in arguments if a is not NoneType), value, field)
    if origin is tuple and isinstance(value, list | tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item, field) for item in value)
        if len(arguments) == len(value):
            return tuple(_read(a, item, field) for a, item in zip(arguments, value, strict=True))
    if kind is Any or (origin is dict and isinstance(value, dict)):
        return value
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is kind:
        return value
    raise BadWeights(f"the field {field!r} holds {value!r}, expected {kind}")
