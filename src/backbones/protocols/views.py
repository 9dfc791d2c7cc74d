"""Views: the parts of a picture that a protocol shows to the network."""

from __future__ import annotations

import torch
from torch import Tensor

from backbones.data.geometry import Box, centre_crop_box
from backbones.errors import ProtocolError
from backbones.protocols.table import Protocol, Views


def view_boxes(kind: Views, width: int, height: int, size: int) -> tuple[Box, ...]:
    """Where the views lie in a picture.

    Args:
        kind: "centre", or "corners_and_centre": top left, top right, bottom left, bottom right,
            centre.
        width, height: of the picture, px, at least `size`.
        size: side of a view, px.

    Raises:
        ProtocolError: a view is larger than the picture.

    Example:
        >>> view_boxes("centre", 256, 256, 224)
        (Box(left=16, top=16, width=224, height=224),)
    """
    if min(width, height) < size:
        raise ProtocolError(
            f"views of {size} px do not fit into {width} x {height} px;"
            f" resize the shorter side to {size} px or more"
        )
    centre = centre_crop_box(width, height, size)
    if kind == "centre":
        return (centre,)
    lefts, tops = (0, width - size), (0, height - size)
    return (*(Box(x, y, size, size) for y in tops for x in lefts), centre)


def mirror(pictures: Tensor) -> Tensor:
    """Swap left and right. Shapes: (..., W) -> (..., W)."""
    return torch.flip(pictures, dims=(-1,))


def views_of(pictures: Tensor, protocol: Protocol, size: int) -> tuple[Tensor, ...]:
    """All views of a batch that a protocol asks for; first those as they are, then mirrored.

    Shapes:
        pictures (N, C, H, W) -> V tensors (N, C, size, size).
    """
    height, width = pictures.shape[-2:]
    boxes = view_boxes(protocol.views, width, height, size)
    cut = tuple(
        pictures[..., box.top : box.top + size, box.left : box.left + size] for box in boxes
    )
    return cut + tuple(mirror(view) for view in cut) if protocol.mirrored else cut
