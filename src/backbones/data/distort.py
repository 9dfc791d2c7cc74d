"""What changes the look of a finished square: colour jitter, and RandAugment's operations.

Pillow does the work, on bytes; what is done to an image was sampled before (`data.augment`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from backbones.data.random import Floats

Operation = Callable[[Image.Image, float], Image.Image]

_GREY = 128  # what a moved image leaves behind
# Which of jitter's three comes when, by a number that was sampled.
_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill
    )


def _shear_x(image: Image.Image, strength: float) -> Image.Image:
    slope = 0.3 * strength
    return _affine(image, (1, slope, -slope * image.height / 2, 0, 1, 0))


def _shear_y(image: Image.Image, strength: float) -> Image.Image:
    slope = 0.3 * strength
    return _affine(image, (1, 0, 0, slope, 1, -slope * image.width / 2))


def _translate_x(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, 0, round(0.45 * strength * image.width), 0, 1, 0))


def _translate_y(image: Image.Image, strength: float) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, round(0.45 * strength * image.height)))


def _rotate(image: Image.Image, strength: float) -> Image.Image:
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=fill)


def _brightness(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _colour(image: Image.Image, factor: float) -> Image.Image:
    return image if image.mode == "L" else ImageEnhance.Color(image).enhance(factor)


# By number, as sampled: never reorder, a seed would come to mean something else. The strength is
# -1 to 1; operations without a direction take its size.
OPERATIONS: tuple[tuple[str, Operation], ...] = (
    ("identity", lambda image, _: image),
    ("autocontrast", lambda image, _: ImageOps.autocontrast(image)),
    ("equalize", lambda image, _: ImageOps.equalize(image)),
    ("rotate", _rotate),
    ("solarize", lambda image, s: ImageOps.solarize(image, round(256 * (1 - abs(s))))),
    ("posterize", lambda image, s: ImageOps.posterize(image, 8 - round(4 * abs(s)))),
    ("colour", lambda image, s: _colour(image, 1 + 0.9 * s)),
    ("contrast", lambda image, s: _contrast(image, 1 + 0.9 * s)),
    ("brightness", lambda image, s: _brightness(image, 1 + 0.9 * s)),
    ("sharpness", lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * s)),
    ("shear_x", _shear_x),
    ("shear_y", _shear_y),
    ("translate_x", _translate_x),
    ("translate_y", _translate_y),
)
_JITTERS: tuple[Operation, ...] = (_brightness, _contrast, _colour)


def distort(squares: npt.NDArray[np.uint8], jitter: Floats, operations: Floats) -> None:
    """Change the look of squares, in place.

    Args:
        squares: to change.
        jitter: the factors of brightness, contrast and saturation, and a number in [0, 1) for
            their order; or no columns.
        operations: number in `OPERATIONS` and strength, one after the other; or none.

    Shapes:
        squares: uint8 (N, S, S, 1 or 3). jitter: (N, 4 or 0). operations: (N, K, 2).
    """
    for row, square in enumerate(squares):
        grey = square.shape[2] == 1
        image = Image.fromarray(square[:, :, 0] if grey else square)
        if jitter.shape[1]:
            order = _ORDERS[int(jitter[row, 3] * len(_ORDERS))]
            for which in order:
                image = _JITTERS[which](image, float(jitter[row, which]))
        for number, strength in operations[row]:
            image = OPERATIONS[int(number)][1](image, float(strength))
        changed = np.asarray(image)
        square[...] = changed[:, :, None] if grey else changed
