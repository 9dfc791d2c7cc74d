"""How papers turn a network's answers into an error rate, one frozen row a protocol.

Every number in a paper's results table was measured in some way, and the way is worth several
points. A row says which: how the image is resized, which views are cut from it, how a view is
scored, how the scores of one image become one answer, and what the paper printed.
"""

from __future__ import annotations

from backbones.errors import ProtocolError, nearest
from backbones.protocols.papers import cite
from backbones.protocols.papers.alexnet import ALEXNET, WHOLE_IMAGES
from backbones.protocols.papers.inception import GOOGLENET, INCEPTION_V3
from backbones.protocols.papers.residual import DENSENET, EFFICIENTNET, RESNET, TORCHVISION
from backbones.protocols.papers.vgg import VGG
from backbones.protocols.row import (
    Metric,
    PrintedResult,
    Protocol,
    Reduction,
    Region,
    Scoring,
    ShorterSide,
    Views,
)

__all__ = [
    "PROTOCOLS",
    "Metric",
    "PrintedResult",
    "Protocol",
    "Reduction",
    "Region",
    "Scoring",
    "ShorterSide",
    "Views",
    "find_protocol",
    "protocol_names",
]

# The two of every day follow the weights' own input spec; those of the papers say their scales.
_ANY_NETWORK = (
    Protocol(
        name="single",
        summary="one centre crop, as the network's input spec says",
        citation=cite("alexnet", "footnote 5"),
    ),
    Protocol(
        name="ten_crop",
        summary="four corners and the centre of the centre square, and their mirror images",
        citation=cite("alexnet", "section 4.1"),
        region="square",
        views="corners_and_centre",
        mirrored=True,
    ),
)

PROTOCOLS: tuple[Protocol, ...] = (
    *_ANY_NETWORK,
    *TORCHVISION,
    *ALEXNET,
    *VGG,
    *GOOGLENET,
    *INCEPTION_V3,
    *RESNET,
    *DENSENET,
    *EFFICIENTNET,
    *WHOLE_IMAGES,
)


def protocol_names() -> tuple[str, ...]:
    """The names of all protocols.

    Example:
        >>> protocol_names()[:2]
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
        f"there is no protocol {name!r}; `backbones evaluate --protocol list` shows all, and a"
        " .yaml file may hold one of your own." + nearest(name, protocol_names())
    )
