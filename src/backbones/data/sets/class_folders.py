"""One folder a class: `cat/ dog/`, or the same below `train/`, `val/` and `test/`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from backbones.data.sets.evidence import are_parts_of_images, no_classes_in_folders
from backbones.data.sets.listing import (
    count_of,
    has_image,
    look,
    some,
    split_of,
    splits_by_one_word,
    walk_images,
)
from backbones.data.sets.splitting import Holdout, assemble, same_classes
from backbones.data.sets.tables import is_sheet_name, is_table_name
from backbones.data.source import DataSource
from backbones.errors import BadData
from backbones.text import same_name


def recognise(folder: Path) -> bool:
    """Whether images lie in two or more folders, or in the folders of a `train` or `val`."""
    if recognise_splits(folder):
        return True
    # `train` and `test` alone are splits
    classes = _classes(folder)
    return len(classes) >= 2 and not set(classes) <= set(split_folders(folder).values())


def recognise_splits(folder: Path) -> bool:
    """Whether class folders lie in the folders of a `train`, `val` or `test`."""
    return bool(_class_splits(folder))


def doubt(folder: Path) -> str:
    """What is doubtful about taking the folders' names for classes; nothing where all is well."""
    splits = _class_splits(folder)
    classes = _classes(folder)
    known = split_folders(folder).values()
    words = [name for name in classes if split_of(name) or name in known]
    beside = [name for name in classes if name not in words]
    if splits and beside and not _surely_splits(folder, splits, beside):
        return (
            f"{some(words)} may name a split, with the classes {some(_classes(folder / words[0]))},"
            f" or a class beside {some(beside)}; say which: --layout split-folders or"
            " --layout class-folders"
        )
    if not splits and words:
        return (
            f"{some(words)} may be a split, or a class beside {some(beside)}; rename it, or say"
            " that each folder is a class: --layout class-folders"
        )
    places = [folder / place for place in splits.values()] or [folder]
    names = [_classes(place) for place in places]
    if wrong := no_classes_in_folders(names[0]) or _doubt_below(places):  # others are compared
        return (
            f"the folders {some(sorted({*chain(*names)}))} {wrong}; give a table (path,label),"
            " name the part of the path that is the class with --label-pattern REGEX, or say that"
            f" they are classes: --layout {'split' if splits else 'class'}-folders"
        )
    return ""


