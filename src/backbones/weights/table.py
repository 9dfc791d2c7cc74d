"""The table of published weights: where each checkpoint is, and everything needed to use it.

The rows are in `published/`, one TOML file a publisher, as the publisher prints them. No torch in
here: listing has to be instant.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from backbones.errors import NotFound, nearest
from backbones.spec import InputSpec

if TYPE_CHECKING:
    from backbones.download import Checksum


_MORE_DATA = ("jft", "ig1b", "yfcc")  # in the tags of weights that saw more than ImageNet


@dataclass(frozen=True)
class Published:
    """One accuracy that somebody printed for some weights.

    Args:
        size_px: side of the square that the network saw.
        resize_px: shorter side before the crop.
        top1_accuracy, top5_accuracy: as fractions; None where not printed.
        protocol: what was measured, and how.
        source: who printed it.
    """

    size_px: int
    resize_px: int
    top1_accuracy: float
    top5_accuracy: float | None
    protocol: str
    source: str


@dataclass(frozen=True)
class WeightsRow:
    """One published checkpoint.

    Args:
        id: what it is called here: the variant or the publisher's name for it, a dot, a tag.
        variant: the network that it fits.
        url: where it is; empty where it has no public address.
        file: its name where it was published.
        sha256: whole, or its first 8 digits or more; empty where nobody printed any.
        num_bytes: its length; None where not printed exactly.
        mib: its length in MiB, as printed; None where not printed.
        licence: SPDX name, or a few words.
        labels: what the outputs mean: "imagenet" or "cifar10".
        spec: how an image becomes the network's input, in RGB on 0..1.
        colour_order, value_range: of the images that the publisher's own mean is taken off;
            `spec` and the key map account for both.
        results: accuracies that were printed, the one for `spec` first.
        keymap: from the file's names to ours (see `keymaps/`); empty where they are the same.
        notes: what a user should know.
    """

    id: str
    variant: str
    url: str
    file: str
    sha256: str
    num_bytes: int | None
    mib: float | None
    licence: str
    labels: Literal["imagenet", "cifar10"]
    spec: InputSpec
    colour_order: Literal["RGB", "BGR"]
    value_range: Literal["0..1", "0..255"]
    results: tuple[Published, ...]
    keymap: str
    notes: str

    @property
    def stored_as(self) -> str:
        """The file's name in the store and on a mirror."""
        return self.id + PurePosixPath(self.file).suffix

    @property
    def at_most_bytes(self) -> int:
        """More than the file can have, by its printed length; 2 GiB where none was printed."""
        return self.num_bytes or round((self.mib * 1.01 if self.mib else 2048) * 2**20)

    @property
    def checksum(self) -> Checksum | None:
        """What the file must hash to."""
        from backbones.download import Checksum  # the network's libraries would slow a listing

        return Checksum("sha256", self.sha256) if self.sha256 else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def rows() -> tuple[WeightsRow, ...]:
    """All published weights, by their ids.

    Example:
        >>> len(rows()) > 100
        True
    """
    return tuple(_table().values())


def published_weights(pattern: str) -> tuple[WeightsRow, ...]:
    """The rows whose id or variant fits a pattern; a word without stars fits what contains it.

    Example:
        >>> [row.id for row in published_weights("resnet20*")]
        ['resnet20_cifar.akamaster_cifar10']
    """
    wild = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    return tuple(
        row
        for row in rows()
        if fnmatch.fnmatchcase(row.id, wild) or fnmatch.fnmatchcase(row.variant, wild)
    )


def of_variant(variant: str) -> tuple[WeightsRow, ...]:
    """The published weights that fit a network."""
    return tuple(row for row in rows() if row.variant == variant)


