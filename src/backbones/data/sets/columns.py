"""Which column of a table holds what; what is doubtful is refused, not guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backbones.data.sets.evidence import spelled_twice
from backbones.data.sets.listing import count_of, some, split_of
from backbones.data.sets.tables import LabelTable
from backbones.errors import BadData

_PATH = (
    "path file filename file_name filepath file_path image_path img_path image_file image_filename"
    " image img image photo image_name img_name imagename image_id img_id imageid image_index"
    " id_code id uuid name"
)
_LABEL = (
    "label labels class classes category target class_name label_name classname labelname"
    " category_name class_label fine_label breed species dx diagnosis disease cell_type"
    " variety cultivar emotion expression choice finding finding_labels finding_label genre"
    " landmark_id tag"
)
_SPLIT = "split subset set partition phase usage is_valid is_val is_test valid data_set dataset"
_LOOKED_AT = 1000  # rows, to find the column of the paths
_FEW = 10  # different words, which may be labels of as many rows
_MISSING = ("nan", "<na>", "null", "#n/a", "n/a")
_FLAGS = {"true": "1", "false": "0", "1.0": "1", "0.0": "0", "1": "1", "0": "0"}


@dataclass(frozen=True)
class Columns:
    """The parts that a table's columns play.

    Args:
        path: the column that names the images.
        labels: the column of the labels; or the columns of the classes, one of which is set.
        split: the column of the splits; empty where there is none.
    """

    path: str
    labels: tuple[str, ...]
    split: str = ""

    @property
    def named(self) -> bool:
        """Whether what the columns are called says that they are labels, or their form does."""
        return len(self.labels) > 1 or bool(_called(self.labels, _LABEL))

    def __str__(self) -> str:
        return f"{self.path}, {some(self.labels)}"


def path_column(table: LabelTable, found: Callable[[str, str], bool]) -> str:
    """The column whose cells name images that are there, in half of the rows or more.

    Args:
        table: the table.
        found: whether a column's cell names an image.

    Returns:
        its name; empty where there is none.
    """
    rows = table.rows[:: max(1, len(table.rows) // _LOOKED_AT)]
    for name in dict.fromkeys([*_called(table.header, _PATH), *table.header]):
        cells = [row.get(name, "") for row in rows]
        if cells and 2 * sum(bool(cell) and found(name, cell) for cell in cells) >= len(cells):
            return name
    return ""


def columns_by_name(table: LabelTable) -> Columns | None:
    """The columns by their names alone, where they have usual ones."""
    paths, labels = _called(table.header, _PATH), _called(table.header, _LABEL)
    if not paths or not labels:
        return None
    return Columns(paths[0], (labels[0],), _split_column(table))


def columns_of(table: LabelTable, path: str) -> Columns | None:
    """The columns of a table that names the images in one of them.

    Returns:
        None where no other column can be a label.

    Raises:
        BadData: several can, and which one is meant cannot be told.
    """
    split = _split_column(table)
    others = [name for name in table.header if name not in (path, split) and _used(table, name)]
    flags = [name for name in others if _flags(table, name)]
    if (len(flags) > 1 and flags == others) or _one_each(table, flags):
        return Columns(path, tuple(flags), split)
    named = [name for name in _called(table.header, _LABEL) if name in others]
    if named:
        return Columns(path, (_chosen(table, named),), split)
    may_be = [name for name in others if _may_be_labels(table, name)]
    if len(others) == len(may_be) == 1:
        return Columns(path, (others[0],), split)
    if may_be:
        raise BadData(
            f"{table.path} names the images (column {path}), but which of its other columns is"
            f" the label cannot be told ({some(may_be, 8)}); call that column label"
        )
    return None


def labels_of(table: LabelTable, columns: Columns) -> list[str]:
    """Each row's label; empty where it has none.

    Raises:
        BadData: several classes are set in a row, or the column holds no classes.
    """
    if len(columns.labels) > 1:
        return _set_columns(table, columns.labels)
    (name,) = columns.labels
    labels = ["" if cell.lower() in _MISSING else cell for cell in table.column(name)]
    if all(re.fullmatch(r"-?\d+\.0+", label) for label in labels if label):
        labels = [label.partition(".")[0] for label in labels]  # whole numbers beside empty cells
    if name in table.named:
        labels = [_by_number(table, name, label) for label in labels]
    _refuse_doubtful(table, name, labels)
    return labels


def _by_number(table: LabelTable, name: str, label: str) -> str:
    names = table.named[name]
    if label.isdigit() and int(label) >= len(names):
        raise BadData(
            f"column {name} of {table.path} has the label {label}, and names of"
            f" {count_of(len(names), 'class')} only, from 0 on"
        )
    return names[int(label)] if label.isdigit() else label


def splits_of(table: LabelTable, columns: Columns, usual: str) -> list[str]:
    """Each row's split: "train", "val" or "test"; `usual` where the table does not say.

    Raises:
        BadData: a word that stands for no split.
    """
    if not columns.split:
        return [usual] * len(table.rows)
    flag = _plain(columns.split).startswith(("is_", "valid"))
    held = "test" if "test" in columns.split.lower() else "val"
    found = []
    for number, cell in enumerate(table.column(columns.split), table.first):
        word = _FLAGS.get(cell.lower()) if flag else None
        split = {"0": "train", "1": held}.get(word or "") or split_of(cell)
        if split is None:
            raise BadData(
                f"{table.path} line {number} has the split {cell!r}; expected train, val or test"
            )
        found.append(split)
    return found


def _called(header: Sequence[str], words: str) -> list[str]:
    """The columns that are called so, in the order of the words."""
    plain = {_plain(name): name for name in reversed(header)}
    return [plain[word] for word in words.split() if word in plain]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _split_column(table: LabelTable) -> str:
    for name in _called(table.header, _SPLIT):
        words = {row.get(name, "").lower() for row in table.rows}
        flags = _plain(name).startswith(("is_", "valid")) and words <= _FLAGS.keys()
        if flags or _plain(name) == "split" or any(map(split_of, words)):
            return name
    # whatever it is called: a column of words for splits, "train" among them
    for name in table.header:
        found = {split_of(word) for word in {row.get(name, "") for row in table.rows}}
        if len(found) > 1 and "train" in found and None not in found:
            return name
    return ""


def _used(table: LabelTable, name: str) -> bool:
    """Whether a column has cells of text; images in a column have none."""
    return any(row.get(name) for row in table.rows)


def _flags(table: LabelTable, name: str) -> bool:
    return all(cell.lower() in _FLAGS for cell in table.column(name))


def _one_each(table: LabelTable, flags: Sequence[str]) -> bool:
    return len(flags) > 1 and all(len(_set_in(row, flags)) == 1 for row in table.rows)


def _set_in(row: Mapping[str, str], flags: Sequence[str]) -> list[str]:
    return [name for name in flags if _FLAGS[row[name].lower()] == "1"]


def _set_columns(table: LabelTable, flags: Sequence[str]) -> list[str]:
    found = [_set_in(row, flags) for row in table.rows]
    if several := [number for number, names in enumerate(found, table.first) if len(names) > 1]:
        raise BadData(
            f"{table.path} sets several classes in {count_of(len(several), 'row')}, the first in"
            f" line {several[0]} ({some(found[several[0] - table.first])}); an image has one label"
        )
    return [names[0] if names else "" for names in found]


def _chosen(table: LabelTable, named: list[str]) -> str:
    """The label column; of those that say the same, the one in words."""
    first = next((name for name in named if _plain(name) == "label"), named[0])
    same = [name for name in named if _partition(table, name) == _partition(table, first)]
    if len(same) < len(named) and _plain(first) != "label":
        raise BadData(
            f"{table.path} has the columns {some(named, 8)}, which say different things; call the"
            " one that is meant label"
        )
    words = [name for name in same if not all(_is_number(cell) for cell in table.column(name))]
    return (words or same)[0]


def _partition(table: LabelTable, name: str) -> list[int]:
    """Which rows a column puts together, whatever it calls them."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(cell, len(numbers)) for cell in table.column(name)]


