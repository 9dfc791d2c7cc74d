"""A page of images with heat maps over them: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from backbones.report.heat import HeatMap, colour_bar, heat_overlay, panel_image
from backbones.report.page import answers, document, embedded

OVER_STYLE = """
.over { position: relative; }
.over img:last-child { position: absolute; inset: 0; transition: opacity .15s; }
.over:hover img:last-child, .over:focus img:last-child { opacity: 0; }
article .bar img { height: 10px; border-radius: 3px; object-fit: fill; }
.bar { font-size: 12px; color: var(--faint); }
.bar span { display: flex; justify-content: space-between; column-gap: 12px; }
.bar i:last-child { text-align: right; }
"""
"""Of what `overlay` draws."""
_STYLE = """
main { display: block; }
article { display: grid; gap: 14px 22px; margin-bottom: 18px; padding: 14px;
  grid-template-columns: minmax(0, 1fr) minmax(200px, 250px); align-items: start; }
article > .error { grid-column: 1 / -1; }
.maps { display: grid; gap: 6px 14px;
  grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
figure { margin: 0; min-width: 0; }
.maps figure { display: grid; grid-row: span 3; grid-template-rows: subgrid; margin-bottom: 8px; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
figcaption small { display: block; font-weight: 400; color: var(--faint); }
article figure img { aspect-ratio: auto; height: auto; }
@media (max-width: 640px) { article { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True)
class ExplainedImage:
    """One row of the page.

    Args:
        caption: the image's name or path.
        note: what else to say of it.
        image: uint8 (H, W, 3 or 1), or None where it could not be decoded.
        maps: over the panel that `panel_image` makes of it.
        predictions: (name, probability), best first.
        error: why there is no image.
    """

    caption: str
    note: str = ""
    image: npt.NDArray[np.uint8] | None = None
    maps: tuple[HeatMap, ...] = ()
    predictions: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def heat_page(shown: Iterable[ExplainedImage], *, title: str, notes: Sequence[str] = ()) -> str:
    """The page as one HTML document; where the pointer is over a map, or where it
    was tapped, the image shows.

    Args:
        shown: the rows, in order.
        title: the heading.
        notes: sentences below it.
    """
    rows = "\n".join(_row(each) for each in shown)
    return document(rows, title=title, notes=notes, style=_STYLE + OVER_STYLE)


def _row(shown: ExplainedImage) -> str:
    head = _caption(shown.caption, shown.note)
    if shown.image is None:
        why = escape(shown.error or "")
        return f'<article><figure>{head}</figure><div class="error">{why}</div></article>'
    figures = [f"<figure>{head}{embedded(panel_image(shown.image), shown.caption)}</figure>"]
    figures += [overlay(shown.image, shown.caption, each) for each in shown.maps]
    return (
        f'<article><div class="maps">{"".join(figures)}</div>'
        f"<div>{answers(shown.predictions)}</div></article>"
    )


def overlay(image: npt.NDArray[np.uint8], caption: str, heat: HeatMap) -> str:
    """HTML of a map over its image, which shows where the pointer is over it.

    Args:
        image: uint8 (H, W, 3 or 1).
        caption: the image's name or path.
        heat: over the panel that `panel_image` makes of it.
    """
    panel = panel_image(image)
    below = embedded(panel, caption)
    over = embedded(heat_overlay(panel, heat.values, signed=heat.signed), heat.title)
    return (
        f"<figure>{_caption(heat.title, heat.note)}"
        f'<div class="over" tabindex="0">{below}{over}</div>{_bar(heat)}</figure>'
    )


def _caption(title: str, note: str) -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<figcaption>{escape(title)}{small}</figcaption>"


def _bar(heat: HeatMap) -> str:
    low, high = map(escape, heat.ends)
    bar = embedded(colour_bar(256, 4, signed=heat.signed), "")
    return f'<div class="bar">{bar}<span><i>{low}</i><i>{high}</i></span></div>'
