"""What a data check finds, as numbers, names and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

DARK = 64
"""Images without a brighter value are remarked on: 14 bits stored as if they were 16 end here."""


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be decoded, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class WrongExtension:
    """An image whose content is of another format than its name says."""

    path: str
    extension: str
    format: str


@dataclass(frozen=True)
class Spread:
    """The smallest, the median and the largest of some numbers."""

    min: int
    median: float
    max: int


@dataclass(frozen=True)
class Sizes:
    """The upright sizes of the readable images, in pixels."""

    width: Spread
    height: Spread


@dataclass(frozen=True)
class Leak:
    """One image that is in the training split and in another one.

    Args:
        train: its names in the training split.
        held_out: its names in the others.
        near: whether it is nearly the same only.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    near: bool


@dataclass(frozen=True)
class Conflict:
    """One and the same image that stands under two labels."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """What a check found.

    Args:
        where: the path or name that was checked.
        kind: the layout that was recognised; "images" where there is none.
        ok: whether there are no problems.
        problems: sentences about what makes an answer wrong or a training fail.
        remarks: sentences about what is only good to know.
        files: how many images there are.
        readable: how many of them decode.
        unreadable: the others.
        classes: images of each class, readable or not.
        splits: for each split, images of each class.
        imbalance: the largest class over the smallest; 0 where there are fewer than two.
        sizes: of the readable images; None where there are none.
        formats: images of each format, by content.
        modes: images of each pixel mode.
        wrong_extensions: see `WrongExtension`.
        exact_duplicates: groups of names of equal files (or equal images of an array).
        near_duplicates: groups of names of images that look the same.
        blank: images of one colour.
        nearly_black: others without a value above `DARK` of 255.
        small: images with less than a tenth of the pixels of the median, the smallest first.
        elongated: images more than three times as long as wide, or as wide as long.
        leaks: the same image in train and in another split.
        conflicts: the same file under two labels.
    """

    where: str
    kind: str
    ok: bool
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    files: int
    readable: int
    unreadable: tuple[Unreadable, ...]
    classes: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    imbalance: float
    sizes: Sizes | None
    formats: Mapping[str, int]
    modes: Mapping[str, int]
    wrong_extensions: tuple[WrongExtension, ...]
    exact_duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    blank: tuple[str, ...]
    nearly_black: tuple[str, ...]
    small: tuple[str, ...]
    elongated: tuple[str, ...]
    leaks: tuple[Leak, ...]
    conflicts: tuple[Conflict, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, in lists and dictionaries that `json.dumps` takes."""
        return asdict(self)
