"""What one unit of a network sees, painted on an image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from backbones.report.fonts import find_font
from backbones.report.images import INK, PAPER, to_image

_SIDE_PX, _LINE_PX, _TEXT_PX = 448, 3, 16
_FRAME = (255, 194, 10)
_VEIL = 0.35  # how bright the rest of the image stays

Box = tuple[int, int, int, int]


def paint_field(
    image: npt.NDArray[np.uint8], input_px: tuple[int, int], box: Box, label: str
) -> Image.Image:
    """Frame the box that a unit sees, and darken the rest.

    Args:
        image: uint8, RGB or grey; fitted to the network's input, its centre is kept.
        input_px: (height, width) that the network sees.
        box: (top, left, bottom, right) in px of that input; bottom and right are one past.
        label: a line below the image.

    Shapes:
        image (H, W, 3), (H, W, 1) or (H, W).

    Returns:
        An RGB image, enlarged by a whole number until it is well visible.
    """
    height, width = input_px
    scale = max(1, math.ceil(_SIDE_PX / max(height, width)))
    shown = ImageOps.fit(to_image(image).convert("RGB"), (width, height), Image.Resampling.BICUBIC)
    shown = shown.resize((width * scale, height * scale), Image.Resampling.NEAREST)
    top, left, bottom, right = (side * scale for side in box)
    canvas = Image.blend(Image.new("RGB", shown.size), shown, _VEIL)
    canvas.paste(shown.crop((left, top, right, bottom)), (left, top))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=_LINE_PX)
    page = Image.new("RGB", (canvas.width, canvas.height + 2 * _TEXT_PX), PAPER)
    page.paste(canvas, (0, 0))
    ImageDraw.Draw(page).text(
        (_TEXT_PX // 2, canvas.height + _TEXT_PX // 2), label, INK, find_font([label], _TEXT_PX)
    )
    return page
