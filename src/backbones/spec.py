"""The row types that several tables share. All frozen: a row is changed with `replace` only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from backbones.errors import BadWeights

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True)
class Citation:
    """Where a fact was printed.

    Args:
        authors: as the field says it, "Simonyan & Zisserman".
        title: of the paper.
        year: of publication.
        where: arXiv number, venue or repository, and the section or table.
    """

    authors: str
    title: str
    year: int
    where: str

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}, {self.where}"


@dataclass(frozen=True)
class Claim:
    """One number that a row promises and a test checks to the unit.

    Args:
        name: "params" (trainable), "macs" (convolutions and fully connected layers, one image
            at the row's own input size) or a paper's own count such as "connections".
        value: the number.
        source: who printed or computed it.
    """

    name: str
    value: int
    source: str


@dataclass(frozen=True)
class Deviation:
    """One way in which a row differs from the paper that it is named after.

    Args:
        field: the field of the row that holds the choice.
        what: what is built, and what the paper has.
        source: who does it this way.
    """

    field: str
    what: str
    source: str


@dataclass(frozen=True)
class Family:
    """Networks of one paper, a file in `models/`.

    Args:
        name: of the file.
        title: what people call it.
        citation: of the paper.
        summary: one-line description.
    """

    name: str
    title: str
    citation: Citation
    summary: str

    @property
    def module(self) -> str:
        """The module to import for the networks themselves."""
        return f"backbones.models.{self.name}"


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes what the network sees. It belongs to the weights and travels with them.

    An image is resized so that its shorter side has `resize` pixels, its centre `size` x `size`
    is cut out (a smaller image is padded with black), bytes are divided by 255, and
    `(x - mean) / std` is taken per channel.

    Args:
        size: px, the side of the square that the network sees.
        resize: px, the shorter side before the crop.
        channels: 1 (grey) or 3 (RGB).
        mean, std: per channel, on the scale 0..1.
        interpolation: of the resize, always antialiased.
    """

    size: int
    resize: int
    channels: int = 3
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}, expected 1 or 3")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean has {len(self.mean)} and std {len(self.std)} values,"
                f" expected {self.channels} each"
            )
        if self.size < 1 or self.resize < 1:
            raise ValueError(f"size {self.size} and resize {self.resize} must be at least 1")

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> InputSpec:
        """Read what `to_json` wrote.

        Raises:
            BadWeights: a field is missing or unknown (the file comes from another version).
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise BadWeights(
                f"input spec has the fields {sorted(values)}, expected {sorted(known)}:"
                " written by another version"
            )
        tuples = {key: tuple(values[key]) for key in ("mean", "std")}
        return cls(**{**values, **tuples})
