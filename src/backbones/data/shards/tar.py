"""Tar shards as WebDataset writes them: files of one sample share their name up to its first dot.

    000017.jpg  000017.cls  000017.json

The label is what `.json` calls the class, else `.cls`, else the label of `.json`, else `.txt`.
Nothing is skipped silently: headers that are damaged, an image that is cut off and a missing end
are named. Reading goes on behind a damaged header.

Reference:
    POSIX.1-2017, pax, "ustar Interchange Format"; WebDataset's file format, version 1.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from backbones.data.ranges import open_ranges
from backbones.data.remote import Stored
from backbones.data.sets.listing import is_image_name, of_the_system
from backbones.data.shards.index import ShardIndex, Words, damaged_shard
from backbones.text import archived_name

BLOCK_BYTES = 4 * 2**20
"""Images of a shard that is far away are fetched in parts of about this size."""

_RECORD = tarfile.BLOCKSIZE
_LABEL_BYTES = 2**20  # of a file with a label or facts; more is no label
_ZEROS_AT_END = 2 * 2**20  # more than any program fills its last block with
_CLASS_FIELDS = ("class_name", "label_name", "classname", "labelname", "category_name")
_LABEL_FIELDS = ("label", "class", "cls", "category", "target", "class_id", "label_id")


@dataclass
class _Sample:
    """The files of one name.

    Args:
        key: the name that they share.
        images: their images: name, first byte, bytes.
        texts: what the files beside them say, by extension.
    """

    key: str
    images: list[tuple[str, int, int]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)


def read_index(shard: Stored) -> ShardIndex:
    """Go through the headers of a tar, and read its labels.

    Raises:
        DownloadFailed: its store gives no answer.
    """
    damaged: list[tuple[str, str]] = []
    names: list[str] = []
    labels: list[str] = []
    spans: list[tuple[int, int]] = []
    try:
        with open_ranges(shard) as file:
            for sample in _samples(file, shard, damaged):
                label = _label(sample, damaged)
                for name, start, size in sample.images:
                    names.append(name)
                    labels.append(label)
                    spans.append((start, size))
    except (tarfile.TarError, OSError) as error:
        if not names:
            return damaged_shard(shard.name, f"it is no tar that can be read: {error}")
        damaged.append((shard.name, f"it cannot be read to its end: {error}"))
    starts, sizes = np.array(spans, dtype=np.int64).reshape(-1, 2).T.copy()
    return ShardIndex(
        tuple(names),
        starts,
        sizes,
        starts // BLOCK_BYTES,
        Words.of(labels),
        Words.of([""] * len(names)),
        tuple(damaged),
    )


def holds_images(shard: Stored, look_at: int = 64) -> bool:
    """Whether there is an image among the first files of a tar."""
    try:
        with open_ranges(shard) as file, _opened(file) as archive:
            for _ in range(look_at):
                member = archive.next()
                if member is None:
                    break
                if member.isreg() and is_image_name(member.name):
                    return True
    except (tarfile.TarError, OSError):
        pass
    return False


def _opened(file: IO[bytes]) -> tarfile.TarFile:
    # zeros and damaged headers are passed over, and looked at afterwards
    return tarfile.open(
        fileobj=file, mode="r:", ignore_zeros=True, encoding="utf-8", errors="surrogateescape"
    )


def _samples(file: IO[bytes], shard: Stored, damaged: list[tuple[str, str]]) -> Iterator[_Sample]:
    sample = _Sample("")
    for member in _members(file, shard, damaged):
        name = _name(member)
        folder, _, last = name.rpartition("/")
        stem, _, extension = last.partition(".")
        if of_the_system(last):
            continue
        if (key := posixpath.join(folder, stem)) != sample.key:
            yield sample
            sample = _Sample(key)
        if member.offset_data + member.size > shard.size:
            damaged.append((f"{shard.name}/{name}", "cut off: the shard ends in it"))
        elif is_image_name(name):
            sample.images.append((name, member.offset_data, member.size))
        elif member.size <= _LABEL_BYTES and extension.lower() in ("cls", "json", "txt"):
            here = file.tell()
            file.seek(member.offset_data)
            sample.texts[extension.lower()] = file.read(member.size)
            file.seek(here)
    yield sample


def _members(
    file: IO[bytes], shard: Stored, damaged: list[tuple[str, str]]
) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar, and what lies between and behind them that should not."""
    end = 0
    with _opened(file) as archive:
        while True:
            try:
                member = archive.next()
            except tarfile.ReadError:  # the file ends in what the last header announced
                break
            if member is None:
                break
            archive.members.clear()  # type: ignore[attr-defined]  # all of them would be kept
            if gap := _gap(file, end, member.offset):
                damaged.append((shard.name, gap))
            end = archive.offset
            if member.isreg():
                yield member
    _look_at_end(file, end, shard, damaged)


def _gap(file: IO[bytes], start: int, end: int) -> str:
    """What is wrong between two files of a tar; nothing where only zeros are."""
    if start >= end:
        return ""
    here = file.tell()
    file.seek(start)
    head = file.read(min(end - start, _RECORD))
    file.seek(here)
    return f"a damaged header at byte {start:,}: the file there is lost" if any(head) else ""


def _look_at_end(file: IO[bytes], end: int, shard: Stored, damaged: list[tuple[str, str]]) -> None:
    if damaged and damaged[-1][1].startswith("cut off"):
        return  # the file that it ends in
    file.seek(min(end, shard.size))
    mark = file.read(_RECORD)
    if len(mark) < _RECORD:
        damaged.append((shard.name, "cut off: the mark of its end is missing"))
    elif any(mark):
        damaged.append((shard.name, f"a damaged header at byte {end:,}: the rest is lost"))
    elif shard.size - end > _ZEROS_AT_END:
        damaged.append(
            (shard.name, f"it ends in {shard.size - end:,} zeros: the copy was not finished")
        )


def _name(member: tarfile.TarInfo) -> str:
    if "path" in member.pax_headers:  # which are UTF-8
        return posixpath.normpath(member.name)
    return posixpath.normpath(archived_name(member.name.encode("utf-8", "surrogateescape")))


def _label(sample: _Sample, damaged: list[tuple[str, str]]) -> str:
    """What the files beside an image say that it shows; empty where they say nothing."""
    facts: object = {}
    if "json" in sample.texts:
        try:
            facts = json.loads(sample.texts["json"])
        except ValueError as error:
            damaged.append((f"{sample.key}.json", f"not JSON: {error}"))
    facts = facts if isinstance(facts, dict) else {"label": facts}
    said = [
        *(_word(facts.get(name)) for name in _CLASS_FIELDS),
        sample.texts.get("cls", b"").decode("utf-8", "replace").strip(),
        *(_word(facts.get(name)) for name in _LABEL_FIELDS),
        sample.texts.get("txt", b"").decode("utf-8", "replace").strip(),
    ]
    return next(filter(None, said), "")


def _word(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) and value is not True else ""
