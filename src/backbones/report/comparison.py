"""Networks side by side: one row each, as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from backbones.inspection.network_summary import CONVENTION
from backbones.report.columns import (
    Column,
    accuracy_text,
    choose,
    count_text,
    human_text,
    ordered,
    shape_text,
)
from backbones.report.compared import Accuracy, Compared, ComparedNetworks
from backbones.report.scatter import draw_comparison
from backbones.text import html_table
from backbones.units import Room, human_bytes

_BUSY = 1.25  # the slowest round took so many times the fastest one: somebody else was computing


_WHOSE: dict[Accuracy, str] = {
    "torchvision": "accuracy of torchvision's first weights (tv_in1k; CIFAR-10: akamaster's):"
    " trained on the data set alone; GoogLeNet, Inception, DenseNet and EfficientNet were"
    " converted from others' training, EfficientNet's longer than the rest",
    "paper": "accuracy that each paper printed for one network: recipes and numbers of views differ"
    " from paper to paper",
    "best": "accuracy of the best weights known here: recipes and training images differ, so that"
    " rows compare training as well as networks",
}


def _printed(row: Compared, field: str) -> Any:
    return getattr(row.published, field) if row.published else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


COLUMNS: tuple[Column[Compared], ...] = (
    Column("name", "name", lambda row: row.name),
    Column("year", "year", lambda row: row.year, right=True),
    Column("params", "parameters", lambda row: row.params, count_text, right=True),
    Column("macs", "MACs", lambda row: row.macs, human_text, right=True),
    Column("input", "input", lambda row: list(row.input), shape_text),
    Column("layers", "layers", lambda row: row.num_layers, count_text, right=True),
    Column(
        "receptive_field",
        "field",
        lambda row: list(row.field) if row.field else None,
        lambda sides: shape_text(sides if sides and len(set(sides)) > 1 else sides and sides[:1]),
        right=True,
    ),
    Column("activation_bytes", "activations", lambda row: row.activation_bytes, human_bytes, True),
    Column("top1", "top-1", lambda row: _printed(row, "top1_accuracy"), accuracy_text, right=True),
    Column("top5", "top-5", lambda row: _printed(row, "top5_accuracy"), accuracy_text, right=True),
    Column("accuracy_px", "at px", lambda row: _printed(row, "size_px"), right=True),
    Column("weights", "weights", lambda row: row.weights),
    Column("source", "source", lambda row: _printed(row, "source")),
    Column(
        "ms",
        "ms",
        lambda row: _rounded(row.measured.pass_s * 1e3, 3) if row.measured else None,
        lambda value: "" if value is None else f"{value:,.1f}",
        right=True,
    ),
    Column(
        "images_per_s",
        "images/s",
        lambda row: _rounded(row.measured.images_per_s, 2) if row.measured else None,
        lambda value: "" if value is None else f"{value:,.1f}",
        right=True,
    ),
)


# What a terminal without room for all columns does without, the first of them first.
_GIVES_WAY = (
    *("weights", "year", "field", "activations", "input", "top-5", "images/s", "layers"),
    "parameters",
)


class Comparison(ComparedNetworks):
    """Compared networks as text, Markdown, CSV, JSON and a chart."""

    def sorted(self, column: str, *, reverse: bool = False) -> Comparison:
        """The same by the values of one column, smallest first; networks without one come last.

        Raises:
            NotFound: no such column; lists all.
        """
        (by,) = choose(COLUMNS, [column])
        return replace(self, rows=tuple(ordered(self.rows, by, reverse=reverse)))

    def notes(self) -> tuple[str, ...]:
        """What the figures mean, and what is missing."""
        found = [CONVENTION]
        if any(row.sees_all for row in self.rows):
            found.append("field: px that one unit of the last maps sees; * all of them see this.")
        else:
            found.append("field: px that one unit of the last maps sees.")
        found.append("layers: with weights, on the longest way from the image to the answer.")
        if any(row.published for row in self.rows):
            found.append(_WHOSE[self.accuracy])
        found += sorted(
            {f"accuracy: {p.protocol} [{p.source}]" for row in self.rows if (p := row.published)}
        )
        found += [
            f"{row.name}: its accuracy was printed for {p.size_px} px, its costs are for"
            f" {row.input[-1]} px"
            for row in self.rows
            if (p := row.published) and not row.accuracy_is_for_this_input
        ]
        other = [row.name for row in self.rows if row.elsewhere]
        if other:
            found.append(
                "published elsewhere only (accuracy torchvision, paper or best): "
                + ", ".join(other)
            )
        without = [row.name for row in self.rows if not (row.published or row.elsewhere)]
        if without:
            found.append(f"no accuracy published for weights known here: {', '.join(without)}")
        if self.device:
            found.append(
                f"measured: a forward pass of {self.batch} image{'s'[: self.batch > 1]},"
                f" {self.precision}, {self.engine}, {self.device},"
                f" {self.threads} thread{'s'[: self.threads > 1]},"
                " fresh weights; the median of rounds in which all networks take turns"
            )
        busy = [
            f"{row.name} by {(row.measured.spread - 1) * 100:.0f} %"
            for row in self.rows
            if row.measured and row.measured.spread > _BUSY
        ]
        if busy:
            found.append(f"the machine was busy, measure again: rounds differ, {', '.join(busy)}")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """One dictionary: a list of networks, and what the figures mean."""
        return {
            "batch": self.batch,
            "accuracy": self.accuracy,
            "device": self.device or None,
            "precision": self.precision or None,
            "engine": self.engine or None,
            "threads": self.threads or None,
            "networks": [
                {
                    **{column.name: column.value(row) for column in COLUMNS},
                    "sees_all": row.sees_all,
                    "rounds_ms": [round(s * 1e3, 3) for s in row.measured.rounds_s]
                    if row.measured
                    else None,
                }
                for row in self.rows
            ],
            "notes": list(self.notes()),
        }

    def to_text(self, width: int | None = None) -> str:
        """A table in columns, and what the figures mean.

        Args:
            width: letters that a line has room for; None means any number.
        """
        headings, cells = self._cells()
        right = [column.heading for column in COLUMNS if column.right]
        room = Room(width, _GIVES_WAY)
        table, hidden = room.table(headings, cells, right)
        return "\n".join([*table, "", *room.prose([*self.notes(), *hidden])])

    def _repr_html_(self) -> str:
        headings, cells = self._cells()
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return html_table(headings, cells) + notes

    def to_markdown(self) -> str:
        """A Markdown table, and what the figures mean."""
        headings, cells = self._cells()
        right = {column.heading for column in COLUMNS if column.right}
        rule = ["---:" if heading in right else "---" for heading in headings]
        table = ["| " + " | ".join(row) + " |" for row in (headings, rule, *cells)]
        return "\n".join([*table, "", *(f"* {note}" for note in self.notes())])

    def to_csv(self) -> str:
        """One line a network, numbers without units, shapes as 3x224x224."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in COLUMNS])
        for row in self.rows:
            values = [column.value(row) for column in COLUMNS]
            writer.writerow([shape_text(v) if isinstance(v, list) else v for v in values])
        return text.getvalue().rstrip("\n")

    def draw(self, path: str | Path) -> Path:
        """Draw accuracy against what it costs; see `backbones.report.scatter`.

        Raises:
            WrongUse: no such format, or no network with a published accuracy.
        """
        return draw_comparison(self, Path(path))

    def _cells(self) -> tuple[list[str], list[Sequence[str]]]:
        """The columns that hold something; where an accuracy comes from stands in the notes."""
        shown = [
            column
            for column in COLUMNS
            if column.name not in ("source", "accuracy_px")
            and any(column.value(row) is not None for row in self.rows)
        ]
        cells = [[self._cell(row, column) for column in shown] for row in self.rows]
        return [column.heading for column in shown], list(cells)

    def _cell(self, row: Compared, column: Column[Compared]) -> str:
        text = column.text(column.value(row))
        if column.name == "receptive_field" and row.sees_all:
            return f"{text}*"
        return text
