"""Which image an id means: a file's name or its path, with or without the extension."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from backbones.data.sets.listing import is_image_name, split_of
from backbones.text import same_name


class Places:
    """Finds images by what tables call them.

    Args:
        paths: of all images that can be meant.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for path in paths:
            plain = PurePosixPath(same_name(path.replace("\\", "/")))
            self._by_name.setdefault(plain.name, []).append(path)
            self._by_stem.setdefault(plain.stem, []).append(path)
            if _counts(plain.stem):
                self._by_number.setdefault(int(plain.stem), []).append(path)

    def find(self, id_: str) -> list[str]:
        """The paths of the images: one where all is well.

        An id with slashes is the end of a path; the file's own name comes before its stem, and
        then the same number with other zeros in front, which spreadsheets take away.

        Example:
            >>> Places(["a/1.jpg", "b/2.jpg"]).find("2"), Places(["a/1.jpg", "b/1.jpg"]).find("b/1")
            (['b/2.jpg'], ['b/1.jpg'])
        """
        id_ = same_name(id_)
        last = PurePosixPath(id_).name
        exact, stems = self._by_name.get(last, []), self._by_stem.get(last, [])
        if "/" not in id_:
            numbers = self._by_number.get(int(id_), []) if _counts(id_) else []
            return exact or stems or numbers
        tail = "/" + id_.removeprefix("./").lstrip("/")
        return [path for path in exact if _below_root(path).endswith(tail)] or [
            path for path in stems if _below_root(path).rpartition(".")[0].endswith(tail)
        ]


def _counts(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 20


def _below_root(path: str) -> str:
    return "/" + same_name(path.replace("\\", "/")).lstrip("/")


class Finder:
    """Finds the images below a folder by what a table calls them.

    Args:
        root: the folder that is read.
        base: where the table lies below it, with a slash behind; or nothing.
        paths: of all images below the root.
    """

    def __init__(self, root: Path, base: str, paths: Sequence[str]) -> None:
        self._root, self._base = root, base
        self._paths = [path for path in paths if path.startswith(base)]
        self._known = frozenset(self._paths)

    @cached_property
    def _places(self) -> Places:
        return Places(self._paths)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {same_name(path).casefold(): path for path in self._paths}

    def of(self, cells: Sequence[str], split: str = "") -> Callable[[str], list[str]]:
        """How to find what a column names; see `manifest.Listing.find`."""
        sample = [cell for cell in cells[:: max(1, len(cells) // 50)] if cell]
        depth = max((plain(cell).count("/") for cell in sample), default=0)
        for skip in range(depth + 1):  # the paths may count from a folder above
            if 2 * sum(bool(self._look(cell, skip)) for cell in sample) >= len(sample):
                return lambda cell: self._find(cell, skip, split)
        return lambda cell: self._find(cell, 0, split)

    def _find(self, cell: str, skip: int, split: str) -> list[str]:
        found = self._look(cell, skip)
        if len(found) > 1:  # train/1.jpg and test/1.jpg
            inside = [path for path in found if split_in(path) == (split or "train")]
            return inside if len(inside) == 1 else found
        return found

    def _look(self, cell: str, skip: int) -> list[str]:
        """The images at the end of a path, so many folders of which are left out."""
        name = "/".join(plain(cell).lstrip("./").split("/")[skip:])
        found = (self._exact(cell, skip) or self._places.find(name)) if name else []
        if not found and is_image_name(name):  # .JPG for .jpg, or .png for .jpg
            found = self._places.find(os.path.splitext(name)[0])
        return found

    def _exact(self, cell: str, skip: int) -> list[str]:
        parts = plain(cell).split("/")
        if skip and len(parts) <= skip:
            return []
        path = posixpath.normpath(self._base + "/".join(parts[skip:]))
        if path in self._known:
            return [path]
        if other := self._folded.get(same_name(path).casefold()):
            return [other]
        whole = self._root / path
        return [path] if os.path.lexists(whole) and not os.path.isdir(whole) else []


def plain(cell: str) -> str:
    """A path of a table in one spelling: forward slashes, without `.` and `..` inside."""
    return posixpath.normpath(cell.replace("\\", "/"))


def split_in(path: str) -> str:
    """The split that a path's folders name, or nothing."""
    return next(filter(None, map(split_of, path.split("/")[:-1])), "")
