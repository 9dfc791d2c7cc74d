"""The columns that tables of networks have: what each says, as a value and as text. No torch here.

One row of this table is one column of theirs, so that `list`, `compare`, `--sort`, `--json` and a
file all mean the same by a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from backbones import catalog
from backbones.errors import NotFound, nearest
from backbones.spec import Family
from backbones.units import human_count

if TYPE_CHECKING:
    from backbones.weights.table import Published, WeightsRow

Row = TypeVar("Row")


def text_of(value: Any) -> str:
    """A value as it is written where nothing better is known; nothing for None."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def count_text(value: Any) -> str:
    """A count to the unit."""
    return "" if value is None else f"{value:,}"


def human_text(value: Any) -> str:
    """A count in three digits."""
    return "" if value is None else human_count(value)


def accuracy_text(value: Any) -> str:
    """An accuracy, a fraction, in four digits."""
    return "" if value is None else f"{value:.4f}"


def shape_text(value: Any) -> str:
    """A shape, such as 3x224x224."""
    return "" if value is None else "x".join(map(str, value))


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    Args:
        name: that scripts use.
        heading: that people read.
        value: of a row, plain enough for JSON; None where there is none.
        text: of the value.
        right: aligned right, as numbers are.
    """

    name: str
    heading: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str] = text_of
    right: bool = False


def choose(columns: Sequence[Column[Row]], names: Iterable[str]) -> tuple[Column[Row], ...]:
    """The columns of these names, in this order.

    Raises:
        NotFound: no such column; names the nearest, and lists all.
    """
    known = {column.name: column for column in columns}
    found = []
    for name in names:
        if name not in known:
            listed = ", ".join(known)
            raise NotFound(f"there is no column {name!r}.{nearest(name, known)} All: {listed}")
        found.append(known[name])
    return tuple(found)


def ordered(rows: Iterable[Row], column: Column[Row], *, reverse: bool = False) -> list[Row]:
    """Rows by the values of one column, those without a value last; equal ones stay in order.

    Args:
        rows: to be sorted.
        column: by which.
        reverse: the largest first.
    """
    listed = list(rows)
    there = [row for row in listed if column.value(row) is not None]
    missing = [row for row in listed if column.value(row) is None]
    return [*sorted(there, key=column.value, reverse=reverse), *missing]


@cache
def _family(name: str) -> Family:
    return next(family for family in catalog.families() if family.name == name)


@cache
def _best(name: str) -> tuple[WeightsRow, Published] | None:
    from backbones.weights import table  # reading it takes a third of the time of an answer

    return table.best_result(table.of_variant(name), catalog.facts(name).input_px)


def _of_best(field: str) -> Callable[[catalog.Facts], Any]:
    def value(row: catalog.Facts) -> Any:
        best = _best(row.name)
        return getattr(best[1], field) if best else None

    return value


@cache
def _weights(name: str) -> tuple[str, ...]:
    """Ids, those that come with the package first; their first part is the variant's name."""
    from backbones.weights import table

    here = [known for known in table.shipped_weights() if known.partition(".")[0] == name]
    return (*here, *(row.id for row in table.of_variant(name)))


def _best_weights(row: catalog.Facts) -> str | None:
    best = _best(row.name)
    return best[0].id if best else next(iter(_weights(row.name)), None)


NETWORK_COLUMNS: tuple[Column[catalog.Facts], ...] = (
    Column("name", "name", lambda row: row.name),
    Column("family", "family", lambda row: row.family),
    Column("year", "year", lambda row: _family(row.family).citation.year, right=True),
    Column("paper", "paper", lambda row: str(_family(row.family).citation)),
    Column("params", "parameters", lambda row: row.params, count_text, right=True),
    Column("macs", "MACs", lambda row: row.macs, human_text, right=True),
    Column("input", "input", lambda row: [row.in_channels, row.input_px, row.input_px], shape_text),
    Column("classes", "classes", lambda row: row.num_classes, count_text, right=True),
    Column("top1", "top-1", _of_best("top1_accuracy"), accuracy_text, right=True),
    Column("top5", "top-5", _of_best("top5_accuracy"), accuracy_text, right=True),
    Column("accuracy_px", "at px", _of_best("size_px"), right=True),
    Column("weights", "weights", _best_weights),
    Column("all_weights", "all weights", lambda row: list(_weights(row.name))),
    Column("deviations", "deviates in", lambda row: [d.field for d in row.deviations]),
    Column("summary", "what it is", lambda row: row.summary),
)
