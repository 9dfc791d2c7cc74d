"""Views: the parts of an image that a protocol shows to the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from backbones.data.geometry import Box, Framing, centre_crop_box, resized_size
from backbones.data.render import Pixels, cut_window, render, resize_batch
from backbones.errors import BadImage, ProtocolError
from backbones.protocols.row import Protocol, Region, Views
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec

PHOTO = InputSpec(size=224, resize=256)
"""What views are cut for where no network says otherwise."""

MOST_RESIZED_PIXELS = 64_000_000
"""An image that would have more pixels after its resize is left out, with that reason."""


@dataclass(frozen=True)
class View:
    """One view of an image.

    Args:
        resized: width and height that the whole image is resized to, px.
        box: what is cut out of that.
        shrunk_px: side of the square that the box is resized to; None leaves it as it is.
        mirrored: whether left and right are swapped afterwards.
        dense: whether the network's head is read as convolutions on it.
    """

    resized: tuple[int, int]
    box: Box
    shrunk_px: int | None = None
    mirrored: bool = False
    dense: bool = False

    @property
    def num_pixels(self) -> int:
        """How many pixels the network sees."""
        return self.shrunk_px**2 if self.shrunk_px else self.box.width * self.box.height


def plan(protocol: Protocol, width: int, height: int, spec: InputSpec = PHOTO) -> tuple[View, ...]:
    """All views of an image, as geometry alone.

    Args:
        protocol: the row.
        width, height: of the image, px.
        spec: of the network.

    Returns:
        scale by scale, those that are whole first, each group first as it is, then mirrored.

    Raises:
        ProtocolError: a view is larger than what it is cut from.

    Example:
        >>> from backbones.protocols.table import find_protocol
        >>> len(plan(find_protocol("googlenet/144_crop"), 500, 375))
        144
    """
    found: list[View] = []
    for side in protocol.resize:
        resized = resized_size(width, height, side.length_px(spec.resize, spec.size))
        if protocol.scoring != "crops":
            found += _both_ways([View(resized, Box(0, 0, *resized), dense=True)], protocol)
        if protocol.scoring != "dense":
            found += _both_ways(_crops(protocol, resized, spec.size), protocol)
    return tuple(found)


def _both_ways(views: list[View], protocol: Protocol) -> list[View]:
    return views + [replace(view, mirrored=True) for view in views] if protocol.mirrored else views


def _crops(protocol: Protocol, resized: tuple[int, int], size: int) -> list[View]:
    found = []
    for region in _regions(protocol.region, *resized, size):
        if protocol.region == "crop":
            found.append(View(resized, region))
            continue
        if protocol.views == "whole":
            found.append(View(resized, region))
            continue
        for box in view_boxes(protocol.views, region.width, region.height, size, protocol.grid):
            moved = box._replace(left=box.left + region.left, top=box.top + region.top)
            found.append(View(resized, moved, None if box.width == size else size))
    return found


def _regions(kind: Region, width: int, height: int, size: int) -> list[Box]:
    side = min(width, height)
    if kind == "crop":
        return [centre_crop_box(width, height, size)]
    if kind == "whole":
        return [Box(0, 0, width, height)]
    centre = centre_crop_box(width, height, side)
    if kind == "square":
        return [centre]
    return [Box(0, 0, side, side), centre, Box(width - side, height - side, side, side)]


def view_boxes(kind: Views, width: int, height: int, size: int, grid: int = 5) -> tuple[Box, ...]:
    """Where the views lie in a region.

    Args:
        kind: "centre"; "corners_and_centre": top left, top right, bottom left, bottom right,
            centre; "corners_centre_and_square": these and the whole region; "grid": row by row;
            "whole": the region.
        width, height: of the region, px, at least `size`.
        size: side of a view, px.
        grid: views along each side of a "grid", from edge to edge.

    Raises:
        ProtocolError: a view is larger than the region.

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
    if kind == "whole":
        return (Box(0, 0, width, height),)
    if kind == "grid":
        lefts, tops = (_even_starts(length - size, grid) for length in (width, height))
        return tuple(Box(x, y, size, size) for y in tops for x in lefts)
    lefts, tops = [0, width - size], [0, height - size]
    corners = (*(Box(x, y, size, size) for y in tops for x in lefts), centre)
    square = (Box(0, 0, width, height),) if kind == "corners_centre_and_square" else ()
    return corners + square


