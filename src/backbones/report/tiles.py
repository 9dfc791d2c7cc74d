"""Contact sheets of what is inside a network: the first layer's filters, a layer's maps."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backbones.report.fonts import find_font, spelled
from backbones.report.images import FAINT_INK, INK, PAPER, contact_sheet, shortened

Floats = npt.NDArray[np.float32]

MAPS_SHOWN = 64
_FILTER_PX, _MAP_PX, _GAP_PX, _HEAD_PX, _LABEL_PX = 60, 96, 6, 46, 16


def draw_filters(filters: Floats, *, title: str) -> Image.Image:
    """Every filter of a first layer as an image; grey is zero, each filter is scaled by itself.

    Filters over three channels are drawn in colour, others a row of grey tiles each.

    Shapes: filters (maps, channels, kernel height, kernel width).
    """
    count, channels, height, width = filters.shape
    strongest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * filters / np.where(strongest > 0, strongest, 1.0)
    if channels == 3:
        tiles = list(scaled.transpose(0, 2, 3, 1))
    else:
        tiles = [plane for each in scaled for plane in each]
    factor = max(1, round(_FILTER_PX / max(height, width)))
    drawn = [framed(_enlarged(tile, factor)) for tile in tiles]
    across = None if channels in (1, 3) else channels
    if across is None:
        across = math.ceil(math.sqrt(len(drawn) * 1.6))
    note = f"{count} filters of {height}x{width} px over {channels} channel{'s'[: channels > 1]}"
    return headed(contact_sheet(drawn, columns=across), title, note)


def draw_feature_maps(maps: Floats, *, title: str, shown: int = MAPS_SHOWN) -> Image.Image:
    """The maps of a layer for one image, each from its own lowest to its highest value.

    Where there are more than `shown`, the strongest are; the numbers below count from 0.

    Shapes: maps (C, h, w).
    """
    from matplotlib import colormaps

    count, height, width = maps.shape
    order = np.arange(count)
    if count > shown:
        strength = np.abs(maps).mean(axis=(1, 2))
        order = np.sort(np.argsort(-strength, kind="stable")[:shown])
    factor = max(1, round(_MAP_PX / max(height, width)))
    tiles = []
    for number in order.tolist():
        each = maps[number]
        low, high = float(each.min()), float(each.max())
        share = (each - low) / (high - low) if high > low else np.zeros_like(each)
        tile = _enlarged(np.asarray(colormaps["viridis"](share)[..., :3]), factor)
        if max(tile.size) > 2 * _MAP_PX:
            tile.thumbnail((2 * _MAP_PX, 2 * _MAP_PX), Image.Resampling.LANCZOS)
        tiles.append(framed(tile, str(number)))
    kind = f"{count} maps of {height}x{width}"
    note = kind if count <= shown else f"the {shown} strongest of {kind}"
    return headed(contact_sheet(tiles), title, note)


def _enlarged(values: npt.NDArray[np.floating], factor: int) -> Image.Image:
    """Values 0..1, grey or RGB, each as a square of pixels."""
    image = Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST)


def framed(tile: Image.Image, label: str = "") -> Image.Image:
    """A tile with room around it, and its number or name below."""
    below = _LABEL_PX if label else 0
    size = (tile.width + _GAP_PX, tile.height + _GAP_PX + below)
    cell = Image.new("RGB", size, PAPER)
    cell.paste(tile, (_GAP_PX // 2, _GAP_PX // 2))
    if label:
        middle = (cell.width / 2, tile.height + _GAP_PX / 2 + below / 2)
        font = find_font([label, "…"], 11)
        written = shortened(spelled(label, font), font, tile.width)
        ImageDraw.Draw(cell).text(middle, written, FAINT_INK, font, anchor="mm")
    return cell


def headed(sheet: Image.Image, title: str, note: str) -> Image.Image:
    """A sheet with two lines above it."""
    margin = 14
    width = max(sheet.width, 320) + 2 * margin
    canvas = Image.new("RGB", (width, sheet.height + _HEAD_PX + 2 * margin), PAPER)
    draw = ImageDraw.Draw(canvas)
    room = width - 2 * margin
    for text, y, ink, size_px in ((title, 22, INK, 16), (note, 44, FAINT_INK, 13)):
        font = find_font([text, "…"], size_px)
        left = margin + _GAP_PX // 2
        draw.text((left, y), shortened(spelled(text, font), font, room), ink, font, anchor="lm")
    canvas.paste(sheet, (margin, _HEAD_PX + margin))
    return canvas
