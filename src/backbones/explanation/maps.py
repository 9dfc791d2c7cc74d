"""Maps of classes over images, and how they lie on the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backbones.errors import WrongUse

Targets = Tensor | Sequence[int] | None
"""The classes to explain: the same ones for every image (K numbers), each image's own (N, K),
or None for the likeliest one of each."""


@dataclass(frozen=True)
class Maps:
    """One map for each image and class.

    Args:
        values: the maps; each spans the whole image that the network saw.
        targets: the classes that they are of.
        logits: what the network answered.

    Shapes: values (N, K, h, w), targets (N, K), logits (N, classes).
    """

    values: Tensor
    targets: Tensor
    logits: Tensor


def chosen(targets: Targets, logits: Tensor) -> Tensor:
    """The classes to explain, (N, K); the first of equal logits where the likeliest is meant.

    Raises:
        WrongUse: a class that the network does not have, or a shape that does not fit.

    Example:
        >>> logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
        >>> chosen(None, logits).tolist(), chosen([1, 0], logits).tolist()
        ([[1], [0]], [[1, 0], [1, 0]])
    """
    images, classes = logits.shape
    if targets is None:
        return logits.argmax(dim=1, keepdim=True)
    wanted = torch.as_tensor(targets, dtype=torch.long, device=logits.device)
    if wanted.dim() == 1:
        wanted = wanted.expand(images, -1)
    if wanted.dim() != 2 or len(wanted) != images or not wanted.numel():
        raise WrongUse(
            f"targets has the shape {tuple(wanted.shape)}, expected some classes, or ({images}, K)"
        )
    if wanted.min() < 0 or wanted.max() >= classes:
        raise WrongUse(
            f"there is no class {int(wanted.max() if wanted.min() >= 0 else wanted.min())}; the"
            f" network has {classes}, counted from 0"
        )
    return wanted


def spread(
    values: npt.NDArray[np.float32],
    box: tuple[float, float, float, float],
    width: int,
    height: int,
    share: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Lay a map over an image, of which the network saw a part.

    Between the centres of the map's cells it is interpolated linearly. Beyond the outer ones it
    stays level to the cell's edge, and falls to zero within another cell.

    Args:
        values: the map.
        box: left, top, width and height of what the network saw, px of the image; it may reach
            beyond the image.
        width, height: of the image, px.
        share: how much of the box's sides the map's cells take, around its middle; see `share_of`.

    Shapes: values (h, w). Result: (height, width), NaN where the network saw nothing.

    Example:
        >>> spread(np.float32([[0, 1]]), (1.0, 0.0, 4.0, 1.0), 6, 1).tolist()
        [[nan, 0.0, 0.25, 0.75, 1.0, nan]]
    """
    left, top, box_width, box_height = box
    across, seen_x = _weights(values.shape[1], left, box_width, width, share)
    down, seen_y = _weights(values.shape[0], top, box_height, height, share)
    laid = (down @ values.astype(np.float64) @ across.T).astype(np.float32)
    laid[~seen_y] = np.nan
    laid[:, ~seen_x] = np.nan
    return laid


def _weights(
    cells: int, start: float, length: float, pixels: int, share: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How much of each cell is in each pixel, (pixels, cells); and which pixels were seen."""
    centres = np.arange(pixels) + 0.5
    seen = (centres >= start) & (centres <= start + length)
    first_edge, reach = start + (1 - share) / 2 * length, share * length
    place = (centres - first_edge) / reach * cells - 0.5
    inside = np.clip(place, 0, cells - 1)
    fading = np.clip(1.5 - np.abs(place - inside), 0, 1)  # level to the cell's edge, then less
    first = np.minimum(inside.astype(int), max(0, cells - 2))
    weights = np.zeros((pixels, cells))
    rows = np.arange(pixels)
    weights[rows, first] = fading * (1 - (inside - first))
    if cells > 1:
        weights[rows, first + 1] = fading * (inside - first)
    return weights, seen
