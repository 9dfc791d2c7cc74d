"""A recipe to look at: its learning rate, what it does to images, and what a batch looks like."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.errors import WrongUse
from backbones.files import write_atomic
from backbones.report.images import PAPER, contact_sheet, to_image
from backbones.report.page import document
from backbones.report.tiles import framed, headed
from backbones.text import spelled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Images = Sequence[npt.NDArray[np.uint8]]

_TILE_PX = 112
_STYLE = """
main { display: block; }
article { margin-bottom: 18px; padding: 14px; }
article img { width: auto; max-width: 100%; aspect-ratio: auto; height: auto; background: none; }
h2 { font-size: 16px; margin: 0 0 4px; }
table { border-collapse: collapse; }
td { padding: 2px 18px 2px 0; vertical-align: top; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class RecipeImage:
    """What is shown of a recipe.

    Args:
        title: the recipe's name and summary.
        notes: sentences: where it comes from, what result to expect.
        fields: (field, value) of what it sets.
        figure: the learning rate.
        samples: a row an image: how an evaluation sees it, then as it was drawn.
        samples_note: what the rows are.
        batch: images of one batch.
        batch_labels: the class of each.
        batch_note: what it is.
    """

    title: str
    notes: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    figure: Figure
    samples: Sequence[Images]
    samples_note: str
    batch: Images
    batch_labels: Sequence[str]
    batch_note: str

    def write(self, path: Path) -> Path:
        """Write an HTML page or a PNG, by the suffix.

        Raises:
            WrongUse: another suffix.
        """
        parts = (
            ("Learning rate", "", _drawn(self.figure)),
            ("Augmentation", self.samples_note, _sheet(self.samples)),
            ("One batch", self.batch_note, _sheet([self.batch], self.batch_labels)),
        )
        if path.suffix.lower() == ".png":
            data = io.BytesIO()
            _stacked(parts, self.title).save(data, "PNG")
            write_atomic(path, data.getvalue())
        elif path.suffix.lower() in (".html", ".htm"):
            write_atomic(path, spelled(self._page(parts)).encode())
        else:
            raise WrongUse(f"{path.name} is no page or image; expected .html or .png")
        return path

    def _page(self, parts: Sequence[tuple[str, str, Image.Image]]) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>"
            for name, value in self.fields
        )
        cells = "".join(
            f"<article><h2>{escape(title)}</h2><p>{escape(note)}</p>{_embedded(image, title)}"
            "</article>\n"
            for title, note, image in parts
        )
        table = f"<article><h2>What it sets</h2><table>{rows}</table></article>\n"
        return document(cells + table, title=self.title, notes=self.notes, style=_STYLE)


def _embedded(image: Image.Image, caption: str) -> str:
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="{escape(caption)}" src="data:image/png;base64,{text}">'


def _drawn(figure: Figure) -> Image.Image:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Image.open(data).convert("RGB")


def _sheet(rows: Sequence[Images], labels: Sequence[str] = ()) -> Image.Image:
    """Tiles of one size: a row of the sheet for each of several rows, one row in a square."""
    images = [image for row in rows for image in row]
    tiles = [_tile(each, label) for each, label in zip(images, labels or [""] * len(images),
                                                       strict=True)]  # fmt: skip
    return contact_sheet(tiles, columns=len(rows[0]) if len(rows) > 1 else 8)


def _tile(pixels: npt.NDArray[np.uint8], label: str) -> Image.Image:
    """Small images by a whole factor, pixel by pixel; large ones reduced."""
    image = to_image(pixels)
    longer = max(image.size)
    if longer > _TILE_PX:
        image.thumbnail((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
    else:
        factor = max(1, _TILE_PX // longer)
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    return framed(image, label)


def _stacked(parts: Sequence[tuple[str, str, Image.Image]], title: str) -> Image.Image:
    """The parts below each other, each under its heading."""
    panels = [
        headed(image, title if number == 0 else name, note or name)
        for number, (name, note, image) in enumerate(parts)
    ]
    width = max(panel.width for panel in panels)
    canvas = Image.new("RGB", (width, sum(panel.height for panel in panels)), PAPER)
    top = 0
    for panel in panels:
        canvas.paste(panel, (0, top))
        top += panel.height
    return canvas
