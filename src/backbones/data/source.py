"""What every data source becomes: classes, and splits of labelled images."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from backbones.data.files import read_bytes
from backbones.data.random import shuffled
from backbones.errors import BadData, NotFound, nearest
from backbones.text import html_table, spelled

_ROWS_SHOWN = 100  # of classes, in a notebook
_CLASSES_SAID = 8  # by name; of more, only how many there are


class EncodedImages(ABC):
    """Images that are decoded when they are needed, wherever their bytes lie."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def place(self) -> str:
        """Where they are: the whole path of a folder, or an address."""

    @property
    def near(self) -> bool:
        """Whether reading them all takes no network."""
        return True

    @abstractmethod
    def name(self, index: int) -> str:
        """What messages call the image."""

    def names(self) -> Iterator[str]:
        """All names, in order."""
        return map(self.name, range(len(self)))

    @abstractmethod
    def data(self, index: int) -> bytes:
        """What the image's file holds.

        Raises:
            BadImage: it cannot be read.
        """

    def num_bytes(self, index: int) -> int:
        """How much `data` gives; 0 where it cannot be told, or is a part of what is read anyway."""
        return max(0, self.status(index)[0])

    @abstractmethod
    def status(self, index: int) -> tuple[int, int, int]:
        """Bytes, and two numbers that change with the content; (-1, 0, 0) of what is no file."""

    @abstractmethod
    def take(self, indices: npt.NDArray[np.int64]) -> Self:
        """The images at `indices`, in that order."""

    @abstractmethod
    def joined(self, others: Sequence[Images]) -> Self | None:
        """These images and others behind them; None where they lie somewhere else."""

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """The order in which an epoch of training meets them."""
        return shuffled(seed, epoch, len(self))

    @abstractmethod
    def expect(self, indices: npt.NDArray[np.int64]) -> None:
        """Say which will be read next, in order; what is far away is then fetched before."""


@dataclass(frozen=True)
class FileImages(EncodedImages):
    """Images in files.

    Args:
        root: the folder that `paths` are relative to.
        paths: one per image, with forward slashes.
    """

    root: Path
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root.resolve())

    def name(self, index: int) -> str:
        """What messages call the image: its path below the root."""
        return self.paths[index]

    def path(self, index: int) -> Path:
        """Where the image's file is."""
        return self.root / self.paths[index]

    def data(self, index: int) -> bytes:
        """What the image's file holds."""
        return read_bytes(self.path(index))

    def status(self, index: int) -> tuple[int, int, int]:
        """Bytes, and when the content and the entry were changed, in nanoseconds."""
        try:
            facts = self.path(index).stat()
        except OSError:
            return -1, 0, 0
        if not stat.S_ISREG(facts.st_mode):
            return -1, 0, 0
        return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns

    def take(self, indices: npt.NDArray[np.int64]) -> FileImages:
        """The images at `indices`, in that order."""
        return replace(self, paths=tuple(self.paths[i] for i in indices))

    def expect(self, indices: npt.NDArray[np.int64]) -> None:
        """Nothing: they are here."""

    def joined(self, others: Sequence[Images]) -> FileImages | None:
        """These images and others of the same folder behind them."""
        paths = list(self.paths)
        for other in others:
            if not isinstance(other, FileImages) or other.root != self.root:
                return None
            paths.extend(other.paths)
        return replace(self, paths=tuple(paths))


