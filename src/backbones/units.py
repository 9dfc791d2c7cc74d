"""Lengths of training in the unit that the user thinks in, and numbers for people."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Unit = Literal["steps", "epochs", "examples", "percent"]


@dataclass(frozen=True)
class Length:
    """A stretch of training: `10epochs`, `370000steps`, `1000000examples` or `5percent`.

    Example:
        >>> Length.parse("10epochs").steps(steps_per_epoch=40, batch_size=32)
        400
        >>> str(Length.parse("5 %"))
        '5percent'
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Length:
        """Read a number and its unit; singular, plural, blanks and `%` are all understood.

        Raises:
            ValueError: no number, a negative number, or an unknown unit.
        """
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*(%|[a-z]+)\s*", text.lower())
        if not match:
            raise ValueError(
                f"{text!r} is not a length; expected a number and a unit, such as 10epochs,"
                " 5000steps, 1e6examples or 5percent"
            )
        name = {"%": "percent", "percent": "percent"}.get(
            match[2], match[2] if match[2].endswith("s") else match[2] + "s"
        )
        for unit in get_args(Unit):
            if unit == name:
                return cls(float(match[1]), unit)
        raise ValueError(
            f"{text!r} has the unit {match[2]!r}; expected steps, epochs, examples or percent"
        )

    def steps(
        self, *, steps_per_epoch: int, batch_size: int, total_steps: int | None = None
    ) -> int:
        """The number of optimiser steps, rounded up so that nothing asked for is left out.

        Args:
            steps_per_epoch: optimiser steps in one epoch.
            batch_size: examples in one optimiser step.
            total_steps: of the whole run; needed for a percentage.

        Raises:
            ValueError: a percentage without a total.
        """
        if self.unit == "steps":
            return math.ceil(self.amount)
        if self.unit == "epochs":
            return math.ceil(round(self.amount * steps_per_epoch, 6))
        if self.unit == "examples":
            return math.ceil(self.amount / batch_size)
        if total_steps is None:
            raise ValueError(
                f"{self} is a share of the run, which has no length here;"
                " use steps, epochs or examples"
            )
        return math.ceil(round(self.amount * total_steps / 100, 6))

    def __str__(self) -> str:
        amount = int(self.amount) if float(self.amount).is_integer() else self.amount
        return f"{amount}{self.unit}"


def human_count(value: float, digits: int = 1) -> str:
    """A count in three digits: 138.4 M.

    Args:
        digits: behind the point.

    Example:
        >>> human_count(138_357_544), human_count(61_706), human_count(84)
        ('138.4 M', '61.7 K', '84')
    """
    for size, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " K")):
        if abs(value) >= size:
            return f"{value / size:.{digits}f}{suffix}"
    return f"{value:.0f}"


def human_bytes(value: float) -> str:
    """Bytes in binary units: 527.8 MiB.

    Example:
        >>> human_bytes(553_430_176), human_bytes(512)
        ('527.8 MiB', '512 B')
    """
    for size, suffix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= size:
            return f"{value / size:.1f} {suffix}"
    return f"{value:.0f} B"


def parse_bytes(text: str) -> int:
    """A size that a person typed: bytes, or KB, MB, GB (powers of 1000) or KiB, MiB, GiB.

    Raises:
        ValueError: it is none, or not above zero.

    Example:
        >>> parse_bytes("8GiB"), parse_bytes("1.5 MB"), parse_bytes("512")
        (8589934592, 1500000, 512)
    """
    number = text.strip().rstrip("BbIiKkMmGgTt ")
    unit = text.strip()[len(number) :].strip().lower().rstrip("b")
    powers = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
    try:
        value = float(number) * (1024 if unit.endswith("i") else 1000) ** powers[unit.rstrip("i")]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < 2**63:
        raise ValueError(f"{text!r} is not a size, expected one such as 8GiB or 500MB")
    return int(value)


def parse_duration(text: str) -> float:
    """Seconds, from what a person typed: 90s, 30m, 1.5h, 2 days, 1h30m; a bare number is seconds.

    Raises:
        ValueError: it is none, or not above zero.

    Example:
        >>> parse_duration("30m"), parse_duration("1h 30min"), parse_duration("90")
        (1800.0, 5400.0, 90.0)
    """
    seconds = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "days": 86400}
    parts = re.findall(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", text.lower())
    said = "".join(number + unit for number, unit in parts)
    whole = said == "".join(text.lower().split()) and all(unit in seconds for _, unit in parts)
    total = sum(float(number) * seconds[unit] for number, unit in parts) if whole else 0.0
    if total <= 0:
        raise ValueError(f"{text!r} is not a duration; expected such as 90s, 30m, 2h or 1h30m")
    return total


def human_seconds(value: float) -> str:
    """A duration as a person says it.

    Example:
        >>> human_seconds(4.21), human_seconds(195.6), human_seconds(7384)
        ('4.2 s', '3 min 16 s', '2 h 03 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def text_columns(text: str) -> int:
    """How many columns a text takes on a terminal, where Chinese characters take two.

    Example:
        >>> text_columns("tench"), text_columns("丁鲷")
        (5, 4)
    """
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def aligned(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> list[str]:
    """A table as lines of text, its columns as wide as what stands in them.

    Args:
        headings: of the columns.
        rows: one sequence of cells a row.
        right: the headings of the columns to align right.

    Example:
        >>> aligned(("name", "top-1"), [("vgg16", "0.7")], right=("top-1",))
        ['name   top-1', 'vgg16    0.7']
    """
    table = [headings, *rows]
    widths = [max(text_columns(row[i]) for row in table) for i in range(len(headings))]
    lines = []
    for row in table:
        cells = []
        for heading, cell, width in zip(headings, row, widths, strict=True):
            blank = " " * (width - text_columns(cell))
            cells.append(blank + cell if heading in right else cell + blank)
        lines.append("  ".join(cells).rstrip())
    return lines


@dataclass(frozen=True)
class Room:
    """How many letters a line has room for, and what gives way where that is too few.

    Args:
        columns: letters; None for any number.
        gives_way: headings of the columns that a table does without, the first of them first.
    """

    columns: int | None = None
    gives_way: tuple[str, ...] = ()

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
    ) -> tuple[list[str], list[str]]:
        """A table as of `aligned` with whole columns left out where they find no room.

        Returns:
            Its lines, and a sentence about what was left out, if anything was.

        Example:
            >>> Room(8, ("year",)).table(("name", "year"), [("vgg16", "2014")])[0]
            ['name', 'vgg16']
        """
        shown, hidden = list(range(len(headings))), []
        for heading in (*(each for each in self.gives_way if each in headings), None):
            cells = [[row[place] for place in shown] for row in rows]
            lines = aligned([headings[place] for place in shown], cells, right)
            if self.columns is None or heading is None:
                break
            if max(map(text_columns, lines)) <= self.columns:
                break
            hidden.append(heading)
            shown.remove(list(headings).index(heading))
        if not hidden:
            return lines, []
        said = f"no room for {', '.join(hidden)}: a wider terminal shows all, and so does a pipe"
        return lines, [said]

    def prose(self, lines: Sequence[str]) -> list[str]:
        """Sentences, broken between words."""
        if self.columns is None:
            return list(lines)
        return [
            part
            for line in lines
            for part in textwrap.wrap(line, self.columns, break_long_words=False)
        ]