def _may_be_labels(table: LabelTable, name: str) -> bool:
    """Whether cells repeat as labels do; of numbers, only those that count classes."""
    cells = set(table.column(name)) - {""}
    if all(map(_is_number, cells)):
        counting = {str(number) for number in range(len(cells) + 1)}
        return len(cells) > 1 and (cells <= counting or cells == {"-1", "1"})
    return 2 <= len(cells) <= max(len(table.rows) / 2, _FEW)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_doubtful(table: LabelTable, name: str, labels: Sequence[str]) -> None:
    known = set(labels) - {""}
    where = f"column {name} of {table.path}"
    numbers = bool(known) and all(map(_is_number, known))
    if numbers and not all(re.fullmatch(r"-?\d+", label) for label in known):
        raise BadData(f"{where} holds numbers ({some(sorted(known))}), which are no classes")
    many = len(known) > 10 and 2 * len(known) > len(labels)
    if many and (numbers or name not in _called(table.header, _LABEL)):
        raise BadData(
            f"{where} holds {len(known):,} different labels in {len(labels):,} rows"
            f" ({some(sorted(known))}), which are no classes"
        )
    for label in sorted(known):
        parts = [part.strip() for part in re.split(r"[|,;]|\s", label) if part.strip()]
        if "|" in label or (len(parts) > 1 and set(parts) <= known):
            raise BadData(
                f"{where} has the label {label!r}, which is several; an image has one label"
            )
    if alike := spelled_twice(known):
        raise BadData(f"{where} has the labels {alike[0]!r} and {alike[1]!r}; make them one word")
