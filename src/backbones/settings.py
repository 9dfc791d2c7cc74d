"""`--set`: one grammar for the fields of recipes and protocols, and one way to tell what is wrong.

field=value             a field
table.field=value       a field of a table
field=0.02, =true       JSON where it is JSON
field=none              empties the field
field=[384, S]          a list, whose words need no quotes; {px: 256} likewise
field=10epochs          else the text itself
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from backbones.errors import WrongUse, nearest
from backbones.text import parse

_SHOWN = 200  # letters of a setting, in a message
_WORDS = {"none": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Setting:
    """One `field=value`.

    Args:
        field: its dotted path.
        value: plain, as JSON would hold it.
        text: the value as it was typed.
    """

    field: str
    value: Any
    text: str


def read_settings(settings: Sequence[str], wrong: type[WrongUse]) -> list[Setting]:
    """What was set, in order.

    Args:
        settings: `field=value` each.
        wrong: the error to raise.

    Raises:
        WrongUse: of the kind `wrong`: one has no value, or a list that cannot be read.

    Example:
        >>> [each.value for each in read_settings(["lr=0.02", "resize=[384, S]"], WrongUse)]
        [0.02, [384, 'S']]
    """
    found = []
    for setting in settings:
        field, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise wrong(f"--set {setting!r} has no value; expected field=value")
        found.append(Setting(field, _value(text, f"--set {spoken([setting])}", wrong), text))
    return found


def spoken(settings: Sequence[str]) -> str:
    """The settings as messages repeat them."""
    return " ".join(each if len(each) <= _SHOWN else f"{each[:_SHOWN]}..." for each in settings)


def _value(text: str, where: str, wrong: type[WrongUse]) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return parse(text, "json", where, wrong)
    except wrong:
        if text[:1] not in ("[", "{"):
            return text
    return parse(text, "yaml", where, wrong)


def unknown_field(
    owner: str, field: str, text: str, known: Sequence[str], elsewhere: Mapping[str, str]
) -> str:
    """The message for a field that does not exist.

    Args:
        owner: "a recipe".
        field: as it was typed.
        text: the value, as it was typed; empty where it is not known.
        known: every dotted path that there is.
        elsewhere: what other programs call a field, and the setting that is meant, with {} for
            the value.
    """
    leaf = field.rsplit(".", 1)[-1]
    meant = elsewhere.get(field.lower().replace("-", "_"))
    same = [path for path in known if path.rsplit(".", 1)[-1] == leaf]
    if meant is not None:
        hint = f" Write {meant.format(text or 'VALUE')}."
    elif same:
        hint = f" Did you mean {' or '.join(same[:3])}?"
    else:
        hint = nearest(field, known)
    return f"{owner} has no field {field!r}.{hint}"


def explained(error: ValidationError, known: Collection[str]) -> str:
    """The first thing that does not fit a schema, in one line, and how many more there are.

    Args:
        error: of pydantic.
        known: every dotted path of the schema; what pydantic appends to one is left out.
    """
    wrong = error.errors(include_url=False)
    places = [_place(one["loc"], known) for one in wrong]
    first, path = wrong[0], places[0]
    more = len(set(places) - {path})
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "missing":
        return f"{path} is missing{rest}"
    expected = [
        str(one["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
        for one, place in zip(wrong, places, strict=True)
        if place == path
    ]
    value = _shown(first["input"])
    text = " or ".join(dict.fromkeys(expected)).replace("or expected", "or")
    said = f"{path} is {value}: " if path and value else path and f"{path}: "
    return one_line(said + text) + rest


def _place(location: tuple[int | str, ...], known: Collection[str]) -> str:
    """The dotted path of a field, without the branches of a union that pydantic appends."""
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
