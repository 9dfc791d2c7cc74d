"""A page of images with the network's answers: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.files import write_atomic
from backbones.language import said, spoken
from backbones.report.images import to_image
from backbones.text import shown, spelled

_THUMB_PX = 288  # twice what is shown, for sharp screens
_TINY_PX = 96  # smaller images are kept as they are, pixel by pixel

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2328; --faint: #59636e;
  --line: #d1d9e0; --track: #eaeef2; --neutral: #0969da; --right: #1a7f37; --wrong: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --line: #30363d;
    --track: #21262d; --neutral: #4493f8; --right: #3fb950; --wrong: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 24px 16px; background: var(--paper);
  color: var(--ink); font: 14px/1.45 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; }
p { margin: 0 0 18px; color: var(--faint); }
main { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }
article { border: 1px solid var(--line); border-top-width: 4px; border-radius: 8px;
  padding: 10px; }
article.right { border-top-color: var(--right); }
article.wrong { border-top-color: var(--wrong); }
article img { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain;
  background: var(--track); border-radius: 4px; }
img.tiny { image-rendering: pixelated; }
.where { margin: 6px 0; color: var(--faint); font-size: 12px; overflow-wrap: anywhere; }
.truth { margin: 6px 0 0; font-size: 13px; color: var(--faint); }
ol { list-style: none; margin: 0; padding: 0; }
li { display: grid; grid-template-columns: 1fr auto; column-gap: 8px; padding: 2px 0; }
li span:first-child { overflow: hidden; overflow-wrap: anywhere; display: -webkit-box;
  -webkit-box-orient: vertical; -webkit-line-clamp: 2; line-clamp: 2; }
li:first-child span { font-weight: 600; }
li span.share { font-variant-numeric: tabular-nums; }
li i { grid-column: 1 / -1; height: 5px; border-radius: 3px; background: var(--track); }
li i b { display: block; height: 100%; border-radius: 3px; background: var(--neutral); }
.right li:first-child b { background: var(--right); }
.wrong li:first-child b { background: var(--wrong); }
.error { color: var(--wrong); }
"""


@dataclass(frozen=True)
class ShownImage:
    """One cell of the page.

    Args:
        caption: the image's name or path.
        image: uint8 (H, W, 3 or 1), or None where it could not be decoded.
        predictions: (name, probability), best first.
        true_name: the true class, where it is known.
        error: why there is no image.
    """

    caption: str
    image: npt.NDArray[np.uint8] | None
    predictions: tuple[tuple[str, float], ...] = ()
    true_name: str | None = None
    error: str | None = None


def image_page(shown: Iterable[ShownImage], *, title: str, notes: Sequence[str] = ()) -> str:
    """The page as one HTML document: images embedded, names escaped, light and dark.

    Args:
        shown: the cells, in order.
        title: the heading.
        notes: sentences below it.
    """
    return document("\n".join(cell(each) for each in shown), title=title, notes=notes)


def document(cells: str, *, title: str, notes: Sequence[str] = (), style: str = "") -> str:
    """A whole HTML page around its cells.

    Args:
        cells: HTML of the articles.
        title: the heading.
        notes: sentences below it.
        style: CSS beyond what all pages have.
    """
    below = " ".join(escape(note) for note in notes)
    return _plain(
        f'<!doctype html>\n<html lang="{spoken()}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{below}</p>\n<main>\n{cells}\n</main>\n</body>\n</html>\n"
    )


def _plain(page: str) -> str:
    """A page that every browser reads, whatever the names in it are made of."""
    return spelled(shown(page, keep="\n\t"))


def write_page(
    shown: Iterable[ShownImage], path: Path, *, title: str, notes: Sequence[str] = ()
) -> Path:
    """Write `image_page` to a file, whole or not at all."""
    write_atomic(path, image_page(shown, title=title, notes=notes).encode())
    return path


def cell(shown: ShownImage, below: str = "") -> str:
    """HTML of an image with its answers.

    Args:
        shown: the image.
        below: HTML that follows them.
    """
    verdict = ""
    if shown.true_name is not None and shown.predictions:
        verdict = "right" if shown.predictions[0][0] == shown.true_name else "wrong"
    parts = [f'<article class="{verdict}">' if verdict else "<article>"]
    if shown.image is not None:
        parts.append(embedded(to_image(shown.image), shown.caption))
    parts.append(f'<div class="where">{escape(shown.caption)}</div>')
    if shown.error is not None:
        parts.append(f'<div class="error">{escape(shown.error)}</div>')
    if shown.predictions:
        parts.append(answers(shown.predictions))
    if shown.true_name is not None:
        # In words too: colour alone does not reach everyone.
        text = said({"right": "right", "wrong": "wrong, it is"}.get(verdict, "it is"))
        name = "" if verdict == "right" else f" <strong>{escape(shown.true_name)}</strong>"
        parts.append(f'<div class="truth">{text}{name}</div>')
    return "".join([*parts, below, "</article>"])


def answers(predictions: Sequence[tuple[str, float]]) -> str:
    """HTML of names with probabilities, each with a bar."""
    return "<ol>" + "".join(_answer(*guess) for guess in predictions) + "</ol>"


def _answer(name: str, probability: float) -> str:
    percent = 100 * min(max(probability, 0.0), 1.0)
    return (
        f'<li><span title="{escape(name)}">{escape(name)}</span>'
        f'<span class="share">{percent:.1f} %</span>'
        f'<i><b style="width:{percent:.1f}%"></b></i></li>'
    )


def embedded(image: Image.Image, caption: str) -> str:
    """HTML of an image that is part of the page; a photo is reduced to what a page shows."""
    tiny = max(image.size) <= _TINY_PX
    data = io.BytesIO()
    if tiny:
        image.save(data, "PNG", optimize=True)
    else:
        image = image.copy()
        image.thumbnail((_THUMB_PX * 2, _THUMB_PX * 2), Image.Resampling.LANCZOS)
        image.save(data, "JPEG", quality=82)
    kind = "png" if tiny else "jpeg"
    text = base64.b64encode(data.getvalue()).decode("ascii")
    look = ' class="tiny"' if tiny else ""
    return f'<img{look} alt="{escape(caption)}" src="data:image/{kind};base64,{text}">'
