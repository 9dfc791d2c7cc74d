"""Which files below a folder are images, in an order that no file system decides."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# HEIC is listed although nothing here decodes it: a quarantined file is seen, a skipped one not.
IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".webp",
        ".avif",
        ".heic",
        ".heif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".qoi",
        ".ico",
        ".icns",
        ".mpo",
        ".pcx",
        ".sgi",
        ".tga",
        ".psd",
        ".dds",
    ]
)

# Folders and files that systems, cameras, file servers and tools leave behind, without case. What
# begins with a dot (.DS_Store, .Trash-1000, .ipynb_checkpoints, .snapshot) is passed over as well.
_OF_THE_SYSTEM = frozenset(
    [
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "network trash folder"),
        *("temporary items", "$recycle.bin", "recycler", "recycled", "$getcurrent"),
        *("system volume information", "found.000", "lost+found", "lost.dir", "msdownld.tmp"),
        *("@eadir", "@tmp", "@recycle", "@recycler", "@sharebin", "@syno", "@__thumb"),
        *(
            "#recycle",
            "#snapshot",
            "#trash",
            "~snapshot",
            "__pycache__",
            "lightroom previews.lrdata",
        ),
    ]
)
_SPLIT_NAMES = {
    "train": ("train", "training", "trn", "训练"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "验证"),
    "test": (
        *("test", "testing", "tst", "holdout", "hold-out", "hold_out", "heldout", "held_out"),
        "测试",
    ),
}


@dataclass(frozen=True)
class Folder:
    """What one folder holds, without what is hidden.

    Args:
        images: names whose extension is an image's, sorted; also those that no image can be
            read from (a named pipe, a link that leads nowhere): reading them tells the reason.
        others: names of all other regular files, sorted.
        folders: names of the folders in it, sorted.
    """

    images: tuple[str, ...]
    others: tuple[str, ...]
    folders: tuple[str, ...]


def look(folder: Path) -> Folder:
    """List one folder; what `of_the_system` knows is not there."""
    images: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if of_the_system(entry.name):
                continue
            if _is(entry.is_dir):
                folders.append(entry.name)
            elif is_image_name(entry.name):
                images.append(entry.name)
            elif _is(entry.is_file):
                others.append(entry.name)
    return Folder(tuple(sorted(images)), tuple(sorted(others)), tuple(sorted(folders)))


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is of a kind; a link that leads to itself is of none."""
    try:
        return kind()
    except OSError:
        return False


def has_image(folder: Path) -> bool:
    """Whether there is any image below a folder; stops at the first."""
    try:
        return any(held.images for _, held in _walk(folder))
    except OSError:  # the folder itself cannot be listed
        return False


def walk_images(folder: Path) -> tuple[list[str], int]:
    """All images below a folder.

    A folder below that cannot be listed stands among them: reading it tells the reason, as for
    every other file that cannot be read.

    Returns:
        Their paths relative to `folder`, with forward slashes, sorted, and the number of files
        that are left out because their extension is not an image's.
    """
    found: list[str] = []
    others = 0
    for prefix, held in _walk(folder):
        found.extend((prefix + name).rstrip("/") for name in held.images)
        others += len(held.others)
    return sorted(found), others


def _walk(folder: Path) -> Iterator[tuple[str, Folder]]:
    """Each folder below, itself included: its path with a slash behind, and what it holds."""
    pending = [("", folder)]
    seen = {os.path.realpath(folder)}
    while pending:
        prefix, here = pending.pop()
        try:
            held = look(here)
        except OSError:
            if not prefix:
                raise
            held = Folder(("",), (), ())  # its own path, which cannot be read either
        yield prefix, held
        for name in held.folders:
            real = os.path.realpath(here / name)
            if real not in seen:  # a link may lead back up
                seen.add(real)
                pending.append((f"{prefix}{name}/", here / name))


def of_the_system(name: str) -> bool:
    """Whether a file or folder is hidden, or belongs to a system and not to a person's data.

    Example:
        >>> of_the_system("@eaDir"), of_the_system(".DS_Store"), of_the_system("cat")
        (True, True, False)
    """
    return name.startswith(".") or name.lower() in _OF_THE_SYSTEM


def is_image_name(name: str) -> bool:
    """Whether a file's extension is an image's."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def split_of(name: str) -> str | None:
    """The split that a folder's name or a manifest's word stands for.

    Example:
        >>> split_of("Valid"), split_of("test1"), split_of("train_images"), split_of("cats")
        ('val', 'test', 'train', None)
    """
    bare = re.sub(
        r"([_\W]*(set|data|images?|imgs?|images|photos|集|\d))+$", "", name.strip().lower()
    )
    return next((split for split, words in _SPLIT_NAMES.items() if bare in words), None)


def splits_by_one_word(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Names that differ in a word for a split alone: what they share, to split, to name.

    Example:
        >>> splits_by_one_word(["seg_train", "seg_test", "freight train"])
        {'seg': {'test': 'seg_test', 'train': 'seg_train'}}
    """
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        words = re.split(r"[\s_.-]+", name.lower())
        for word, rest in ((words[-1], words[:-1]), (words[0], words[1:])):
            if rest and (split := split_of(word)):
                found.setdefault(" ".join(rest), {}).setdefault(split, name)
                break
    return {rest: splits for rest, splits in found.items() if "train" in splits and len(splits) > 1}


def count_of(number: int, thing: str) -> str:
    """A number and its noun.

    Example:
        >>> count_of(1, "file"), count_of(1200, "class")
        ('1 file', '1,200 classes')
    """
    plural = thing if number == 1 else thing + ("es" if thing.endswith("s") else "s")
    return f"{number:,} {plural}"


def some(names: list[str] | tuple[str, ...], limit: int = 4) -> str:
    """The first few names of a list, and how many more there are.

    Example:
        >>> some(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    if len(names) <= limit:
        return ", ".join(names)
    return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
