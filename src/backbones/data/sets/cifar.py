"""CIFAR-10 and CIFAR-100, the "binary version": in a folder, or inside their .tar.gz.

A record is one label byte (CIFAR-100: the coarse label, then the fine one, which is used), then
3,072 bytes: the red, the green and the blue plane of 32 x 32.
The "Python version" is refused: it consists of pickles, and no pickle is executed here.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.data.sets.listing import count_of, look, some
from backbones.data.sets.splitting import Holdout
from backbones.data.source import ArrayImages, DataSource, Split
from backbones.errors import BadData

LOOKS_LIKE = "CIFAR's binary version (data_batch_1.bin or train.bin, or its .tar.gz)"
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz")
INNER_FOLDERS = ("cifar-10-batches-bin", "cifar-100-binary")

_CIFAR10_CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
_TRAIN_10 = re.compile(r"data_batch_\d+\.bin")
_USED = re.compile(
    r"(data_batch_\d+|test_batch|train|test)\.bin|batches\.meta\.txt|fine_label_names\.txt"
)
_WHOLE = ("train.bin", "test.bin", "test_batch.bin")
_PICKLES = ("cifar-10-batches-py", "cifar-100-python", "batches.meta", "data_batch_1")
_LARGEST_BYTES = 2**30
_PIXELS = 3 * 32 * 32

Files = Mapping[str, bytes]


def recognise(folder: Path) -> bool:
    """Whether there are CIFAR's files, in either version."""
    return _place(folder) is not None or bool(_pickled(folder))


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read CIFAR from a folder, from its usual inner folder, or from its archive there.

    Raises:
        BadData: the Python version, or a file that is missing, cut off or corrupt.
    """
    place = _place(folder)
    if place is None:
        raise BadData(
            f"{folder} holds CIFAR's Python version ({_pickled(folder)}), which is made of pickles"
            " and is not opened; get the binary version (cifar-10-binary.tar.gz)"
        )
    if place.is_file():
        return read_archive(place, holdout)
    files = {
        name: (place / name).read_bytes() for name in look(place).others if _USED.fullmatch(name)
    }
    return _assemble(str(folder), files, holdout)


def read_archive(path: Path, holdout: Holdout) -> DataSource:
    """Read CIFAR from its tar file, without unpacking it to the disk.

    Raises:
        BadData: not such an archive, or cut off or corrupt.
    """
    files: dict[str, bytes] = {}
    pickled = False
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                pickled = pickled or name in _PICKLES or member.name.endswith("-python/train")
                if not member.isfile() or not _USED.fullmatch(name):
                    continue
                if member.size > _LARGEST_BYTES:
                    raise BadData(f"{path} claims {member.size:,} bytes for {name}")
                stream = archive.extractfile(member)
                files[name] = stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} is cut off or corrupt ({error}); fetch it again") from error
    if pickled:
        raise BadData(
            f"{path} is CIFAR's Python version, which is made of pickles and is not opened;"
            " get the binary version (cifar-10-binary.tar.gz)"
        )
    return _assemble(str(path), files, holdout)


def _assemble(where: str, files: Files, holdout: Holdout) -> DataSource:
    fine = not {"train.bin", "test.bin"}.isdisjoint(files)
    batches = sorted((name for name in files if _TRAIN_10.fullmatch(name)), key=_batch_number)
    sources = {
        "train": ["train.bin"] if fine else batches,
        "test": ["test.bin" if fine else "test_batch.bin"],
    }
    sources = {split: names for split, names in sources.items() if {*names} & {*files}}
    if not sources:
        raise BadData(
            f"{where} has no CIFAR batches, only {some(list(files)) or 'other files'};"
            " expected data_batch_1.bin or train.bin; unpack other archives, and give the folder"
        )
    notes: list[str] = []
    if batches and len(batches) != 5:
        notes.append(f"{count_of(len(batches), 'training batch')} instead of 5")
    classes = _class_names(files, fine, notes)
    parts: dict[str, Split] = {}
    for split, names in sources.items():
        read_all = [_records(where, name, files[name], fine) for name in names]
        labels = np.concatenate([labels for labels, _ in read_all])
        if labels.max() >= len(classes):
            raise BadData(
                f"{where} has the label {labels.max()} in {split};"
                f" expected 0 to {len(classes) - 1}: fetch it again"
            )
        array = np.concatenate([array for _, array in read_all])
        origin = names[0] if len(names) == 1 else "data_batch"
        parts[split] = Split(split, classes, labels, ArrayImages(array, origin))
    if list(parts) == ["train"] and holdout.val_fraction > 0:
        parts = holdout.split(parts["train"], [str(i) for i in range(len(parts["train"]))])
        notes.append(holdout.describe(parts))
    return DataSource("cifar", where, classes, parts, tuple(notes))


def _records(
    where: str, name: str, data: bytes, fine: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Labels (N,) and images (N, 32, 32, 3) of one file."""
    size = _PIXELS + (2 if fine else 1)
    if not data or len(data) % size:
        raise BadData(
            f"{name} in {where} has {len(data):,} bytes, which is no whole number of records of"
            f" {size:,}; it is cut off: fetch it again"
        )
    table = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    planes = table[:, -_PIXELS:].reshape(-1, 3, 32, 32)
    labels = table[:, size - _PIXELS - 1].astype(np.int64)
    return labels, np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _class_names(files: Files, fine: bool, notes: list[str]) -> tuple[str, ...]:
    count = 100 if fine else 10
    text = files.get("fine_label_names.txt" if fine else "batches.meta.txt", b"")
    names = text.decode("utf-8", "replace").split()
    if len(names) == count:
        return tuple(names)
    if not fine:
        return tuple(_CIFAR10_CLASSES)
    notes.append("classes are called by their number: fine_label_names.txt is not there")
    return tuple(str(i) for i in range(count))


def _batch_number(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _place(folder: Path) -> Path | None:
    for place in (folder, *(folder / name for name in INNER_FOLDERS)):
        if place.is_dir() and any(
            name in _WHOLE or _TRAIN_10.fullmatch(name) for name in look(place).others
        ):
            return place
    return next((folder / name for name in ARCHIVES if (folder / name).is_file()), None)


def _pickled(folder: Path) -> str:
    """The name of a file or folder that tells the Python version, or nothing."""
    held = look(folder)
    names = {*held.folders, *held.others}
    if {"train", "test", "meta"} <= set(held.others):
        return "train, test, meta"
    return next((name for name in _PICKLES if name in names), "")
