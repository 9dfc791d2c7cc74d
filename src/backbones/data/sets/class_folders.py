"""One folder a class: `cat/ dog/`, or the same below `train/`, `val/` and `test/`."""

from __future__ import annotations

from pathlib import Path

from backbones.data.sets.listing import count_of, has_picture, look, some, split_of, walk_pictures
from backbones.data.sets.splitting import Holdout, assemble, same_classes
from backbones.data.source import DataSource
from backbones.errors import BadData

LOOKS_LIKE = "class folders (cat/ dog/), or train/ and val/ holding them"


def recognise(folder: Path) -> bool:
    """Whether pictures lie in two or more folders, or in the folders of a `train` or `val`."""
    if _class_splits(folder):
        return True
    # `train` can be a class beside `car` and `plane`; but `train` and `test` alone are splits
    classes = _classes(folder)
    return len(classes) >= 2 and not set(classes) <= set(split_folders(folder).values())


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read class folders; a class is called what its folder is called.

    Raises:
        BadData: the splits' classes differ, or there are fewer than two.
    """
    splits = _class_splits(folder)
    notes: list[str] = []
    if not splits:
        _refuse_sets(folder)
        rows = _rows(folder, "", notes)
        return assemble("class folders", folder, {"train": rows}, holdout, notes)
    listed = {}
    names: dict[str, set[str]] = {}
    for split, name in splits.items():
        listed[split] = rows = _rows(folder / name, f"{name}/", notes)
        names[split] = {label for _, label in rows}
        # an empty class folder says that the class is known, and that this split has none of it
        names[split] |= set(look(folder / name).folders) & next(iter(names.values()))
    for split, name in split_folders(folder).items():
        if split not in splits:
            notes.append(f"{name}/ is left out: it has no class folders")
    same_classes(str(folder), names)
    known = split_folders(folder).values()
    beside = [name for name in look(folder).folders if name not in known]
    if beside:
        notes.append(f"left out beside the splits: {some(beside)}")
    return assemble("class folders", folder, listed, holdout, notes)


def split_folders(folder: Path) -> dict[str, str]:
    """The folders that are named as splits are: split to folder name, "train" first.

    Where two folders stand for one split (`test` and `test1`), the shorter name counts.
    """
    found: dict[str, str] = {}
    for name in sorted(look(folder).folders, key=lambda name: (len(name), name)):
        split = split_of(name)
        if split and split not in found:
            found[split] = name
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _refuse_sets(folder: Path) -> None:
    """A folder of data sets is not one: its members' train and val would become one class."""
    for name in _classes(folder):
        inner = split_folders(folder / name)
        if len(inner) >= 2 and "train" in inner:
            raise BadData(
                f"{folder} would have the class {name!r}, which holds {some(list(inner.values()))}"
                f" folders of its own; open one set, such as {folder / name}"
            )


def _class_splits(folder: Path) -> dict[str, str]:
    """The split folders that hold class folders, unless `train` is there and holds none."""
    splits = split_folders(folder)
    found = {split: name for split, name in splits.items() if _classes(folder / name)}
    return found if "train" in found or "train" not in splits else {}


def _classes(folder: Path) -> list[str]:
    return [name for name in look(folder).folders if has_picture(folder / name)]


def _rows(folder: Path, prefix: str, notes: list[str]) -> list[tuple[str, str]]:
    """The (path, class) pairs of one split; what is left out goes to the notes."""
    held = look(folder)
    rows: list[tuple[str, str]] = []
    empty: list[str] = []
    left_out = len(held.others)
    for name in held.folders:
        try:
            paths, others = walk_pictures(folder / name)
        except OSError as error:
            notes.append(f"{prefix}{name}/ is left out: {error.strerror or error}")
            continue
        left_out += others
        rows.extend((f"{prefix}{name}/{path}", name) for path in paths)
        if not paths:
            empty.append(prefix + name)
    if empty:
        notes.append(f"folders without pictures: {some(empty)}")
    if left_out:
        what = count_of(left_out, "file")
        notes.append(f"{what} below {prefix or './'} left out: not a picture by its extension")
    if held.pictures:
        what = count_of(len(held.pictures), "picture")
        notes.append(f"{what} directly in {prefix or './'} left out: in no class folder")
    return rows