@dataclass(frozen=True)
class ArrayImages:
    """Images of one size that sit decoded in memory.

    Args:
        array: uint8 (N, H, W, C) with C = 1 or 3.
        origin: the file or set they come from; an image is called `origin#number`.
        numbers: each image's number in the origin.
    """

    array: npt.NDArray[np.uint8]
    origin: str
    numbers: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.empty(0, dtype=np.int64), repr=False
    )

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[3] not in (1, 3):
            raise ValueError(f"array has shape {self.array.shape}, expected (N, H, W, 1 or 3)")
        if len(self.numbers) != len(self.array):
            object.__setattr__(self, "numbers", np.arange(len(self.array), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.array)

    def name(self, index: int) -> str:
        """What messages call the image: `origin#number`."""
        return f"{self.origin}#{self.numbers[index]}"

    def take(self, indices: npt.NDArray[np.int64]) -> ArrayImages:
        """The images at `indices`, in that order (a copy)."""
        return ArrayImages(self.array[indices], self.origin, self.numbers[indices])

    def joined(self, others: Sequence[Images]) -> ArrayImages | None:
        """These images and others of the same size behind them."""
        arrays, origins = [self.array], [self.origin]
        for other in others:
            if not isinstance(other, ArrayImages) or other.array.shape[1:] != self.array.shape[1:]:
                return None
            arrays.append(other.array)
            origins.append(other.origin)
        return ArrayImages(np.concatenate(arrays), "+".join(dict.fromkeys(origins)))

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """The order in which an epoch of training meets them."""
        return shuffled(seed, epoch, len(self))


Images = EncodedImages | ArrayImages


@dataclass(frozen=True)
class Split:
    """Labelled images, and the class names that the labels count in.

    Args:
        name: "train", "val" or "test".
        classes: class names, in the order of the labels.
        labels: int64 (N,), each an index into `classes`.
        images: N images.
    """

    name: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    images: Images

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.labels)} labels for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64], name: str = "") -> Split:
        """The images at `indices`, in that order, as a split of its own."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Split(name or self.name, self.classes, self.labels[chosen], self.images.take(chosen))


@dataclass(frozen=True)
class DataSource:
    """A whole data set.

    Args:
        kind: what it was recognised as: "class folders", "flat folder", "manifest", "idx",
            "cifar", "digits", "imagenet", "imagenet names", "parquet", "tar", "label pattern".
        where: the path or name that was opened.
        classes: class names, in the order of the labels.
        splits: by name; always "train", where there is anything to learn from.
        notes: what a person should know about how it was read ("split by seed 0: 10 % val").
        damaged: records of shards of which no more than a name is known, and why.
    """

    kind: str
    where: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    notes: tuple[str, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    def summary(self) -> str:
        """What was understood, in one line.

        Example:
            >>> from backbones.data.sets import open_data
            >>> open_data("digits").summary()
            'digits: 10 classes, 174 to 183 images each; train 1,438, test 359 (split by seed 0)'
        """
        counts = sum(
            np.bincount(split.labels, minlength=len(self.classes)) for split in self.splits.values()
        )
        each = list(zip(self.classes, np.asarray(counts).tolist(), strict=True))
        said = ", ".join(f"{name} {number:,}" for name, number in each)
        if len(each) > _CLASSES_SAID:
            fewest, most = min(number for _, number in each), max(number for _, number in each)
            said = f"{len(each):,} classes, {fewest:,} to {most:,} images each"
        splits = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        chosen = next((note.split(":")[0] for note in self.notes if "split by seed" in note), "")
        lost = f"; damaged and left out: {len(self.damaged):,}" if self.damaged else ""
        return f"{self.kind}: {said}; {splits}{chosen and f' ({chosen})'}{lost}"

    def _repr_html_(self) -> str:
        counts = [
            np.bincount(split.labels, minlength=len(self.classes)) for split in self.splits.values()
        ]
        shown = range(min(len(self.classes), _ROWS_SHOWN))
        rows = [[self.classes[n], *(f"{count[n]:,}" for count in counts)] for n in shown]
        rows.append(["all", *(f"{len(split):,}" for split in self.splits.values())])
        said = [f"{self.kind}: {self.where}", *self.notes]
        if len(self.classes) > _ROWS_SHOWN:
            said.append(f"the first {_ROWS_SHOWN} of {len(self.classes):,} classes")
        notes = "".join(f"<p>{escape(spelled(note))}</p>" for note in said)
        return notes + html_table(["class", *self.splits], rows)

    def split(self, name: str) -> Split:
        """The split called `name`.

        Raises:
            NotFound: there is no such split; names those there are.
        """
        if name not in self.splits:
            raise NotFound(
                f"{self.where} has no split {name!r}; it has {', '.join(self.splits)}."
                + nearest(name, self.splits)
            )
        return self.splits[name]

    def held_out(self) -> Split:
        """The split to evaluate on: "test" if there is one, else "val".

        Raises:
            BadData: there is neither.
        """
        for name in ("test", "val"):
            if name in self.splits:
                return self.splits[name]
        raise BadData(
            f"{self.where} has no test or val split, only {', '.join(self.splits)};"
            " name one with --split"
        )
