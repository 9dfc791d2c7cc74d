"""What all charts share: a font for class names, and saving without global state.

Figures are made with Matplotlib's objects and not with `pyplot`, which keeps a list of open
figures and picks a window system.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import ImageFont

from backbones.report.fonts import covers, find_font, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

_SIZE_PX = 16  # only for looking at glyphs; the chart sets its own sizes


def label_font(texts: Sequence[str]) -> tuple[FontProperties | None, list[str]]:
    """The font to write `texts` with (None: Matplotlib's own), and how to spell them."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties

    own = ImageFont.truetype(
        os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _SIZE_PX
    )
    if covers(own, "".join(texts)):
        return None, list(texts)
    font = find_font(texts, _SIZE_PX)
    path = str(getattr(font, "path", ""))
    if not os.path.isfile(path):  # Pillow's own font has no file that Matplotlib could open
        return None, [spelled(text, own) for text in texts]
    return FontProperties(fname=path), [spelled(text, font) for text in texts]


def new_charts(
    title: str, size: tuple[float, float], down: int = 1, across: int = 1, **more: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of charts below and beside each other, each with a grid and two axes.

    Args:
        title: of all; "" for none.
        size: of the figure, inches.
        down, across: how many charts.
        more: as `Figure.subplots` takes it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    charts = list(figure.subplots(down, across, squeeze=False, **more).flat)
    if title:
        font, (spelled_title,) = label_font([title])
        figure.suptitle(spelled_title, fontproperties=font, parse_math=False, fontsize=11)
    for axes in charts:
        axes.grid(color="#d1d9e0", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, charts


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure, whole or not at all; the suffix of `path` decides its format.

    Times and random identifiers are left out: equal charts are equal files.
    """
    from matplotlib import rc_context

    from backbones.files import write_atomic

    kind = path.suffix.lower().lstrip(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "backbones", "svg.fonttype": "path"}):
        figure.savefig(drawn, format=kind, metadata=undated.get(kind))
    write_atomic(path, drawn.getvalue())
    return path
