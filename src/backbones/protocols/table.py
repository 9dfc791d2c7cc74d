"""How papers turn a network's answers into an error rate, one frozen row a protocol.

Every number in a paper's results table was measured in some way, and the way is worth several
points. A row says which: how the picture is resized, which views are cut from it, how a view is
scored, how the scores of one picture become one answer, and what the paper printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backbones.errors import ProtocolError, nearest
from backbones.spec import Citation

Region = Literal["crop", "square"]
"""What the views are cut from: the network's own centre crop, or the centre square of the
resized picture (as wide as its shorter side)."""

Views = Literal["centre", "corners_and_centre"]
Scoring = Literal["crops"]
Reduction = Literal["mean_softmax"]
Metric = Literal["top_k_error"]


@dataclass(frozen=True)
class ShorterSide:
    """The length that the shorter side is resized to.

    Args:
        px: the length; None takes the `resize` of the network's input spec.
        plus: px to add, for papers that test at the training scale and around it.
    """

    px: int | None = None
    plus: int = 0

    def length_px(self, spec_resize_px: int) -> int:
        """The length for a network whose input spec says `spec_resize_px`."""
        return (spec_resize_px if self.px is None else self.px) + self.plus


@dataclass(frozen=True)
class PrintedResult:
    """One line of a paper's results, measured under this protocol.

    Args:
        network: as the paper calls it.
        data: the set, "ILSVRC-2012 val".
        top1_error_percent, top5_error_percent: as printed; None where it is not.
        where: the table or section.
    """

    network: str
    data: str
    top1_error_percent: float | None
    top5_error_percent: float | None
    where: str


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate.

    Args:
        name: what it is called on the command line.
        summary: one sentence.
        citation: the paper and section that it comes from.
        resize: shorter sides; several of them average over scales.
        region: what the views are cut from.
        views: which views.
        mirrored: whether each view is also scored mirrored left to right.
        scoring: "crops" runs the network on every view by itself.
        reduction: how the scores of all views and scales become one answer.
        metric: what is counted.
        printed: what the paper got.
    """

    name: str
    summary: str
    citation: Citation
    resize: tuple[ShorterSide, ...] = (ShorterSide(),)
    region: Region = "crop"
    views: Views = "centre"
    mirrored: bool = False
    scoring: Scoring = "crops"
    reduction: Reduction = "mean_softmax"
    metric: Metric = "top_k_error"
    printed: tuple[PrintedResult, ...] = ()


def _krizhevsky(where: str) -> Citation:
    return Citation(
        "Krizhevsky, Sutskever & Hinton",
        "ImageNet Classification with Deep Convolutional Neural Networks",
        2012,
        f"NIPS 25, {where}",
    )


PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        name="single",
        summary="one centre crop, as the network's input spec says",
        citation=_krizhevsky("footnote 5"),
        printed=(PrintedResult("CNN, one patch", "ILSVRC-2010 test", 39.0, 18.3, "footnote 5"),),
    ),
    Protocol(
        name="ten_crop",
        summary="four corners and the centre of the centre square, and their mirror images",
        citation=_krizhevsky("section 4.1"),
        region="square",
        views="corners_and_centre",
        mirrored=True,
        printed=(
            PrintedResult("CNN", "ILSVRC-2010 test", 37.5, 17.0, "Table 1"),
            PrintedResult("1 CNN", "ILSVRC-2012 val", 40.7, 18.2, "Table 2"),
        ),
    ),
)


def protocol_names() -> tuple[str, ...]:
    """The names of all protocols.

    Example:
        >>> protocol_names()
        ('single', 'ten_crop')
    """
    return tuple(row.name for row in PROTOCOLS)


def find_protocol(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        ProtocolError: there is no such protocol; names the nearest ones.

    Example:
        >>> find_protocol("ten_crop").mirrored
        True
    """
    for row in PROTOCOLS:
        if row.name == name:
            return row
    raise ProtocolError(
        f"there is no protocol {name!r}; there are {', '.join(protocol_names())}."
        + nearest(name, protocol_names())
    )
