"""Lists of images in text files: `train.txt` with a path and a label a line, and CUB-200's."""

from __future__ import annotations

from pathlib import Path

from backbones.data.sets.tables import LabelTable, separated
from backbones.errors import BadData
from backbones.text import decoded

SUFFIX = ".txt"
NAMES_FILES = ("classes.txt", "class_names.txt", "labels.txt", "names.txt")
_CUB = ("images.txt", "image_class_labels.txt")


def read_list(path: Path) -> LabelTable:
    """Read a list of images: a path and a label a line, or a path whose first folder is one.

    Numbers get the names of `classes.txt` beside the list, where there is one.

    Raises:
        BadData: it is not UTF-8 text.
    """
    lines = [line for line in _lines(path) if not line.lstrip().startswith("#")]
    filled = [line for line in lines if line.strip()]
    if filled and any(all(mark in line for line in filled) for mark in ",;\t"):
        return separated(path, "\n".join(filled))
    pairs = [line.rsplit(None, 1) for line in filled]
    if pairs and all(len(pair) == 2 for pair in pairs):
        cells = [(name.strip(), label.strip()) for name, label in pairs]
    elif all("/" in line for line in filled):
        cells = [(line.strip(), line.strip().split("/")[0]) for line in filled]
    else:
        rows = tuple({"path": line.strip()} for line in filled)
        return LabelTable(path, ("path",), rows, first=1)
    names = _names_of([label for _, label in cells], path.parent)
    rows = tuple({"path": name, "label": names.get(label, label)} for name, label in cells)
    return LabelTable(path, ("path", "label"), rows, first=1)


def is_cub(folder: Path) -> bool:
    """Whether a folder has the lists of CUB-200."""
    return all((folder / name).is_file() for name in _CUB)


def read_cub(folder: Path) -> LabelTable:
    """Read CUB-200's lists, each of which begins its lines with an image's or a class's number.

    Raises:
        BadData: a list lacks an image that another one has.
    """
    images, labels = (_numbered(folder / name) for name in _CUB)
    names = _numbered(folder / "classes.txt")
    splits = _numbered(folder / "train_test_split.txt")
    rows = []
    for number, name in images.items():
        if number not in labels or (splits and number not in splits):
            raise BadData(f"{folder / _CUB[0]} has the image {number}, which other lists lack")
        row = {"path": name, "label": names.get(labels[number], labels[number])}
        if splits:
            row["split"] = "train" if splits[number] == "1" else "test"
        rows.append(row)
    header = ("path", "label", "split") if splits else ("path", "label")
    return LabelTable(folder / _CUB[0], header, tuple(rows), first=1)


def _lines(path: Path) -> list[str]:
    return decoded(path.read_bytes(), str(path)).splitlines()


def _numbered(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = [line.strip().split(None, 1) for line in _lines(path)]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _names_of(labels: list[str], folder: Path) -> dict[str, str]:
    """What numbers are called, by the names beside the list; empty where it cannot be told."""
    if not labels or not all(label.isdigit() for label in labels):
        return {}
    lowest, highest = min(map(int, labels)), max(map(int, labels))
    for file in NAMES_FILES:
        path = folder / file
        names = [line.strip() for line in _lines(path) if line.strip()] if path.is_file() else []
        first = 1 if lowest and highest == len(names) else 0
        if first <= lowest and highest - first < len(names) == len(set(names)):
            return {str(number): name for number, name in enumerate(names, first)}
    return {}
