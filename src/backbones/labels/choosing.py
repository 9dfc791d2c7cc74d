"""Which class a person means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backbones.errors import NotFound, WrongUse, nearest
from backbones.labels.table import labels_of

_LISTED = 5


def class_index(classes: Sequence[str], text: str) -> int:
    """The place of a class that is named in any way: by its id, in English, in Chinese, by number.

    A whole name comes first, then its number counted from 0, then words of a name, where they occur
    in one name only. Case does not matter. Where all names are numbers, a number is a name.

    Args:
        classes: what the network calls them, in the order of its outputs.
        text: what the person says.

    Raises:
        NotFound: there is none; names the nearest.
        WrongUse: several are meant; lists them.

    Example:
        >>> both = ["n01440764", "n02012849"]
        >>> class_index(both, "Tench"), class_index(both, "鹤"), class_index(both, "1")
        (0, 1, 1)
        >>> class_index(["7", "8"], "8")
        1
        >>> class_index(["7", "8"], "0")
        Traceback (most recent call last):
        backbones.errors.NotFound: no class is called 0; the classes have numbers as names: 7, 8
    """
    wanted = text.strip().casefold()
    names = _names(classes)
    whole = [place for place, known in enumerate(names) if wanted in known]
    if len(whole) == 1:
        return whole[0]
    if re.fullmatch(r"\d+", wanted) and not whole:
        if all(name.isdigit() for name in classes):
            raise NotFound(
                f"no class is called {wanted}; the classes have numbers as names:"
                f" {', '.join(classes[:_LISTED])}{', ...' if len(classes) > _LISTED else ''}"
            )
        if int(wanted) < len(classes):
            return int(wanted)
        raise NotFound(f"there is no class {wanted}; there are {len(classes)}, counted from 0")
    word = re.compile(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9])")
    found = whole or [
        place for place, known in enumerate(names) if wanted and any(map(word.search, known))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{place} {names[place][-1]}" for place in found[:_LISTED])
        more = ", ..." if len(found) > _LISTED else ""
        raise WrongUse(f"{text!r} may mean {listed}{more}; say which, by its number or whole name")
    known = dict.fromkeys(name for each in names for name in each)
    raise NotFound(f"the network has no class {text!r}." + nearest(wanted, known))


def _names(classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Everything that each class is called, without case; the English name last."""
    found = labels_of(classes)
    if found is None:
        return [(name.casefold(),) for name in classes]
    rows = (found.by_id[name] for name in classes)
    return [(row.id.casefold(), row.zh.casefold(), row.en.casefold()) for row in rows]


def nameless_note(classes: Sequence[str]) -> str | None:
    """One line that says why a language changes nothing, where classes have no names in it."""
    if labels_of(classes) is not None:
        return None
    return (
        f"the classes ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}) are in no"
        " label set, see `backbones list labels`; they are shown as they are"
    )
