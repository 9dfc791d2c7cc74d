"""What a protocol is: one frozen row, and the words that its fields are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from backbones.errors import ProtocolError
from backbones.spec import Citation

Region = Literal["crop", "square", "three_squares", "whole"]
"""What the views are cut from: the network's own centre crop; the centre square of the resized
image (as wide as its shorter side); that square and the two at the ends of the longer side; or
all of the resized image."""

Views = Literal["centre", "corners_and_centre", "corners_centre_and_square", "grid", "whole"]
"""Which views are cut from a region: its centre; its corners too; these and the whole region,
made as small as a view; a regular grid, edge to edge; or the region as it is."""

Scoring = Literal["crops", "dense", "dense_and_crops"]
"""Whether the network sees every view by itself, or the whole resized image with its head read
as convolutions, or both, which then count the same."""

Reduction = Literal["mean_softmax", "mean_logits", "vote"]
"""How many answers become one: the mean of the class probabilities; the mean of the scores before
the softmax; or the most votes, one an answer."""

Metric = Literal["top_k_error"]


@dataclass(frozen=True)
class ShorterSide:
    """The length that the shorter side is resized to.

    Args:
        px: the length; None takes the `resize` of the network's input spec.
        plus: px to add, for papers that test at the training scale and around it.
        times_size: the length as a multiple of the side that the network sees; in place of `px`.
        at_most_size: never longer than the side that the network sees, so that a crop of it cuts
            nothing off.

    Example:
        >>> ShorterSide(plus=-32).length_px(256)
        224
        >>> ShorterSide(times_size=8 / 7).length_px(256, 299)
        342
    """

    px: int | None = None
    plus: int = 0
    times_size: float | None = None
    at_most_size: bool = False

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.px is not None and self.times_size is not None:
            raise ValueError("a shorter side has px or times_size, not both")
        for name in ("px", "times_size"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}, expected more than 0")

    def length_px(self, spec_resize_px: int, size_px: int = 0) -> int:
        """The length for a network.

        Args:
            spec_resize_px: what its input spec resizes to.
            size_px: side of the square that it sees; needed for `times_size`, `at_most_size`.

        Raises:
            ProtocolError: there is nothing left of the side.
        """
        length = spec_resize_px if self.px is None else self.px
        if self.times_size is not None:
            length = round(self.times_size * size_px)
        length += self.plus
        if self.at_most_size:
            length = min(length, size_px)
        if length < 1:
            raise ProtocolError(
                f"the shorter side would have {length} px; the network resizes to"
                f" {spec_resize_px} px, which is too little for this protocol"
            )
        return length

    def __str__(self) -> str:
        if self.times_size is not None:
            said = f"{self.times_size:.4g} x the network's side"
        else:
            said = "S" if self.px is None else str(self.px)
        if self.plus:
            said += f"{self.plus:+d}"
        return f"{said} (at most the network's side)" if self.at_most_size else said


@dataclass(frozen=True)
class PrintedResult:
    """One line of a paper's results, measured under this protocol.

    Args:
        network: as the paper calls it.
        data: the set, "ILSVRC-2012 val".
        top1_error_percent, top5_error_percent: as printed; None where it is not.
        where: the table or section.
        num_models: how many networks were averaged.
        paper: who printed it; empty where it is the protocol's own citation.
    """

    network: str
    data: str
    top1_error_percent: float | None
    top5_error_percent: float | None
    where: str
    num_models: int = 1
    paper: str = ""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}


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
        grid: views along each side of a "grid".
        mirrored: whether each view is also scored mirrored left to right.
        scoring: "crops" runs the network on every view by itself.
        reduction: how the scores of all views, scales and models become one answer.
        metric: what is counted.
        readings: what the paper leaves open, and what is done here.
        printed: what the paper got.

    Raises:
        ValueError: fields that do not go together.
    """

    name: str
    summary: str
    citation: Citation
    resize: tuple[ShorterSide, ...] = (ShorterSide(),)
    region: Region = "crop"
    views: Views = "centre"
    grid: int = 5
    mirrored: bool = False
    scoring: Scoring = "crops"
    reduction: Reduction = "mean_softmax"
    metric: Metric = "top_k_error"
    readings: tuple[str, ...] = ()
    printed: tuple[PrintedResult, ...] = ()

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not self.resize:
            raise ValueError("resize is empty, expected one shorter side or more")
        if self.grid < 1:
            raise ValueError(f"grid is {self.grid}, expected 1 or more")
        if self.scoring == "crops" and self.views == "whole" and self.region == "three_squares":
            raise ValueError('views "whole" of region "three_squares" overlap; expected "whole"')
        if self.scoring == "dense" and (self.views, self.region) != ("whole", "whole"):
            raise ValueError('scoring "dense" sees whole images: set views and region to "whole"')
        if self.scoring == "dense_and_crops" and self.views == "whole":
            raise ValueError('scoring "dense_and_crops" needs views of the network\'s size')
        if self.region == "crop" and self.views != "centre":
            raise ValueError('region "crop" is one view: set views to "centre"')

    @property
    def paper(self) -> str:
        """Who the protocol is from, in short: "Simonyan & Zisserman (2014)"."""
        authors = self.citation.authors.replace(" & ", ", ").split(", ")
        short = f"{authors[0]} et al." if len(authors) > 3 else self.citation.authors
        return f"{short} ({self.citation.year})" if self.citation.year else short

    def source_of(self, result: PrintedResult) -> str:
        """Who printed a result, and where: "Simonyan & Zisserman (2014), Table 4"."""
        return f"{result.paper or self.paper}, {result.where}"

    def printed_json(self) -> list[dict[str, Any]]:
        """The printed results, each a flat dictionary with its source."""
        return [
            {
                "model": each.network,
                "num_models": each.num_models,
                "data": each.data,
                "top1_error_percent": each.top1_error_percent,
                "top5_error_percent": each.top5_error_percent,
                "source": self.source_of(each),
            }
            for each in self.printed
        ]
