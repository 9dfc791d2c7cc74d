"""Pictures with the network's answers drawn below them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backbones.files import write_atomic
from backbones.report.fonts import AnyFont, covers, find_font, spelled

Guesses = Sequence[tuple[str, float]]

FORMATS = (".png", ".jpg", ".jpeg", ".webp")  # in which drawn pictures are saved

PAPER = (255, 255, 255)
INK = (31, 35, 40)
FAINT_INK = (101, 109, 118)
TRACK = (234, 238, 242)
NEUTRAL = (9, 105, 218)
RIGHT = (26, 127, 55)
WRONG = (207, 34, 46)

_MIN_WIDTH_PX, _MAX_SIDE_PX = 320, 640
_TEXT_PX, LINE_PX, MARGIN_PX = 16, 28, 14
NO_FONT_NOTE = "<U+...>: no font for this character (set BACKBONES_FONT)"


def save_image(image: Image.Image, path: Path) -> Path:
    """Write a drawn picture in the format of its name, whole or not at all.

    Args:
        image: RGB.
        path: ends in one of `FORMATS`; its folder is made where it does not exist.

    Raises:
        OSError: the disk is full or the folder cannot be written; an old file is untouched.
    """
    data = io.BytesIO()
    image.save(data, Image.registered_extensions()[path.suffix.lower()], quality=92)
    write_atomic(path, data.getvalue())
    return path


def annotate(
    picture: npt.NDArray[np.uint8], predictions: Guesses, *, true_name: str | None = None
) -> Image.Image:
    """Draw the answers below a picture, the likeliest first, each with a bar.

    The first bar is green where it is the true class, red where it is not, and blue where the
    truth is unknown.

    Args:
        picture: uint8, RGB or grey. It is enlarged or reduced to a readable size, never cropped.
        predictions: (name, probability 0..1), best first.
        true_name: the true class, where it is known.

    Shapes:
        picture (H, W, 3), (H, W, 1) or (H, W).

    Returns:
        An RGB picture, 348 to 668 px wide.
    """
    shown = _readable(to_image(picture))
    names = [name for name, _ in predictions]
    font = find_font([*names, true_name or "", "…%"], _TEXT_PX)
    texts = [*names, true_name or ""]
    spelled_out = not covers(font, "".join(texts))
    lines = len(predictions) + (true_name is not None) + spelled_out
    width = max(shown.width, _MIN_WIDTH_PX) + 2 * MARGIN_PX
    top = shown.height + 2 * MARGIN_PX
    canvas = Image.new("RGB", (width, top + lines * LINE_PX + MARGIN_PX // 2), PAPER)
    canvas.paste(shown, ((width - shown.width) // 2, MARGIN_PX))
    draw = ImageDraw.Draw(canvas)
    for place, (name, probability) in enumerate(predictions):
        colour = NEUTRAL
        if place == 0 and true_name is not None:
            colour = RIGHT if name == true_name else WRONG
        answer_line(draw, top + place * LINE_PX, width, font, name, probability, colour, place == 0)
    y = top + len(predictions) * LINE_PX
    if true_name is not None:
        text = shortened(f"true class: {spelled(true_name, font)}", font, width - 2 * MARGIN_PX)
        draw.text((MARGIN_PX, y + LINE_PX / 2), text, FAINT_INK, font, anchor="lm")
        y += LINE_PX
    if spelled_out:
        small = find_font([NO_FONT_NOTE], 12)
        text = shortened(NO_FONT_NOTE, small, width - 2 * MARGIN_PX)
        draw.text((MARGIN_PX, y + LINE_PX / 2), text, FAINT_INK, small, anchor="lm")
    return canvas


def answer_line(
    draw: ImageDraw.ImageDraw,
    top: float,
    width: int,
    font: AnyFont,
    name: str,
    probability: float,
    colour: tuple[int, int, int],
    first: bool,
) -> None:
    """One line: the name, a bar on its track, the percentage."""
    middle = top + LINE_PX / 2
    number = f"{100 * probability:.1f} %"
    right = width - MARGIN_PX
    bar_right = right - font.getlength("100.0 %") - 10
    bar_left = MARGIN_PX + (bar_right - MARGIN_PX) * 0.52
    ink = INK if first else FAINT_INK
    text = shortened(spelled(name, font), font, bar_left - MARGIN_PX - 10)
    draw.text((MARGIN_PX, middle), text, ink, font, anchor="lm")
    draw.text((right, middle), number, ink, font, anchor="rm")
    draw.rectangle((bar_left, middle - 4, bar_right, middle + 4), TRACK)
    length = (bar_right - bar_left) * min(max(probability, 0.0), 1.0)
    if length >= 1:
        draw.rectangle((bar_left, middle - 4, bar_left + length, middle + 4), colour)


def shortened(text: str, font: AnyFont, room_px: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `room_px`."""
    if font.getlength(text) <= room_px:
        return text
    dots = "…" if covers(font, "…") else "..."
    while text and font.getlength(text + dots) > room_px:
        text = text[:-1]
    return text.rstrip() + dots


def to_image(picture: npt.NDArray[np.uint8]) -> Image.Image:
    """An RGB Pillow picture from an array of one or three channels."""
    flat = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    return Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")


def _readable(image: Image.Image) -> Image.Image:
    """Enlarge tiny pictures by a whole factor (their pixels stay visible), reduce large ones."""
    longer = max(image.size)
    if longer > _MAX_SIDE_PX:
        scale = _MAX_SIDE_PX / longer
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.LANCZOS)
    factor = max(1, round(_MIN_WIDTH_PX / longer))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def contact_sheet(tiles: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Lay pictures out in rows, each in a cell of the largest one's size, aligned at the top.

    Args:
        tiles: at least one picture.
        columns: by default as many as make the sheet roughly square.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one picture")
    across = columns or math.ceil(math.sqrt(len(tiles)))
    cell_width = max(tile.width for tile in tiles)
    cell_height = max(tile.height for tile in tiles)
    rows = math.ceil(len(tiles) / across)
    sheet = Image.new("RGB", (across * cell_width, rows * cell_height), PAPER)
    for place, tile in enumerate(tiles):
        x, y = place % across * cell_width, place // across * cell_height
        sheet.paste(tile, (x + (cell_width - tile.width) // 2, y))
    return sheet