def _even_starts(room: int, count: int) -> list[int]:
    if count == 1:
        return [room // 2]
    return [round(place * room / (count - 1)) for place in range(count)]


def mirror(images: Tensor) -> Tensor:
    """Swap left and right. Shapes: (..., W) -> (..., W)."""
    return torch.flip(images, dims=(-1,))


def cut_views(pixels: Pixels, wanted: tuple[View, ...], spec: InputSpec) -> Iterator[Pixels]:
    """Cut a plan out of decoded images of one size, in its order; every scale is resized once.

    Shapes:
        pixels: uint8 (N, H, W, C), of the size that the plan was made for; gives uint8
        (N, h, w, C) a view.

    Raises:
        BadImage: the resized image would have more than `MOST_RESIZED_PIXELS`, and the view has
            not the side of a network's input.
    """
    for resized, views in groupby(wanted, key=lambda view: view.resized):
        large = resized[0] * resized[1] > MOST_RESIZED_PIXELS
        whole = (
            pixels if large else resize_batch(pixels, resized[0], resized[1], spec.interpolation)
        )
        for view in views:
            cut = _cut_of_large(pixels, view, spec) if large else cut_window(whole, view.box)
            if view.shrunk_px:
                cut = resize_batch(cut, view.shrunk_px, view.shrunk_px, spec.interpolation)
            yield cut[:, :, ::-1] if view.mirrored else cut


def _cut_of_large(pixels: Pixels, view: View, spec: InputSpec) -> Pixels:
    """A small window of what would be too large when it is resized whole."""
    height, width = pixels.shape[1:3]
    if view.box.width * view.box.height > spec.size**2:
        raise BadImage(
            f"{width} x {height} px would be {view.resized[0]} x {view.resized[1]} px"
            f" under this protocol, more than {MOST_RESIZED_PIXELS:,} pixels"
        )
    framing = Framing(Box(0, 0, width, height), view.resized, view.box)
    return np.stack([render(each, framing, spec.interpolation) for each in pixels])


def views(protocol: str | Protocol, image: Any, *, spec: InputSpec = PHOTO) -> Iterator[Tensor]:
    """The views of one image, in order, not yet normalised.

    Args:
        protocol: a row or its name.
        image: a Pillow image, or uint8 (H, W) or (H, W, C) from NumPy, or a tensor (C, H, W) of
            bytes or floats, which keeps its type.
        spec: of the network that they are for; a photo network's of 224 px where left out.

    Yields:
        (C, h, w).

    Raises:
        ProtocolError: no such protocol, or a view is larger than what it is cut from.

    Example:
        >>> sum(1 for view in views("vgg/multicrop", torch.zeros(3, 375, 500)))
        150
        >>> {tuple(view.shape) for view in views("ten_crop", torch.zeros(3, 375, 500))}
        {(3, 224, 224)}
    """
    row = find_protocol(protocol) if isinstance(protocol, str) else protocol
    if isinstance(image, Tensor) and image.is_floating_point():
        yield from _views_of_floats(row, image, spec)
        return
    pixels = _pixels(image)
    wanted = plan(row, pixels.shape[1], pixels.shape[0], spec)
    for view in cut_views(pixels[None], wanted, spec):
        yield torch.from_numpy(view[0].copy()).permute(2, 0, 1)


def _pixels(image: Any) -> Pixels:
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.permute(1, 2, 0).contiguous().numpy() if image.dim() == 3 else image.numpy()
    array: Pixels = np.asarray(image)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ProtocolError(
            f"an image came as {array.dtype} of shape {array.shape}; expected a Pillow image,"
            " bytes (H, W, C), or a tensor (C, H, W)"
        )
    return array


def _views_of_floats(protocol: Protocol, image: Tensor, spec: InputSpec) -> Iterator[Tensor]:
    def resized(whole: Tensor, width: int, height: int) -> Tensor:
        if whole.shape[-2:] == (height, width):
            return whole
        if spec.interpolation == "nearest":
            return F.interpolate(whole[None], size=(height, width), mode="nearest-exact")[0]
        mode = spec.interpolation
        return F.interpolate(whole[None], size=(height, width), mode=mode, antialias=True)[0]

    level, held = image, None
    for view in plan(protocol, image.shape[-1], image.shape[-2], spec):
        if view.resized != held:
            level, held = resized(image, *view.resized), view.resized
        box = view.box
        # a negative edge pads with black, as everywhere
        cut = F.pad(level, _margins(box, *view.resized))
        left, top = max(0, box.left), max(0, box.top)
        cut = cut[..., top : top + box.height, left : left + box.width]
        if view.shrunk_px:
            cut = resized(cut, view.shrunk_px, view.shrunk_px)
        yield mirror(cut) if view.mirrored else cut


def _margins(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    right, bottom = box.left + box.width - width, box.top + box.height - height
    return max(0, -box.left), max(0, right), max(0, -box.top), max(0, bottom)