def _doubt_below(places: Sequence[Path]) -> str:
    """What is wrong with what lies in class folders; nothing where all is well."""
    held = [(name, look(place / name)) for place in places for name in _classes(place)]
    for name, inside in held:
        if are_parts_of_images(inside.folders):
            return f"hold images and what belongs to each ({name}/: {some(inside.folders)})"
    inner = [_classes(place / name) for place in places[:1] for name in _classes(place)]
    words = [name for names in inner for name in names]
    if (
        not any(inside.images for _, inside in held)
        and min(map(len, inner), default=0) > 1
        and not any(map(str.isdigit, "".join(words)))
        and not any(map(split_of, words))
    ):
        return f"hold folders that may be the classes ({some(sorted(set(words)))})"
    return ""


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read class folders; a class is called what its folder is called.

    Raises:
        BadData: the splits' classes differ, or there are fewer than two.
    """
    splits = _class_splits(folder)
    known = split_folders(folder).values()
    beside = [name for name in _classes(folder) if not split_of(name) and name not in known]
    if splits and (not beside or _surely_splits(folder, splits, beside)):
        return read_splits(folder, holdout)
    _refuse_sets(folder)
    notes: list[str] = []
    rows = _rows(folder, "", notes)
    return assemble("class folders", folder, {"train": rows}, holdout, notes)


def read_splits(folder: Path, holdout: Holdout) -> DataSource:
    """Read `train/`, `val/` and `test/` folders that hold class folders.

    Raises:
        BadData: there are none, the splits' classes differ, or there are fewer than two.
    """
    splits = _class_splits(folder)
    if not splits:
        raise BadData(f"{folder} holds no train, val or test folder with class folders in it")
    notes: list[str] = []
    listed = {}
    names: dict[str, set[str]] = {}
    for split, name in splits.items():
        listed[split] = rows = _rows(folder / name, f"{name}/", notes)
        names[split] = {label for _, label in rows}
        # an empty class folder says that the class is known, and that this split has none of it
        known_here = set(map(same_name, look(folder / name).folders))
        names[split] |= known_here & next(iter(names.values()))
    for split, name in split_folders(folder).items():
        if split not in splits:
            notes.append(f"{name}/ is left out: it has no class folders")
    same_classes(str(folder), names)
    known = split_folders(folder).values()
    beside = [name for name in look(folder).folders if name not in known]
    if beside:
        notes.append(f"left out beside the splits: {some(beside)}")
    return assemble("class folders", folder, listed, holdout, notes)


def recognise_inner_splits(folder: Path) -> bool:
    """Whether every class folder holds the same split folders, which hold images themselves."""
    classes = _classes(folder)
    inner = [split_folders(folder / name) for name in classes]
    return (
        len(classes) >= 2
        and all("train" in splits and len(splits) > 1 for splits in inner)
        and all(splits.keys() == inner[0].keys() for splits in inner)
        and all(
            not _classes(folder / name / place)
            for name, splits in zip(classes, inner, strict=True)
            for place in splits.values()
        )
    )


def read_inner_splits(folder: Path, holdout: Holdout) -> DataSource:
    """Read class folders that hold `train/`, `val/` and `test/` each.

    Raises:
        BadData: a class has other folders than these.
    """
    notes = ["the splits are inside the class folders"]
    listed: dict[str, list[tuple[str, str]]] = {}
    for name in _classes(folder):
        splits = split_folders(folder / name)
        if not splits:
            raise BadData(f"{folder / name} holds no train, val or test folder")
        for split, place in splits.items():
            paths = walk_images(folder / name / place)[0]
            rows = [(f"{name}/{place}/{path}", name) for path in paths]
            listed.setdefault(split, []).extend(rows)
        beside = [each for each in _classes(folder / name) if each not in splits.values()]
        if loose := [*look(folder / name).images, *beside]:
            notes.append(f"left out beside the splits of {name}: {some(loose)}")
    return assemble("class folders", folder, listed, holdout, notes)


def split_folders(folder: Path) -> dict[str, str]:
    """The folders that are named as splits are: split to folder name, "train" first.

    Where two folders stand for one split (`test` and `test1`), the shorter name counts. Folders
    that differ in such a word alone (`seg_train`, `seg_test`) are splits where no others are.
    """
    found: dict[str, str] = {}
    for name in sorted(look(folder).folders, key=lambda name: (len(name), name)):
        split = split_of(name)
        if split and split not in found:
            found[split] = name
    if not found and len(by_word := splits_by_one_word(look(folder).folders)) == 1:
        (found,) = by_word.values()
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _surely_splits(folder: Path, splits: dict[str, str], beside: list[str]) -> bool:
    """Whether the split folders are no classes, whatever other folders lie beside them."""
    if "train" not in splits:
        return False
    inner = set(_classes(folder / splits["train"]))
    return len(splits) > 1 or not any(inner & set(look(folder / name).folders) for name in beside)


def _refuse_sets(folder: Path) -> None:
    """A folder of data sets is not one: its members' train and val would become one class."""
    for name in _classes(folder):
        inner = split_folders(folder / name)
        if len(inner) >= 2 and "train" in inner:
            raise BadData(
                f"{folder} would have the class {name!r}, which holds {some(list(inner.values()))}"
                " folders of its own. If it is a set, open it alone; if it is a class, every class"
                " needs such folders, with the images in them"
            )


def _class_splits(folder: Path) -> dict[str, str]:
    """The split folders that hold class folders, unless `train` is there and holds none."""
    splits = split_folders(folder)
    inmost = {split: _inmost(folder, name) for split, name in splits.items()}
    found = {split: place for split, place in inmost.items() if _classes(folder / place)}
    return found if "train" in found or "train" not in splits else {}


def _inmost(folder: Path, place: str) -> str:
    """A split folder, or the one of the same name that it holds alone, as unpacking leaves it."""
    name = place
    while (held := look(folder / place)).folders == (name,) and not held.images:
        place += "/" + name
    return place


def _classes(folder: Path) -> list[str]:
    return [name for name in look(folder).folders if has_image(folder / name)]


def _rows(folder: Path, prefix: str, notes: list[str]) -> list[tuple[str, str]]:
    """The (path, class) pairs of one split; what is left out goes to the notes."""
    held = look(folder)
    rows: list[tuple[str, str]] = []
    empty: list[str] = []
    left_out = len(held.others)
    for name in held.folders:
        try:
            paths, others = walk_images(folder / name)
        except OSError as error:
            notes.append(f"{prefix}{name}/ is left out: {error.strerror or error}")
            continue
        left_out += others
        rows.extend((f"{prefix}{name}/{path}", same_name(name)) for path in paths)
        if not paths:
            empty.append(prefix + name)
    if empty:
        notes.append(f"folders without images: {some(empty)}")
    if tables := [name for name in held.others if is_table_name(name) or is_sheet_name(name)]:
        notes.append(f"not read as labels: {some(tables)}")
    if left_out:
        what = count_of(left_out, "file")
        notes.append(f"{what} below {prefix or './'} left out: not an image by its extension")
    if held.images:
        what = count_of(len(held.images), "image")
        notes.append(f"{what} directly in {prefix or './'} left out: in no class folder")
    return rows
