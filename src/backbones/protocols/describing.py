"""A protocol in words and figures, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backbones.errors import ProtocolError
from backbones.protocols.own import apply_settings, load_protocol
from backbones.protocols.row import Protocol
from backbones.protocols.text import printed_rows
from backbones.protocols.viewing import PHOTO, View, plan
from backbones.spec import InputSpec

_PHOTO_PX = (500, 375)


def views_and_cost(protocol: Protocol, spec: InputSpec = PHOTO) -> tuple[int, float]:
    """How many views an image has, and how many times a single crop's pixels they are.

    The time that a network takes goes with the pixels, nearly: a dense pass computes once what
    crops share.

    Args:
        protocol: the row.
        spec: of the network; a photo network's of 224 px where left out.

    Returns:
        the number of views, and the multiple for a photo of 500 x 375 px.

    Example:
        >>> from backbones.protocols.table import find_protocol
        >>> views_and_cost(find_protocol("ten_crop"))
        (10, 10.0)
    """
    views: tuple[View, ...] = plan(protocol, *_PHOTO_PX, spec)
    return len(views), sum(view.num_pixels for view in views) / spec.size**2


@dataclass(frozen=True)
class ProtocolCard:
    """A protocol before anything is evaluated: what is done, what it costs, what was printed."""

    protocol: Protocol

    def to_json(self) -> dict[str, Any]:
        """All fields of the row, with its views and cost."""
        protocol = self.protocol
        views, cost = _counted(protocol)
        return {
            **asdict(protocol),
            "citation": str(protocol.citation),
            "views_per_image": views,
            "pixels_of_single_crop": cost,
            "printed": protocol.printed_json(),
        }

    def to_text(self) -> str:
        """Lines of text."""
        protocol = self.protocol
        views, cost = _counted(protocol)
        lines = [
            f"{protocol.name}: {protocol.summary}",
            str(protocol.citation),
            "",
            f"shorter side   {', '.join(map(str, protocol.resize))}",
            f"region         {protocol.region}",
            f"views          {protocol.views}"
            + (f", {protocol.grid} x {protocol.grid}" if protocol.views == "grid" else "")
            + (", mirrored too" if protocol.mirrored else ""),
            f"scoring        {protocol.scoring}",
            f"reduction      {protocol.reduction}",
        ]
        if cost is not None:
            lines.append(
                f"cost           {views} views an image, {cost:.3g} times the pixels of one crop"
                " (photo of 500 x 375 px, network of 224 px)"
            )
        lines += [f"reading        {reading}" for reading in protocol.readings]
        if protocol.printed:
            lines += ["", "printed: top-1 and top-5 error in percent"]
            rows = printed_rows(protocol)
            width = max(len(row[0]) for row in rows)
            for name, top1, top5, where in rows:
                figures = "  ".join(
                    "     -" if each is None else f"{each:6.2f}" for each in (top1, top5)
                )
                lines.append(f"{name:<{width}}  {figures}  {where}")
        return "\n".join(lines)


def show_protocol(name: str | Path, settings: Sequence[str] = ()) -> ProtocolCard:
    """A protocol in words and figures.

    Args:
        name: of a row, or a file with the fields of one.
        settings: fields to set anew, `field=value` each.

    Raises:
        NotFound, ProtocolError: no such protocol or field, or a value that does not fit.
    """
    return ProtocolCard(apply_settings(load_protocol(name), settings))


def _counted(protocol: Protocol) -> tuple[int | None, float | None]:
    try:
        return views_and_cost(protocol)
    except ProtocolError:  # its views fit networks for smaller images only
        return None, None