def usual(variant: str) -> WeightsRow | None:
    """The weights that training goes on from where only the network is named.

    Those learned from the thousand classes of ImageNet alone, as their publisher first gave them:
    torchvision's first ones, then those whose tag is nothing but the data's name, then the highest
    printed accuracy. Never ones whose licence forbids commercial use.

    Returns:
        None where nothing that fits was published.

    Example:
        >>> usual("resnet50").id, usual("efficientnet_b0_same").id, usual("vgg_tiny")
        ('resnet50.tv_in1k', 'tf_efficientnet_b0.in1k', None)
    """

    def tag_of(row: WeightsRow) -> str:
        return row.id.partition(".")[2]

    free = [
        row
        for row in of_variant(variant)
        if row.results and "-NC" not in row.licence
        if not any(more in tag_of(row) for more in _MORE_DATA)
    ]

    def place(row: WeightsRow) -> tuple[int, float]:
        tag = tag_of(row)
        first = ("tv_in1k", "in1k").index(tag) if tag in ("tv_in1k", "in1k") else 2
        return first, -max(result.top1_accuracy for result in row.results)

    return min(free, key=place, default=None)


def best_result(
    weights: Iterable[WeightsRow], size_px: int | None = None
) -> tuple[WeightsRow, Published] | None:
    """The highest top-1 accuracy that somebody printed for one of these weights.

    Args:
        weights: to choose from.
        size_px: results for images of this side go before all others, however high these are:
            more pixels are more accurate and cost more.

    Returns:
        the weights and the result; None where nothing was printed.

    Example:
        >>> row, result = best_result(of_variant("efficientnet_b0"), size_px=224)
        >>> row.id, result.top1_accuracy
        ('efficientnet_b0.ra4_e3600_r224_in1k', 0.78568)
    """
    printed = [(row, result) for row in weights for result in row.results]
    here = [(row, result) for row, result in printed if result.size_px == size_px]
    return max(here or printed, key=lambda pair: pair[1].top1_accuracy, default=None)


def find(name: str) -> WeightsRow:
    """The row of some weights.

    Raises:
        NotFound: no such id; names the nearest.

    Example:
        >>> find("vgg16.tv_in1k").sha256
        '397923af'
    """
    if name in _table():
        return _table()[name]
    hint = nearest(name, known_ids()) or " `backbones weights list` shows all weights."
    raise NotFound(f"there are no weights {name!r}.{hint}")


def is_known(name: str) -> bool:
    """Whether there is a row of this id."""
    return name in _table()


def shipped_weights() -> dict[str, Path]:
    """Bundles that come with the package, by their ids (the files' names)."""
    files = (Path(__file__).parent / "shipped").glob("*.safetensors")
    return {file.stem: file for file in sorted(files)}


def known_ids() -> tuple[str, ...]:
    """The ids of all weights, published and shipped."""
    return (*shipped_weights(), *_table())


@cache
def _table() -> dict[str, WeightsRow]:
    found: dict[str, WeightsRow] = {}
    for file in sorted((Path(__file__).parent / "published").glob("*.toml")):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        source, protocol = content.pop("source"), content.pop("protocol")
        for name, values in content.items():
            assert name not in found, name
            found[name] = _row(name, values, source, protocol)
    return dict(sorted(found.items()))


def _row(name: str, values: dict[str, Any], source: str, protocol: str) -> WeightsRow:
    """Fill what a row leaves out, and turn its input to RGB on 0..1."""
    given = dict(values)
    url = given.pop("url", "")
    results = tuple(
        Published(**{"top5_accuracy": None, **one}, protocol=protocol, source=source)
        for one in given.pop("results", ())
    )
    colour_order, value_range = given.pop("colour_order", "RGB"), given.pop("value_range", "0..1")
    return WeightsRow(
        id=name,
        variant=given.pop("variant"),
        url=url,
        file=given.pop("file", PurePosixPath(url).name),
        sha256=given.pop("sha256", ""),
        num_bytes=given.pop("num_bytes", None),
        mib=given.pop("mib", None),
        licence=given.pop("licence"),
        labels=given.pop("labels"),
        spec=_spec(given.pop("input"), colour_order, value_range),
        colour_order=colour_order,
        value_range=value_range,
        results=results,
        keymap=given.pop("keymap", ""),
        notes=given.pop("notes", ""),
        **given,  # nothing is left, or the constructor names what should not be there
    )


def _spec(values: Mapping[str, Any], colour_order: str, value_range: str) -> InputSpec:
    turned = dict(values)
    for field in {"mean", "std"} & turned.keys():
        numbers = turned[field][::-1] if colour_order == "BGR" else turned[field]
        scale = 255 if value_range == "0..255" else 1
        turned[field] = tuple(number / scale for number in numbers)
    return InputSpec(**turned)
