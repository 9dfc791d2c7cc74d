"""Widths that compound and width multipliers ask for, rounded to what runs well."""

from __future__ import annotations


def round_width(maps: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, at least one, but never below 90 % of what was asked.

    Reference: `_make_divisible` of the authors' MobileNet v2 and `round_filters` of their
    EfficientNet (tensorflow/models, tensorflow/tpu); the papers don't print it.

    Example:
        >>> [round_width(maps) for maps in (3, 18, 32 * 1.1, 112 * 1.1)]
        [8, 24, 32, 120]
    """
    rounded = max(divisor, int(maps + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * maps else rounded
