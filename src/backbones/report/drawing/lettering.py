"""How large and how wide text is, in the font that Matplotlib carries: every drawing has it."""

from __future__ import annotations

import os
from functools import lru_cache

from PIL import ImageFont

FONT = "DejaVu Sans"
SMALLEST = 6.4  # pt: no text is smaller
WIDEST = 1280 * SMALLEST / 9  # pt, of a sheet: 1280 px wide, its smallest text has 9 px
_MEASURED_AT = 200  # px; widths are proportional to the size


@lru_cache(maxsize=2)
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(os.path.join(get_data_path(), "fonts", "ttf", name), _MEASURED_AT)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in pt of a line of text of a size in pt."""
    return float(_font(bold).getlength(text)) / _MEASURED_AT * size


def wrapped(text: str, size: float, width: float) -> list[str]:
    """A text in lines that are no wider than they have to be."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
