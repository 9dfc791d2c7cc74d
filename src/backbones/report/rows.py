"""A row of a paper's table for people: each field, its value, and what it means."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import fields, is_dataclass
from typing import Any

from backbones.units import aligned

_TOLD_ELSEWHERE = ("name", "summary", "claims", "citation")
_SIZES = ("num_classes", "in_channels", "input_px", "min_px")
_COLUMNS = 100


def row_lines(row: Any) -> list[str]:
    """The fields of a row, one below the other, those that are tables as tables.

    Args:
        row: of a model file.

    Example:
        >>> from backbones.models import find_row
        >>> row_lines(find_row("resnet50")[1])[1]
        '  blocks        3, 4, 6, 3  (in conv2_x to conv5_x)'
    """
    shown = [f.name for f in fields(row) if f.name not in (*_TOLD_ELSEWHERE, *_SIZES)]
    meanings = meanings_of(type(row))
    width = max(len(name) for name in shown)
    lines: list[str] = []
    for name in shown:
        value = _value_lines(getattr(row, name))
        meaning = f"  ({meanings[name]})" if name in meanings else ""
        told = value[0] if len(value) == 1 else ""
        first = f"  {name:<{width}}  {told}{meaning}" if told else f"  {name:<{width}}{meaning}"
        indent = " " * (width + 4)
        lines += textwrap.wrap(first, _COLUMNS, subsequent_indent=indent, drop_whitespace=True) or [
            first
        ]
        if len(value) > 1:
            lines += [f"{indent}{line}" for line in value]
    return lines


def meanings_of(kind: type) -> dict[str, str]:
    """What the docstring of a row's type says about its fields.

    Example:
        >>> from backbones.models.vgg import VGGRow
        >>> meanings_of(VGGRow)["batch_norm"]
        'after every convolution'
    """
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):  # what all families share first, then the family's own
        _, _, arguments = inspect.cleandoc(vars(part).get("__doc__") or "").partition("Args:\n")
        for entry in re.findall(r"^ {4}\S.*(?:\n {5,}.*)*", arguments.partition("\n\n")[0], re.M):
            names, _, text = entry.partition(": ")
            for name in names.split(","):
                found[name.strip()] = " ".join(text.split()).rstrip(".")
    return found


def _value_lines(value: Any) -> list[str]:
    """A value in one line, or in several where it is a table of its own."""
    if isinstance(value, tuple) and value and all(is_dataclass(part) for part in value):
        headings = [field.name for field in fields(value[0])]
        cells = [[_short(getattr(part, name)) for name in headings] for part in value]
        numbers = {h for h, cell in zip(headings, cells[0], strict=True) if cell.isdigit()}
        return aligned(headings, cells, numbers)
    if is_dataclass(value):
        parts = [(field.name, _short(getattr(value, field.name))) for field in fields(value)]
        return _pairs(parts)
    if isinstance(value, tuple) and value and all(_is_pair(part) for part in value):
        return _pairs([(name, _short(what)) for name, what in value])
    if isinstance(value, tuple) and any(_is_long(part) for part in value):
        return [_short(part) for part in value]
    return [_short(value)]


def _is_long(part: Any) -> bool:
    if isinstance(part, tuple):
        return any(isinstance(inner, tuple) for inner in part)
    return "\n" in str(part)


def _is_pair(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and all(isinstance(p, str) for p in part)


def _pairs(parts: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in parts)
    return [f"{name:<{width}}  {text}" for name, text in parts]


def _short(value: Any) -> str:
    """One line: yes and no, lists with commas, nested ones in brackets, branches with bars."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        parts = [f"({_short(p)})" if isinstance(p, tuple) else _short(p) for p in value]
        return ", ".join(parts) or "none"
    if isinstance(value, str):
        return " | ".join(re.sub(r" {2,}", " ", line) for line in value.strip().splitlines())
    return str(value)
