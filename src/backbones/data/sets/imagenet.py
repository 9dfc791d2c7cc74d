"""ImageNet's own layout: `train/n01440764/*.JPEG` and validation images in folders or flat.

The flat validation images get their classes from `LOC_val_solution.csv` (WordNet ids) or from
`val.txt` (name and WordNet id, or name and the number of the class among the sorted ids, from 0).
`ILSVRC2012_validation_ground_truth.txt` counts in another order, which only a MATLAB file tells,
and Kaggle's `ImageSets/CLS-LOC/val.txt` holds line numbers, not classes: neither is used.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from backbones.data.sets.class_folders import split_folders
from backbones.data.sets.listing import count_of, look, some, walk_images
from backbones.data.sets.splitting import Holdout, assemble, same_classes
from backbones.data.source import DataSource
from backbones.errors import BadData

LOOKS_LIKE = "ImageNet (train/n01440764/, and val/ in folders or flat with LOC_val_solution.csv)"

_WORDNET_ID = re.compile(r"n\d{8}")
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def recognise(folder: Path) -> bool:
    """Whether `train` holds folders that are all called by a WordNet id."""
    name = split_folders(folder).get("train")
    inner = look(folder / name).folders if name else ()
    return bool(inner) and all(_WORDNET_ID.fullmatch(each) for each in inner)


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read ImageNet's layout; classes are the WordNet ids of `train`, sorted.

    Raises:
        BadData: flat validation images without their labels, or classes that differ.
    """
    splits = split_folders(folder)
    listed = {"train": _in_folders(folder, splits["train"])}
    classes = sorted({label for _, label in listed["train"]})
    notes: list[str] = []
    for split in ("val", "test"):
        if split not in splits:
            continue
        name = splits[split]
        held = look(folder / name)
        if any(_WORDNET_ID.fullmatch(each) for each in held.folders):
            listed[split] = _in_folders(folder, name)
            names = {label for _, label in listed[split]}
            same_classes(str(folder), {"train": classes, split: names})
        elif split == "val" and held.images:
            listed[split] = _flat(folder, name, held.images, classes, notes)
        else:
            notes.append(f"{name}/ is left out: its images carry no class")
    return assemble("imagenet", folder, listed, holdout, notes)


def _in_folders(folder: Path, name: str) -> list[tuple[str, str]]:
    return [
        (f"{name}/{label}/{path}", label)
        for label in look(folder / name).folders
        if _WORDNET_ID.fullmatch(label)
        for path in walk_images(folder / name / label)[0]
    ]


def _flat(
    folder: Path, name: str, images: tuple[str, ...], classes: list[str], notes: list[str]
) -> list[tuple[str, str]]:
    source, labels = _val_labels(folder, folder / name, classes)
    missing = [each for each in images if Path(each).stem not in labels]
    if missing:
        raise BadData(
            f"{source} has no label for {count_of(len(missing), 'image')} of {folder / name}"
            f" ({some(missing)}); expected one line for each"
        )
    rows = [(f"{name}/{each}", labels[Path(each).stem]) for each in images]
    if unknown := sorted({label for _, label in rows} - set(classes)):
        raise BadData(
            f"{source} names {count_of(len(unknown), 'class')} that train does not have"
            f" ({some(unknown)}); expected the {len(classes):,} of the train folder"
        )
    notes.append(f"validation labels from {source.name}")
    return rows


def _val_labels(folder: Path, val: Path, classes: list[str]) -> tuple[Path, dict[str, str]]:
    """The label file that is found first, and file stem to WordNet id."""
    # Kaggle keeps the images in ILSVRC/Data/CLS-LOC, three folders below the label file.
    for place in (val, folder, *folder.resolve().parents[:3]):
        if (path := place / "LOC_val_solution.csv").is_file():
            with path.open(newline="", encoding="utf-8") as lines:
                rows = [row for row in csv.reader(lines) if len(row) >= 2][1:]
            return path, {row[0]: row[1].split()[0] for row in rows if row[1].strip()}
    for path in (val / "val.txt", folder / "val.txt"):
        if path.is_file():
            return path, _numbered(path, classes)
    seen = f"; {_GROUND_TRUTH} alone is not enough: its numbers have an order of their own"
    extra = seen if any((at / _GROUND_TRUTH).is_file() for at in (val, folder)) else ""
    raise BadData(
        f"{val} holds flat validation images without their labels; put LOC_val_solution.csv"
        f" or val.txt into {folder}, or sort them into folders by WordNet id{extra}"
    )


def _numbered(path: Path, classes: list[str]) -> dict[str, str]:
    """Read lines of file name and WordNet id, or of file name and class number from 0."""
    labels: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        value = words[-1]
        if len(words) == 2 and value.isdigit() and int(value) < len(classes):
            value = classes[int(value)]
        if len(words) != 2 or not _WORDNET_ID.fullmatch(value):
            raise BadData(
                f"{path} line {number} is {line[:60]!r}; expected a file name and a WordNet id,"
                f" or the number of a class from 0 to {len(classes) - 1}"
            )
        labels[Path(words[0]).stem] = value
    return labels
