"""Where images to predict come from: files, folders, patterns, archives, tables, standard input.

What is named is looked up before any work begins; images are read one after the other.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from backbones.classifier.archives import ARCHIVES, Waiting, count_in, images_in, nothing_in
from backbones.classifier.fetched import FetchedFile, FetchedShard, at_address
from backbones.classifier.tables import SUFFIX as TABLE
from backbones.classifier.tables import count_in_table, images_in_table, nothing_in_table
from backbones.data.files import MAX_FILE_BYTES, read_bytes
from backbones.data.sets.listing import (
    is_image_name,
    look,
    of_the_system,
    walk_images,
)
from backbones.data.shards.finding import expanded_braces, is_pattern
from backbones.data.stores import is_address
from backbones.errors import BadData, NotFound, WrongUse, nearest_file
from backbones.text import decoded

_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"qoif"),
    *(b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)


@dataclass(frozen=True)
class Inputs:
    """All images that were asked for.

    Args:
        parts: one per file, archive or table, in order.
    """

    parts: tuple[_Part, ...]

    @cached_property
    def num_images(self) -> int:
        """How many there are; a tar file counts as one, for it has no index."""
        return sum(part.count() for part in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """What the files, archives and tables are called."""
        return tuple(part.name for part in self.parts)

    def __iter__(self) -> Iterator[Waiting]:
        for part in self.parts:
            yield from part.images()

    def shards(self, num_files: int) -> Iterator[Inputs]:
        """The same in pieces that can be answered apart.

        Args:
            num_files: that lie one by one, in a piece; an archive or a table is one by itself.

        Raises:
            WrongUse: standard input is among them, which no other process can read.
        """
        for kind, group in groupby(self.parts, type):
            if kind is _Bytes:
                raise WrongUse("- is one image of standard input, which cannot be divided")
            parts = list(group)
            most = num_files if kind in (_File, FetchedFile) else 1
            for first in range(0, len(parts), most):
                yield Inputs(tuple(parts[first : first + most]))


@dataclass(frozen=True)
class _File:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def count(self) -> int:
        return 1

    def images(self) -> Iterator[Waiting]:
        yield Waiting(str(self.path), lambda: read_bytes(self.path))


@dataclass(frozen=True)
class _Bytes:
    name: str
    data: bytes

    def count(self) -> int:
        return 1

    def images(self) -> Iterator[Waiting]:
        yield Waiting(self.name, lambda: self.data)


@dataclass(frozen=True)
class _Archive:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def count(self) -> int:
        return count_in(self.path)

    def nothing(self) -> str:
        return nothing_in(self.path)

    def images(self) -> Iterator[Waiting]:
        return images_in(self.path)


@dataclass(frozen=True)
class _Table:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def count(self) -> int:
        return count_in_table(self.path)

    def nothing(self) -> str:
        return nothing_in_table(self.path)

    def images(self) -> Iterator[Waiting]:
        return images_in_table(self.path)


_Part = _File | _Bytes | _Archive | _Table | FetchedShard | FetchedFile


def find_inputs(inputs: Sequence[str | Path], *, stdin: BinaryIO | None = None) -> Inputs:
    """Look up everything that was named, before any image is read.

    Args:
        inputs: files; folders (every image below, sorted by path; where there is none, the
            archives and tables that lie in it); patterns such as `photos/**/*.jpg`; .zip and .tar
            archives, compressed or not (every image in them, in their own order); Parquet tables
            with a column of image files; lists in braces (`shards/{000..127}.tar`); addresses
            such as `s3://bucket/shards/*.tar` of shards or one image; `-` for standard input, which
            holds one image or else a list of any of these, a line each or separated by NUL.
        stdin: standard input; needed for `-`.

    Raises:
        NotFound: a file, folder, archive or pattern that is not there, or holds no image.
        WrongUse: nothing was named, or `-` without standard input.
    """
    parts: list[_Part] = []
    for each in inputs:
        parts.extend(_standard_input(stdin) if str(each) == "-" else _named(str(each)))
    if not parts:
        raise WrongUse("no images were named; expected files, folders, patterns, archives or -")
    return Inputs(tuple(parts))


def _named(name: str) -> Iterator[_Part]:
    path = Path(name)
    if is_address(name):
        yield from at_address(name)
    elif is_pattern(name) and (names := expanded_braces(name)) != [name]:
        for each in names:
            yield from _named(each)
    elif path.is_dir():
        found, others = walk_images(path)
        shards = [] if found else list(_shards_in(path))
        if not found and not shards:
            raise NotFound(
                f"{name} holds no images ({others} other files); expected files such as .jpg"
            )
        yield from (_File(path / inside) for inside in found)
        yield from shards
    elif (packed := _packed(path)) is not None and path.is_file():
        if reason := packed.nothing():
            raise NotFound(f"{name} {reason}")
        yield packed
    elif os.path.lexists(path):
        yield _File(path)
    elif glob.has_magic(name):
        yield from _matching(name)
    else:
        folder = path.parent
        beside = sorted(os.listdir(folder)) if folder.is_dir() else []
        raise NotFound(f"there is no file or folder {name}." + nearest_file(path.name, beside))


def _shards_in(folder: Path) -> Iterator[_Archive | _Table]:
    """The archives and tables of a folder that have images in them."""
    for name in look(folder).others:
        packed = _packed(folder / name)
        if packed is not None and not packed.nothing():
            yield packed


def _packed(path: Path) -> _Archive | _Table | None:
    """A file that holds many images, by its name; None for any other."""
    if path.name.lower().endswith(ARCHIVES):
        return _Archive(path)
    return _Table(path) if path.suffix.lower() == TABLE else None


def _matching(pattern: str) -> Iterator[_Part]:
    """Images, archives, tables and folders that match; other files are passed over."""
    found = False
    said = Path(pattern).parts
    for name in sorted(glob.glob(pattern, recursive=True)):
        if any(of_the_system(part) and part not in said for part in Path(name).parts):
            continue
        if os.path.isdir(name):
            # `**` lists the folders and their files alike; each image is wanted once.
            if "**" not in pattern and walk_images(Path(name))[0]:
                found = True
                yield from _named(name)
        elif (packed := _packed(Path(name))) is not None:
            if not packed.nothing():
                found = True
                yield packed
        elif is_image_name(name):
            found = True
            yield from _named(name)
    if not found:
        raise NotFound(f"no image matches {pattern}")


def _standard_input(stdin: BinaryIO | None) -> Iterator[_Part]:
    if stdin is None:
        raise WrongUse("- reads standard input, and there is none here; name files instead")
    data = stdin.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise WrongUse(f"standard input holds more than {MAX_FILE_BYTES // 2**20} MiB")
    if not data:
        raise WrongUse("standard input is empty; expected an image or a list of paths")
    listed = None if _looks_like_an_image(data) else _as_text(data)
    if listed is None:
        yield _Bytes("-", data)
        return
    separator = "\0" if "\0" in listed else None
    names = listed.split("\0") if separator else listed.splitlines()
    for name in names:
        if name.strip():
            yield from _named(name if separator else name.strip())


def _looks_like_an_image(data: bytes) -> bool:
    riff = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return riff or data[4:8] == b"ftyp" or data.startswith(_SIGNATURES)


def _as_text(data: bytes) -> str | None:
    """A list of paths; None where it is none. File names may be bytes of any kind."""
    try:
        return decoded(data, "standard input")
    except BadData:
        listed = os.fsdecode(data)
        first = listed.replace("\0", "\n").split("\n", 1)[0].strip("\r")
        return listed if first and os.path.lexists(first) else None
