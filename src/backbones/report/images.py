"""Images with the network's answers drawn below them."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backbones.errors import WrongUse
from backbones.files import write_atomic
from backbones.language import said
from backbones.report.fonts import AnyFont, covers, find_font, spelled

Guesses = Sequence[tuple[str, float]]

FORMATS = (".png", ".jpg", ".jpeg", ".webp")  # in which drawn images are saved

PAPER = (255, 255, 255)
INK = (31, 35, 40)
FAINT_INK = (101, 109, 118)
TRACK = (234, 238, 242)
NEUTRAL = (9, 105, 218)
RIGHT = (26, 127, 55)
WRONG = (207, 34, 46)

_MIN_WIDTH_PX, _MAX_SIDE_PX = 320, 640
_TEXT_PX, LINE_PX, MARGIN_PX = 16, 28, 14
_NAME_PX, _BAR_PX, _MOST_LINES = 21, 18, 3  # a line of a name, the bar below it
NO_FONT_NOTE = "<U+...>: no font for this character (set BACKBONES_FONT)"


def check_image_path(path: str | Path) -> None:
    """Refuse a file name whose suffix is no format for images, before the work and not after.

    Raises:
        WrongUse: it is none of `FORMATS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise WrongUse(f"{path} ends in {suffix!r}, expected one of {', '.join(FORMATS)}")


def save_image(image: Image.Image, path: Path) -> Path:
    """Write a drawn image in the format of its name, whole or not at all.

    Args:
        image: RGB.
        path: ends in one of `FORMATS`; its folder is made where it does not exist.

    Raises:
        WrongUse: the suffix is no format for images.
        OSError: the disk is full or the folder cannot be written; an old file is untouched.
    """
    check_image_path(path)
    data = io.BytesIO()
    image.save(data, Image.registered_extensions()[path.suffix.lower()], quality=92)
    write_atomic(path, data.getvalue())
    return path


def annotate(
    image: npt.NDArray[np.uint8], predictions: Guesses, *, true_name: str | None = None
) -> Image.Image:
    """Draw the answers below an image, the likeliest first, each name above its bar.

    The first bar is green where it is the true class, red where it is not, and blue where the
    truth is unknown.

    Args:
        image: uint8, RGB or grey. It is enlarged or reduced to a readable size, never cropped.
        predictions: (name, probability 0..1), best first.
        true_name: the true class, where it is known.

    Shapes:
        image (H, W, 3), (H, W, 1) or (H, W).

    Returns:
        An RGB image, 348 to 668 px wide.
    """
    shown = _readable(to_image(image))
    names = [name for name, _ in predictions]
    told = [] if true_name is None else [said("true class: {name}", name=true_name)]
    texts = [*names, *told]
    font = find_font([*texts, "…%"], _TEXT_PX)
    spelled_out = not covers(font, "".join(texts))
    width = max(shown.width, _MIN_WIDTH_PX) + 2 * MARGIN_PX
    top = shown.height + 2 * MARGIN_PX
    y = top + answers_height(predictions, font, width)
    written = [spelled(text, font) for text in told]
    truth = [line for text in written for line in wrapped(text, font, width - 2 * MARGIN_PX)]
    height = y + len(truth) * _NAME_PX + spelled_out * LINE_PX + MARGIN_PX // 2
    canvas = Image.new("RGB", (width, height), PAPER)
    canvas.paste(shown, ((width - shown.width) // 2, MARGIN_PX))
    draw = ImageDraw.Draw(canvas)
    colour = NEUTRAL
    if predictions and true_name is not None:
        colour = RIGHT if predictions[0][0] == true_name else WRONG
    draw_answers(draw, top, width, font, predictions, colour)
    for line in truth:
        draw.text((MARGIN_PX, y + _NAME_PX / 2), line, FAINT_INK, font, anchor="lm")
        y += _NAME_PX
    if spelled_out:
        small = find_font([NO_FONT_NOTE], 12)
        text = shortened(NO_FONT_NOTE, small, width - 2 * MARGIN_PX)
        draw.text((MARGIN_PX, y + LINE_PX / 2), text, FAINT_INK, small, anchor="lm")
    return canvas


def answers_height(predictions: Guesses, font: AnyFont, width: int) -> int:
    """px that `draw_answers` takes."""
    return sum(_NAME_PX * len(_lines(name, font, width)) + _BAR_PX for name, _ in predictions)


def draw_answers(
    draw: ImageDraw.ImageDraw,
    top: int,
    width: int,
    font: AnyFont,
    predictions: Guesses,
    colour: tuple[int, int, int],
) -> None:
    """Each answer: its whole name with the percentage, and below it a bar on its track.

    Args:
        draw: onto the canvas.
        top, width: px, of the room.
        font: of the names.
        predictions: (name, probability 0..1), best first.
        colour: of the first bar.
    """
    left, right = MARGIN_PX, width - MARGIN_PX
    y = float(top)
    for place, (name, probability) in enumerate(predictions):
        ink = FAINT_INK if place else INK
        number = f"{100 * probability:.1f} %"
        draw.text((right, y + _NAME_PX / 2), number, ink, font, anchor="rm")
        for line in _lines(name, font, width):
            draw.text((left, y + _NAME_PX / 2), line, ink, font, anchor="lm")
            y += _NAME_PX
        draw.rectangle((left, y + 1, right, y + 9), TRACK)
        length = (right - left) * min(max(probability, 0.0), 1.0)
        if length >= 1:
            draw.rectangle((left, y + 1, left + length, y + 9), NEUTRAL if place else colour)
        y += _BAR_PX


def _lines(name: str, font: AnyFont, width: int) -> list[str]:
    room = width - 2 * MARGIN_PX - font.getlength("100.0 %") - 10
    return wrapped(spelled(name, font), font, room)


def wrapped(text: str, font: AnyFont, room_px: float) -> list[str]:
    """`text` in lines of at most `room_px`, broken between words or Chinese characters.

    At most three: what is left of a longer text is cut with an ellipsis.
    """
    lines = [""]
    for piece in re.findall(r"[ -ÿ]*[!-ÿ] ?|\s+|.", text):
        for part in re.findall(r"\S+\s*|\s+", piece):
            if lines[-1] and font.getlength((lines[-1] + part).rstrip()) > room_px:
                lines.append("")
            lines[-1] += part
    kept = [line.strip() for line in lines[: _MOST_LINES - 1]]
    kept += ["".join(lines[_MOST_LINES - 1 :]).strip()] if len(lines) >= _MOST_LINES else []
    return [shortened(line, font, room_px) for line in kept]


def shortened(text: str, font: AnyFont, room_px: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `room_px`."""
    if font.getlength(text) <= room_px:
        return text
    dots = "…" if covers(font, "…") else "..."
    while text and font.getlength(text + dots) > room_px:
        text = text[:-1]
    return text.rstrip() + dots


def to_image(image: npt.NDArray[np.uint8]) -> Image.Image:
    """An RGB Pillow image from an array of one or three channels."""
    flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    return Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")


def _readable(image: Image.Image) -> Image.Image:
    """Enlarge tiny images by a whole factor (their pixels stay visible), reduce large ones."""
    longer = max(image.size)
    if longer > _MAX_SIDE_PX:
        scale = _MAX_SIDE_PX / longer
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.LANCZOS)
    factor = max(1, round(_MIN_WIDTH_PX / longer))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def contact_sheet(tiles: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Lay images out in rows, each in a cell of the largest one's size, aligned at the top.

    Args:
        tiles: at least one image.
        columns: by default as many as make the sheet roughly square.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one image")
    across = columns or math.ceil(math.sqrt(len(tiles)))
    cell_width = max(tile.width for tile in tiles)
    cell_height = max(tile.height for tile in tiles)
    rows = math.ceil(len(tiles) / across)
    sheet = Image.new("RGB", (across * cell_width, rows * cell_height), PAPER)
    for place, tile in enumerate(tiles):
        x, y = place % across * cell_width, place // across * cell_height
        sheet.paste(tile, (x + (cell_width - tile.width) // 2, y))
    return sheet
