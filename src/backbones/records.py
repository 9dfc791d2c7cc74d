"""JSON files that one run of the package writes and a later one reads: results, plans, books.

Each carries the SHA-256 of its values, and a schema says what they are: what a disk, a copy or
an editor has changed is told in one line, and never taken for what was measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from backbones.errors import BadData
from backbones.files import write_atomic
from backbones.text import decoded, name_bytes, parse, read_document, to_json

Schema = TypeVar("Schema")
_SUM = "sha256"


def write_record(path: Path, values: Mapping[str, Any], *, parents: bool = False) -> None:
    """Replace a file by these values and their hash, in one step.

    Args:
        path: of the file.
        values: plain ones; numbers that are not finite become null.
        parents: make its folder where it does not exist.

    Raises:
        OSError: as `write_atomic`.
    """
    write_atomic(path, record_bytes(values), parents=parents)


def record_bytes(values: Mapping[str, Any]) -> bytes:
    """What `write_record` writes."""
    text = to_json({**values, _SUM: _sum(values)}, indent=2)
    return (text + "\n").encode()


def read_record(path: Path, schema: type[Schema]) -> Schema:
    """The values that `write_record` was given.

    Args:
        path: of the file.
        schema: a pydantic model, a dataclass or any other type.

    Raises:
        NotFound: there is no such file.
        BadData: it was changed, or is something else.
    """
    return _checked(read_document(path), schema, str(path))


def record_of(data: bytes, schema: type[Schema], where: str) -> Schema:
    """The values in what `record_bytes` gave.

    Args:
        data: the content of the file.
        schema: as of `read_record`.
        where: what messages call the file.

    Raises:
        BadData: as `read_record`.
    """
    return _checked(parse(decoded(data, where), "json", where), schema, where)


def _checked(values: Any, schema: type[Schema], where: str) -> Schema:
    if not isinstance(values, dict) or values.pop(_SUM, None) != _sum(values):
        raise BadData(
            f"{where} is not as it was written (its SHA-256 differs); put it back as it was, or"
            " start anew"
        )
    return fitting(values, schema, where)


def fitting(values: Any, schema: type[Schema], where: str) -> Schema:
    """Plain values as the schema has them.

    Args:
        values: as they were read.
        schema: as of `read_record`.
        where: what messages call them.

    Raises:
        BadData: names the first that does not fit.
    """
    try:
        return TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = f"{place}: {first['msg']}" if place else str(first["msg"])
        raise BadData(
            f"{where} is not what this version writes ({said}); put it back as it was, or start"
            " anew"
        ) from None


def _sum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(name_bytes(to_json(values, sort_keys=True))).hexdigest()
