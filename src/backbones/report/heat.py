"""Heat maps on images: where in an image a network saw a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backbones.report.fonts import AnyFont, covers, find_font, spelled
from backbones.report.images import (
    FAINT_INK,
    INK,
    LINE_PX,
    MARGIN_PX,
    NEUTRAL,
    NO_FONT_NOTE,
    PAPER,
    Guesses,
    answers_height,
    draw_answers,
    shortened,
    to_image,
)

Floats = npt.NDArray[np.floating[Any]]

SIDE_PX = 460  # the longer side of a photo in a panel
_TINY_PX = 368  # about the side of a tiny image, which is enlarged by a whole factor
_TITLE_PX, _BAR_PX, _ENDS_PX = 46, 10, 20
_NARROWEST_PX = 300  # of a column, for its words, where the image is narrower
_STRENGTH = 0.6  # how much the strongest colour hides of what is below
_DARKEST = 44  # of the grey below a map, and as far from white: colour shows on both
_GROUND = 128  # what the colour bar lies on


@dataclass(frozen=True)
class HeatMap:
    """One map over an image.

    Args:
        title: the class.
        note: how the map was made.
        values: one a pixel of the panel (see `panel_image`); NaN where the network saw nothing.
        signed: blue below zero and red above; else from nothing to the largest value.
        ends: what to write at the ends of the colour bar.

    Shapes: values (H, W).
    """

    title: str
    note: str
    values: Floats
    signed: bool
    ends: tuple[str, str]


def panel_image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """An image in the size of a panel: a photo is reduced, a tiny image's pixels stay visible.

    Shapes: uint8 (H, W, 3), (H, W, 1) or (H, W).
    """
    image = to_image(pixels)
    longer = max(image.size)
    factor = max(1, round(_TINY_PX / longer))
    if longer <= SIDE_PX:
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    scale = SIDE_PX / longer
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def heat_overlay(panel: Image.Image, values: Floats, *, signed: bool = False) -> Image.Image:
    """A heat map over an image, whose own colours are taken back so that colour means heat.

    What the network did not see is faded, with a line around what it saw.

    Args:
        panel: the image.
        values: one a pixel; NaN where the network saw nothing.
        signed: see `HeatMap`.

    Shapes: values (panel height, panel width).
    """
    colours = np.asarray(panel, dtype=np.float32)
    grey = np.asarray(panel.convert("L").convert("RGB"), dtype=np.float32)
    ground = _DARKEST + (1 - _DARKEST / 128) * (0.85 * grey + 0.15 * colours)
    seen = ~np.isnan(values)
    drawn = _heated(ground, _shares(values, signed), signed)
    drawn[~seen] = 0.35 * ground[~seen] + 0.65 * 255
    image = Image.fromarray(drawn.round().astype(np.uint8))
    if not seen.all() and seen.any():
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
        ImageDraw.Draw(image).rectangle(box, outline=INK)
    return image


def colour_bar(width: int, height: int, *, signed: bool = False) -> Image.Image:
    """The colours of a heat map from its lowest to its highest value, as they look on grey."""
    shares = np.linspace(-1.0 if signed else 0.0, 1.0, width, dtype=np.float32)
    ground = np.full((height, width, 3), _GROUND, dtype=np.float32)
    drawn = _heated(ground, np.tile(shares, (height, 1)), signed)
    return Image.fromarray(drawn.round().astype(np.uint8))


def _shares(values: Floats, signed: bool) -> Floats:
    """Values as shares of the strongest, 0..1 or -1..1; all zero where nothing is strong."""
    known = np.nan_to_num(values, nan=0.0)
    strongest = float((np.abs(known) if signed else known).max(initial=0.0))
    if strongest <= 0:
        return np.zeros_like(known)
    shares: Floats = np.clip(known / strongest, -1.0 if signed else 0.0, 1.0)
    return shares


def _heated(ground: Floats, shares: Floats, signed: bool) -> Floats:
    """Colours over a ground; the weaker, the more of the ground shows."""
    from matplotlib import colormaps

    if signed:
        colours = colormaps["RdBu_r"](0.5 + 0.42 * shares)
    else:
        colours = colormaps["inferno"](0.3 + 0.58 * shares)  # lighter is more, in any print
    strength = np.abs(shares)
    cover = _STRENGTH * np.sqrt(strength)[..., None]
    heat = np.asarray(colours[..., :3], dtype=np.float32) * 255
    mixed: Floats = ((1 - cover) * ground + cover * heat).astype(np.float32)
    return mixed


def draw_heat_maps(
    image: npt.NDArray[np.uint8],
    maps: Sequence[HeatMap],
    predictions: Guesses,
    *,
    caption: tuple[str, str] = ("", ""),
) -> Image.Image:
    """The image, each map over it with its colour bar, and the network's answers below.

    Args:
        image: uint8, RGB or grey.
        maps: in order.
        predictions: (name, probability 0..1), best first.
        caption: the image's name, and what else to say of it.

    Shapes: image (H, W, 3), (H, W, 1) or (H, W).
    """
    panel = panel_image(image)
    titles = [caption, *((each.title, each.note) for each in maps)]
    names = [name for name, _ in predictions]
    texts = [*(text for pair in titles for text in pair), *names]
    font = find_font(["…%", *texts], 16)
    spelled_out = not covers(font, "".join(texts))
    room = max(panel.width, _NARROWEST_PX)
    across = _across(len(titles), room)
    cell_width = room + MARGIN_PX
    cell_height = _TITLE_PX + panel.height + _BAR_PX + _ENDS_PX + MARGIN_PX
    rows = math.ceil(len(titles) / across)
    width = MARGIN_PX + across * cell_width
    top = MARGIN_PX // 2 + rows * cell_height
    below = top + answers_height(predictions, font, width)
    canvas = Image.new("RGB", (width, below + spelled_out * LINE_PX + MARGIN_PX // 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    for place, title in enumerate(titles):
        x = MARGIN_PX + place % across * cell_width
        y = MARGIN_PX // 2 + place // across * cell_height
        _title(draw, (x, y), title, font, room)
        if not place:
            canvas.paste(panel, (x, y + _TITLE_PX))
            continue
        each = maps[place - 1]
        canvas.paste(heat_overlay(panel, each.values, signed=each.signed), (x, y + _TITLE_PX))
        y += _TITLE_PX + panel.height + MARGIN_PX // 2
        canvas.paste(colour_bar(room, _BAR_PX, signed=each.signed), (x, y))
        _ends(draw, (x, y + _BAR_PX), each, room)
    draw_answers(draw, top, width, font, predictions, NEUTRAL)
    if spelled_out:
        small = find_font([NO_FONT_NOTE], 12)
        middle = below + LINE_PX / 2
        text = shortened(NO_FONT_NOTE, small, width - 2 * MARGIN_PX)
        draw.text((MARGIN_PX, middle), text, FAINT_INK, small, anchor="lm")
    return canvas


def _across(num_panels: int, cell_px: int) -> int:
    """Panels in a row: all where they fit on a screen, else rows of about the same length."""
    most = max(2, 1500 // (cell_px + MARGIN_PX))
    return math.ceil(num_panels / math.ceil(num_panels / most))


def _title(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: tuple[str, str],
    font: AnyFont,
    room_px: int,
) -> None:
    """A strong line, and a faint one below."""
    x, y = corner
    small = find_font(list(title), 13)
    for text, height, ink, face in ((title[0], 14, INK, font), (title[1], 33, FAINT_INK, small)):
        line = shortened(spelled(text, face), face, room_px)
        draw.text((x, y + height), line, ink, face, anchor="lm")


def _ends(draw: ImageDraw.ImageDraw, corner: tuple[int, int], heat: HeatMap, width: int) -> None:
    """What the ends of the colour bar mean."""
    x, y = corner
    font = find_font(list(heat.ends), 13)
    middle = y + _ENDS_PX // 2 + 2
    draw.text((x, middle), heat.ends[0], FAINT_INK, font, anchor="lm")
    draw.text((x + width, middle), heat.ends[1], FAINT_INK, font, anchor="rm")
