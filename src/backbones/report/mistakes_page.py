"""A page of a network's mistakes: the worst, the least certain, and a row of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from backbones.language import said
from backbones.report.heat import HeatMap
from backbones.report.heat_page import OVER_STYLE, overlay
from backbones.report.images import to_image
from backbones.report.page import ShownImage, cell, document, embedded

_STYLE = """
main { display: block; }
h2 { font-size: 17px; margin: 28px 0 2px; }
section > p { margin: 0 0 10px; }
.cells { display: grid; gap: 14px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }
details { margin-top: 8px; }
summary { cursor: pointer; color: var(--neutral); }
details figure { margin: 8px 0 0; }
figcaption { font-size: 12px; color: var(--faint); }
figcaption small { display: block; }
article figure img { aspect-ratio: auto; height: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: 6px 12px 6px 0; text-align: left;
  vertical-align: top; }
th[scope=row] { overflow-wrap: anywhere; min-width: 90px; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.strip { display: flex; flex-wrap: wrap; gap: 6px; }
.strip figure { margin: 0; width: 88px; }
.strip img { width: 88px; height: 66px; object-fit: contain; background: var(--track);
  border-bottom: 4px solid var(--right); }
.strip .wrong img { border-bottom-color: var(--wrong); }
.strip figcaption { font-size: 11px; overflow-wrap: anywhere; line-height: 1.25; }
"""


@dataclass(frozen=True)
class Mistake:
    """A cell of the page.

    Args:
        image: with its answers and its true class.
        maps: where the network saw the class that it named, and the true one.
    """

    image: ShownImage
    maps: tuple[HeatMap, ...] = ()


@dataclass(frozen=True)
class ClassRow:
    """A row of the page.

    Args:
        name: of the class.
        num_images: that are of it.
        num_right: of these that were called so.
        taken_for: what the others were called, with how many, the most first.
        images: of the class, first those that were thought least likely to be of it.
    """

    name: str
    num_images: int
    num_right: int
    taken_for: tuple[tuple[str, int], ...]
    images: tuple[ShownImage, ...]


def mistakes_page(
    worst: Sequence[Mistake],
    least_certain: Sequence[Mistake],
    classes: Sequence[ClassRow],
    *,
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The page as one HTML document: images embedded, names escaped, light and dark.

    Args:
        worst: mistakes, the surest first.
        least_certain: images whose two likeliest classes are close, right ones among them.
        classes: one row each.
        title: the heading.
        notes: sentences below it.
    """
    sections = [
        _section(
            said("Worst mistakes"),
            said("Surest of the wrong class first."),
            worst,
            said("No mistakes."),
        ),
        _section(
            said("Least certain"),
            said("The two likeliest classes are nearly equal."),
            least_certain,
            "",
        ),
        _classes(classes),
    ]
    return document("\n".join(sections), title=title, notes=notes, style=_STYLE + OVER_STYLE)


def _section(title: str, note: str, cells: Sequence[Mistake], none: str) -> str:
    if not cells:
        return f"<section><h2>{title}</h2><p>{none}</p></section>" if none else ""
    inside = "\n".join(_cell(each) for each in cells)
    return f'<section><h2>{title}</h2><p>{note}</p><div class="cells">{inside}</div></section>'


def _cell(mistake: Mistake) -> str:
    if not mistake.maps or mistake.image.image is None:
        return cell(mistake.image)
    figures = "".join(overlay(mistake.image.image, mistake.image.caption, m) for m in mistake.maps)
    return cell(
        mistake.image, below=f"<details><summary>{said('heat maps')}</summary>{figures}</details>"
    )


def _classes(rows: Sequence[ClassRow]) -> str:
    head = "".join(
        f'<th scope="col">{each}</th>'
        for each in (
            said("class"),
            said("right"),
            said("taken for"),
            said("hardest images of the class"),
        )
    )
    body = "\n".join(map(_row, rows))
    return (
        f"<section><h2>{said('Every class')}</h2><table><thead><tr>"
        f"{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


def _row(row: ClassRow) -> str:
    share = f"{100 * row.num_right / row.num_images:.1f} %" if row.num_images else "–"
    counts = said("{part:,} of {all:,}", part=row.num_right, all=row.num_images)
    taken = "<br>".join(f"{escape(name)} {count:,}" for name, count in row.taken_for)
    return (
        f'<tr><th scope="row">{escape(row.name)}</th>'
        f'<td class="number">{share}<br>{counts}</td>'
        f'<td>{taken}</td><td><div class="strip">{"".join(map(_tile, row.images))}</div></td></tr>'
    )


def _tile(shown: ShownImage) -> str:
    if shown.image is None:
        return ""
    name, probability = shown.predictions[0]
    verdict = "right" if name == shown.true_name else "wrong"
    text = f"{said(verdict)}: {name} {100 * probability:.0f} %"
    image = embedded(to_image(shown.image), f"{shown.caption}, {text}")
    return f'<figure class="{verdict}">{image}<figcaption>{escape(text)}</figcaption></figure>'
