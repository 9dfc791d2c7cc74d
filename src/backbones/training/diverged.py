"""A run that diverged does not keep its folder from the corrected command: it is set aside there.

Nothing is lost by it: what was kept before the loss became infinite may be worth something.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

NAME = "diverged.txt"
_ASIDE = "diverged-"


def mark(folder: Path, error: Exception) -> None:
    """Write down that the run in a folder diverged; a folder that is gone is left alone."""
    with contextlib.suppress(OSError):
        (folder / NAME).write_text(f"{error}\n", encoding="utf-8")


def unmark(folder: Path) -> None:
    """A run that goes on has not diverged yet."""
    (folder / NAME).unlink(missing_ok=True)


def is_marked(folder: Path) -> bool:
    """Whether the run in a folder diverged, and was not gone on with since."""
    return (folder / NAME).is_file()


def is_set_aside(name: str) -> bool:
    """Whether a file of a run folder is one that was set aside."""
    return name.startswith(_ASIDE)


def set_aside(folder: Path, names: Iterable[str]) -> str:
    """Move a diverged run's files into a folder beside where the next one's will be.

    Args:
        folder: of the run.
        names: what of it is the run's; those that are not there are passed over.

    Returns:
        A sentence on where they are.
    """
    number = 1 + sum(1 for each in folder.iterdir() if is_set_aside(each.name))
    place = folder / f"{_ASIDE}{number}"
    place.mkdir()
    for name in (*names, NAME):
        if (folder / name).exists():
            (folder / name).rename(place / name)
    return f"the folder held a run that diverged: moved to {place}"
