"""One folder of images that carry their class in the name: `cat.0.jpg`, `dog_12.jpg`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from backbones.data.sets.class_folders import split_folders
from backbones.data.sets.evidence import no_classes_in_names
from backbones.data.sets.listing import count_of, look, some
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.source import DataSource
from backbones.errors import BadData

LOOKS_LIKE = "one folder of images named class and number (cat.0.jpg, dog_12.jpg)"

_NAME = re.compile(r"(?P<label>.*?[^._\s-])[._\s-]+\(?\d")


def class_in_name(name: str) -> str | None:
    """The text before the first separator (`.`, `_`, `-` or blank) that a number follows.

    Example:
        >>> class_in_name("cat.0.jpg"), class_in_name("great_dane-07.jpg"), class_in_name("7.jpg")
        ('cat', 'great_dane', None)
    """
    match = _NAME.match(name)
    return match["label"] if match else None


def recognise(folder: Path) -> bool:
    """Whether the images' names hold two or more classes of two or more images."""
    try:
        _rows(_train_folder(folder), "", [])
    except BadData:
        return False
    return True


def doubt(folder: Path) -> str:
    """What is doubtful about the first words of the names as classes; nothing where all is well."""
    labels = {label for _, label in _rows(_train_folder(folder), "", [])}
    wrong = no_classes_in_names(labels)
    if not wrong:
        return ""
    return (
        f"the first words of the file names are no classes ({wrong}); sort the images into a"
        " folder a class, give a table (path,label), name the part of the path that is the class"
        " with --label-pattern REGEX, or say that they are classes: --layout flat-folder"
    )


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read a flat folder, or flat `train/`, `val/` and `test/` folders.

    A val or test folder whose names carry no class (a competition's) is left out with a note.

    Raises:
        BadData: a name without a class, or fewer than two classes of two or more.
    """
    notes = ["classes are the words before the number in the file names"]
    if _train_folder(folder) == folder:
        rows = _rows(folder, "", notes)
        return assemble("flat folder", folder, {"train": rows}, holdout, notes)
    listed = {}
    for split, name in split_folders(folder).items():
        try:
            listed[split] = _rows(folder / name, f"{name}/", notes)
        except BadData:
            if split == "train":
                raise
            notes.append(f"{name}/ is left out: its file names carry no class")
    known = {label for _, label in listed["train"]}
    for split, rows in listed.items():
        if strange := sorted({label for _, label in rows} - known):
            raise BadData(
                f"the classes of train and {split} in {folder} differ:"
                f" {split} alone has {some(strange)}; rename those files"
            )
    return assemble("flat folder", folder, listed, holdout, notes)


def _train_folder(folder: Path) -> Path:
    if look(folder).images:
        return folder
    name = split_folders(folder).get("train")
    return folder / name if name else folder


def _rows(folder: Path, prefix: str, notes: list[str]) -> list[tuple[str, str]]:
    held = look(folder)
    labels = {name: class_in_name(name) for name in held.images}
    if nameless := [name for name, label in labels.items() if label is None]:
        raise BadData(
            f"{folder} has {count_of(len(nameless), 'image')} without a class in the name"
            f" ({some(nameless)}); expected names such as cat.0.jpg"
        )
    counts = Counter(labels.values())
    single = [str(label) for label, number in counts.items() if number < 2]
    if len(counts) < 2 or single:
        raise BadData(
            f"{folder} has the classes {some(sorted(map(str, counts))) or 'none'} in its file names"
            " (the text before the first number); expected two or more, each in two or more names"
            + (f", but there is one image only of {some(sorted(single))}" if single else "")
        )
    if held.others:
        what = count_of(len(held.others), "file")
        notes.append(f"{what} in {prefix or './'} left out: not an image by its extension")
    return [(prefix + name, str(label)) for name, label in labels.items()]
