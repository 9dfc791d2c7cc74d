"""Which shards a name means: a file, a folder, a pattern, a list in braces; here or elsewhere.

shards/                      every .tar or .parquet in it, in data/, train/, val/ and test/
train-{000..127}.tar         128 shards, each of which must be there
s3://bucket/train-*.tar      those that are there
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from backbones.data.remote import Stored, below, folders, listed, look
from backbones.data.sets.listing import of_the_system, split_of
from backbones.data.shards.index import READERS, SUFFIXES
from backbones.data.stores import is_address, plain
from backbones.errors import NotFound, WrongUse
from backbones.files import expanded

MANIFEST = "manifest.json"
"""What `pack_data` writes beside shards: how many images and bytes each has, and its SHA-256."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000  # shards in one list


@dataclass(frozen=True)
class Found:
    """The shards that a name means.

    Args:
        folder: that their names count from; a path or an address.
        shards: their files, by name.
        whole: whether they are all that the folder holds.
    """

    folder: str
    shards: tuple[Stored, ...]
    whole: bool = False

    def name(self, shard: Stored) -> str:
        """What messages call a shard: its path below the folder."""
        return plain(shard.place).removeprefix(plain(self.folder)).lstrip("/\\").replace("\\", "/")


def is_pattern(name: str) -> bool:
    """Whether a name that is no path of this machine stands for several shards.

    Example:
        >>> is_pattern("train-{000..127}.tar"), is_pattern("a/*.parquet"), is_pattern("a/*.jpg")
        (True, True, False)
    """
    shards = name.partition("?")[0] if is_address(name) else name
    return shards.lower().endswith(SUFFIXES) and bool(_BRACES.search(name) or _has_magic(name))


def expanded_braces(pattern: str) -> list[str]:
    """A list in braces written out, as a shell does it.

    Raises:
        WrongUse: more names than anybody has shards.

    Example:
        >>> expanded_braces("a-{08..10}.tar"), expanded_braces("{train,val}.tar")
        (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['train.tar', 'val.tar'])
    """
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    names = [
        done
        for inner in _inside(match[1])
        for done in expanded_braces(pattern[: match.start()] + inner + pattern[match.end() :])
    ]
    if len(names) > _MOST:
        raise WrongUse(f"{plain(pattern)} stands for more than {_MOST:,} shards")
    return names


def _inside(text: str) -> Iterable[str]:
    span = _RANGE.fullmatch(text)
    if span is None:
        return text.split(",")
    first, last = int(span[1]), int(span[2])
    if abs(last - first) >= _MOST:
        raise WrongUse(f"{{{text}}} stands for more than {_MOST:,} shards")
    step = 1 if first <= last else -1
    return [f"{number:0{len(span[1])}}" for number in range(first, last + step, step)]


def find_shards(where: str | Path) -> Found:
    """The shards that a name means; of a folder that has none, none.

    Args:
        where: a shard, a folder, or a pattern; a path or an address.

    Raises:
        NotFound: a shard that was named is not there, or a pattern meets none.
        DownloadFailed: a store gives no answer.
    """
    name = str(where) if is_address(where) else str(expanded(where))
    if is_pattern(name):
        shards = sorted(_matching(name), key=lambda each: each.place)
        return Found(_shared_folder([each.place for each in shards]), tuple(shards))
    if plain(name).lower().endswith(SUFFIXES):
        shard = look(name)
        return Found(_folder_of(shard.place), (shard,))
    return Found(name, tuple(_in_folder(name)), whole=True)


def _in_folder(folder: str) -> Iterator[Stored]:
    yield from _shards_of(listed(folder))
    for name in folders(folder):
        if name == "data" or split_of(name):
            yield from _shards_of(listed(below(folder, name)))


def _shards_of(files: Iterable[Stored]) -> Iterator[Stored]:
    for each in files:
        if each.name.lower().endswith(SUFFIXES) and not of_the_system(each.name):
            yield each


def _matching(pattern: str) -> list[Stored]:
    found: list[Stored] = []
    named: list[str] = []
    for name in expanded_braces(pattern):
        if not _has_magic(name):
            named.append(name)
        elif is_address(name):
            found.extend(_matching_at(name))
        else:
            found.extend(map(look, glob.glob(name, recursive=True)))
    found.extend(_each(named))
    if not found:
        raise NotFound(f"no shard matches {plain(pattern)}")
    return list({each.place: each for each in found}.values())


def _matching_at(pattern: str) -> list[Stored]:
    folder, _, last = pattern.rpartition("/")
    if _has_magic(folder):
        raise WrongUse(
            f"{plain(pattern)} has a pattern in the name of a folder; at an address only file"
            " names may have one"
        )
    return [each for each in listed(folder) if fnmatch.fnmatchcase(each.name, last)]


def _each(names: list[str]) -> list[Stored]:
    """The files that were named one by one; one listing of a store answers for many."""
    known: dict[str, Stored] = {}
    parents = {_folder_of(name) for name in names if is_address(name)}
    if len(names) > READERS * len(parents):
        for parent in parents:
            known |= {each.place: each for each in listed(parent)}
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda name: known.get(name) or look(name), names))


def _has_magic(name: str) -> bool:
    return bool(re.search(r"[*\[]", name) if is_address(name) else glob.has_magic(name))


def _folder_of(place: str) -> str:
    return place.rpartition("/")[0] if is_address(place) else str(Path(place).parent)


def _shared_folder(places: list[str]) -> str:
    """The folder that all shards lie in or below."""
    folders = [_folder_of(place) for place in places]
    if not is_address(places[0]):
        return os.path.commonpath(folders) or "."
    levels = zip(*(folder.split("/") for folder in folders), strict=False)
    return "/".join(each[0] for each in takewhile(lambda level: len(set(level)) == 1, levels))
