"""Protocols of one's own: from a file with the fields of a row, and `--set` on top of any."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from backbones.errors import ProtocolError
from backbones.protocols.row import Protocol
from backbones.protocols.table import find_protocol, protocol_names
from backbones.settings import explained, read_settings, spoken, unknown_field
from backbones.text import read_document

_FILES = (".yaml", ".yml", ".toml", ".json")
_SIDE = re.compile(r"S\s*([+-]\s*\d+)?")
_ELSEWHERE = {
    **dict.fromkeys(("size", "scale", "scales", "imgsz"), "resize={}"),
    **dict.fromkeys(("tta", "flip", "mirror"), "mirrored=true"),
    **dict.fromkeys(("crops", "crop"), "views=grid"),
}
"""What other programs call a field, and what is set here."""
_OWN = {"authors": "own protocol", "title": "", "year": 0}


def load_protocol(name_or_file: str | Path) -> Protocol:
    """A row of the table by its name, or a protocol from a YAML, TOML or JSON file.

    Raises:
        NotFound: no such file.
        ProtocolError: no such protocol, or the file does not fit the schema.

    Example:
        >>> load_protocol("vgg/dense").scoring
        'dense'
    """
    path = Path(name_or_file)
    if str(name_or_file) in protocol_names() or path.suffix not in _FILES:
        return find_protocol(str(name_or_file))
    return read_protocol(read_document(path, ProtocolError), str(path))


def read_protocol(values: object, where: str) -> Protocol:
    """Check plain values against the fields of a row.

    Args:
        values: the fields. `name` is the file's where it is missing; `resize` may be a number of
            pixels, "S" for the network's own, "S-32", a table of a shorter side, or a list of
            these.
        where: what messages call it, and the citation where there is none.

    Raises:
        ProtocolError: one line that names the first field that does not fit.

    Example:
        >>> read_protocol({"resize": [256, "S+32"], "views": "grid", "region": "whole"}, "own.yaml")
        ... # doctest: +ELLIPSIS
        Protocol(name='own', ...)
    """
    if not isinstance(values, Mapping):
        raise ProtocolError(f"{where} holds {type(values).__name__}, expected a table of fields")
    known = [each.name for each in fields(Protocol)]
    for field, value in values.items():
        if field not in known:
            unknown = unknown_field("a protocol", str(field), str(value), known, _ELSEWHERE)
            raise ProtocolError(f"{where}: {unknown} It has {', '.join(known)}.")
    whole = {
        "name": Path(where).stem,
        "summary": "a protocol of one's own",
        "citation": {**_OWN, "where": where},
        **values,
    }
    if "resize" in values:
        sides = whole["resize"] if isinstance(whole["resize"], list | tuple) else [whole["resize"]]
        whole["resize"] = [_side(side) for side in sides]
    if isinstance(whole["citation"], str):
        whole["citation"] = {**_OWN, "authors": whole["citation"], "where": where}
    try:
        return TypeAdapter(Protocol).validate_python(whole)
    except ValidationError as error:
        raise ProtocolError(f"{where}: {explained(error, known)}") from None


def apply_settings(protocol: Protocol, settings: Sequence[str]) -> Protocol:
    """The protocol with some fields set anew; what its paper printed no longer belongs to it.

    Args:
        protocol: to start from.
        settings: `field=value` each; see `backbones.settings`.

    Raises:
        ProtocolError: an unknown field (names the nearest), or a value that does not fit.

    Example:
        >>> changed = apply_settings(find_protocol("vgg/multicrop"), ["grid=3", "resize=[288]"])
        >>> changed.name, changed.grid, len(changed.resize), changed.printed
        ('vgg/multicrop with grid=3 resize=[288]', 3, 1, ())
    """
    if not settings:
        return protocol
    values: dict[str, Any] = asdict(protocol)
    values |= {each.field: each.value for each in read_settings(settings, ProtocolError)}
    changed = read_protocol(values, f"--set {spoken(settings)}")
    return replace(changed, name=f"{protocol.name} with {' '.join(settings)}", printed=())


def _side(value: object) -> object:
    """Short forms of a shorter side; what is none of them is left to the schema to refuse."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"px": value}
    if isinstance(value, str) and (found := _SIDE.fullmatch(value.strip())):
        return {"plus": int((found[1] or "0").replace(" ", ""))}
    return value
