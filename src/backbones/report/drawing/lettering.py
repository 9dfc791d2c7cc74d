"""How wide a text is, in the font that Matplotlib carries and every drawing is written in."""

from __future__ import annotations

import os
from functools import lru_cache

from PIL import ImageFont

FONT = "DejaVu Sans"
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
