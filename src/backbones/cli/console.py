"""What the verbs share to speak with a person: one console, progress bars, plain tables.

Results go to standard output; progress, notes and errors go to standard error, so that
`--json` can be piped. Rich is imported on first use: `--help` and `list` have to be instant.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backbones.launch import launch
from backbones.progress import Downloading, Progress, Staged
from backbones.text import shown, to_json
from backbones.units import human_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LAYOUT = "\n\t"  # the control characters that a text of several lines needs


class BarCallback(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, total: int, said: str = "") -> None:
        """`said` stands in place of the unit."""


@cache
def out() -> Console:
    """Standard output. Without a terminal, lines are as long as they need to be."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())


@cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())


class _Quiet:
    """Whether notes and bars are wanted, in this process."""

    wanted = False


def be_quiet(wanted: bool = True) -> None:
    """From here on leave out notes and progress bars, or show them again."""
    _Quiet.wanted = wanted or launch().rank > 0


def is_quiet() -> bool:
    """Whether neither notes nor bars are wanted."""
    return _Quiet.wanted


def say(text: str = "") -> None:
    """A note to the person at the terminal; never part of a result."""
    if not _Quiet.wanted:
        warn(text)


def warn(text: str) -> None:
    """What went wrong with a part of the work; said even if notes are not wanted."""
    if launch().rank == 0:
        err().print(shown(text, _LAYOUT), markup=False)


def show_log() -> None:
    """Show what the package logs, around whatever bar there is; notes unless they are unwanted."""
    import logging  # help logs nothing

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (warn if record.levelno >= logging.WARNING else say)(record.getMessage())

    logging.basicConfig(level=logging.WARNING, handlers=[Notes()])
    logging.getLogger("backbones").setLevel(logging.INFO)


def tell_nameless(classes: Sequence[str], lang: str) -> None:
    """Say so if another language than English is asked for, and the classes have no names."""
    if lang == "en":
        return
    from backbones.labels.choosing import nameless_note

    if note := nameless_note(classes):
        say(note)


def print_json(value: Any) -> None:
    """A result for another program: one JSON document on standard output."""
    sys.stdout.write(to_json(value, indent=2) + "\n")


def terminal_width() -> int | None:
    """Letters in a line of the terminal; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_text(text: str) -> None:
    """A result for a person, line by line as it is."""
    sys.stdout.write(shown(text.rstrip("\n"), _LAYOUT) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """A table for a person; tab-separated where there is no terminal.

    Args:
        columns: the headings.
        rows: one sequence of cells a row.
        right: the headings of the columns to align right, separated by blanks.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            sys.stdout.write("\t".join(map(shown, row)) + "\n")
        return
    table, hidden = table_for(columns, rows, right.split(), out().width)
    out().print(table)
    if hidden:
        _tell_hidden(", ".join(hidden))


@cache  # once, where a verb prints several tables
def _tell_hidden(columns: str) -> None:
    say(f"no room for {columns}: a wider terminal shows all, and so does a pipe")


_PROSE, _LEAST, _GAP = 24, 16, 3  # letters that make a text, of a text's column, between columns


def table_for(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], width: int
) -> tuple[Table, list[str]]:
    """A table in which names and numbers are never cut: texts wrap, the last columns give way.

    Args:
        columns, rows: as of `print_table`.
        right: the headings of the columns to align right.
        width: of the terminal.

    Returns:
        The table, and the headings of the columns that it has no room for.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [[shown(cell) for cell in row] for row in (columns, *rows)]
    widest = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_text = [place > 0 and size > _PROSE for place, size in enumerate(widest)]
    least = [_LEAST if text else size for text, size in zip(is_text, widest, strict=True)]
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(least[place] + _GAP for place in kept) > width:
        # a text at the end says what a row is, so that numbers before it go first
        ends_in_text = is_text[kept[-1]] and len(kept) > 2 and not is_text[kept[-2]]
        kept.pop(-2 if ends_in_text else -1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place in kept:
        justify: Literal["left", "right"] = "right" if columns[place] in right else "left"
        text = is_text[place]
        table.add_column(
            columns[place],
            justify=justify,
            no_wrap=not text,
            min_width=least[place],
            overflow="fold",
        )
    for row in cells[1:]:
        table.add_row(*(Text(row[place]) for place in kept))
    return table, [columns[place] for place in range(len(columns)) if place not in kept]


@contextmanager
def progress(label: str, *, unit: str = "images", quiet: bool = False) -> Iterator[BarCallback]:
    """A progress bar on standard error while the block runs; silent where there is no terminal.

    Args:
        label: what is going on.
        unit: what is counted.
        quiet: no bar: what the block prints meanwhile would stand in the bar's line.

    Yields:
        a function to be called with (done, total), and a word on the state where there is one.
    """
    if quiet or _Quiet.wanted or not sys.stderr.isatty():
        yield lambda done, total, said="": None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err(), transient=True) as bar:
        task = bar.add_task(unit, total=None)

        def moved(done: int, total: int, said: str = "") -> None:
            bar.update(task, completed=done, total=total, description=said or unit)

        yield moved


@dataclass(frozen=True)
class Preparing:
    """What can take a while before the first step of a training.

    Args:
        downloading: to be called with (file name, bytes done, bytes in all or None).
        working: to be called with (done, in all) of the work itself: images decoded for the cache.
        stage: the same of work in several stages, each with its name before.
    """

    downloading: Downloading
    working: Progress
    stage: Staged


@contextmanager
def preparing(
    label: str = "decoding every image once", unit: str = "images"
) -> Iterator[Preparing]:
    """A bar for each thing that takes a while while the block runs; a line each elsewhere.

    Args:
        label: what the work is.
        unit: what is counted of it.
    """
    if _Quiet.wanted or not sys.stderr.isatty():
        told: set[str] = set()

        def tell(name: str, done: int, total: int | None) -> None:
            if name not in told and done != total:
                told.add(name)
                say(f"{name} ...")

        yield Preparing(
            lambda name, done, total: tell(f"downloading {name}", done, total),
            lambda done, total: tell(label, done, total),
            tell,
        )
        return
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bar(*columns, console=err(), transient=True) as bar:

        def move(name: str, done: int, total: int | None, amount: str) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, amount="")
            bar.update(tasks[name], completed=done, total=total, amount=amount)

        yield Preparing(
            lambda name, done, total: move(name, done, total, human_bytes(done)),
            lambda done, total: move(label, done, total, f"{done:,} {unit}"),
            lambda name, done, total: move(name, done, total, f"{done:,} {unit}"),
        )
