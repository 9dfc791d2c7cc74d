"""A page of a data set: what each class looks like, what is odd, and what is there twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from backbones.report.images import to_image
from backbones.report.page import document, embedded

_STYLE = """
main { display: block; }
h2 { font-size: 17px; margin: 28px 0 6px; }
h3 { font-size: 14px; margin: 14px 0 6px; overflow-wrap: anywhere; }
h3 small { font-weight: 400; color: var(--faint); }
.strip { display: flex; flex-wrap: wrap; gap: 8px; }
.strip figure { margin: 0; width: 130px; }
.strip img { display: block; width: 130px; height: 98px; object-fit: contain;
  background: var(--track); border-radius: 4px; }
.strip figcaption { font-size: 11px; line-height: 1.25; color: var(--faint);
  overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class Thumbnail:
    """An image of the page.

    Args:
        caption: its name, and what else is to be said of it.
        image: uint8 (H, W, 3 or 1), or None where it could not be decoded.
    """

    caption: str
    image: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Strip:
    """Images that stand side by side.

    Args:
        title: what they have in common.
        note: how many there are, or why they are here.
        images: some of them.
    """

    title: str
    note: str
    images: tuple[Thumbnail, ...]


def data_page(
    sections: Sequence[tuple[str, Sequence[Strip]]], *, title: str, notes: Sequence[str] = ()
) -> str:
    """The page as one HTML document: images embedded, names escaped, light and dark.

    Args:
        sections: headings with their strips; those without are left out.
        title: the heading.
        notes: sentences below it.
    """
    parts = [
        f"<section><h2>{escape(heading)}</h2>{''.join(map(_strip, strips))}</section>"
        for heading, strips in sections
        if strips
    ]
    return document("\n".join(parts), title=title, notes=notes, style=_STYLE)


def _strip(strip: Strip) -> str:
    note = f" <small>{escape(strip.note)}</small>" if strip.note else ""
    images = "".join(map(_figure, strip.images))
    return f'<h3>{escape(strip.title)}{note}</h3><div class="strip">{images}</div>'


def _figure(shown: Thumbnail) -> str:
    image = "" if shown.image is None else embedded(to_image(shown.image), shown.caption)
    return f"<figure>{image}<figcaption>{escape(shown.caption)}</figcaption></figure>"
