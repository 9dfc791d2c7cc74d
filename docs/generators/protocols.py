"""A page for every protocol: what is done to an image, its views drawn, what the paper printed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import backbones
from backbones.errors import ProtocolError
from backbones.protocols.describing import views_and_cost
from backbones.protocols.row import Protocol
from backbones.protocols.viewing import PHOTO, View, plan
from backbones.spec import InputSpec
from generators.language import LANGS, Lang, Words
from generators.markdown import cell, code, literal, page, table
from generators.networks import page_name

_PHOTO_PX = (500, 375)
_CIFAR = InputSpec(size=32, resize=32)

_PROTOCOLS_INTRO = (
    "A protocol is how a paper evaluates: resize, views, scoring, reduction. The cost is "
    "counted in pixels, as a multiple of one crop, for a photo of 500 x 375 px and a network "
    "of 224 px."
)

_VIEWS_NOTE = (
    "Each view as a box on the resized image; a photo of 500 x 375 px (or an image of CIFAR)."
)


def names() -> list[str]:
    """All protocols that come with the package."""
    return list(backbones.protocol_names())


def write_page(docs: Path, name: str) -> None:
    """The page of one protocol in both languages, and its views."""
    protocol = backbones.find_protocol(name)
    figure = docs / "_build" / "figures" / "protocols" / f"{page_name(name)}.svg"
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_text(views_svg(protocol), encoding="utf-8")
    for lang in LANGS:
        target = docs / lang / "know" / "protocols" / f"{page_name(name)}.md"
        target.write_text(_page(protocol, Words(lang)), encoding="utf-8")


def write_index(docs: Path, lang: Lang, chosen: Sequence[str]) -> None:
    """All protocols in one table."""
    say, rows = Words(lang), []
    for name in chosen:
        protocol = backbones.find_protocol(name)
        views, cost = _cost(protocol)
        link = f"[{name}]({page_name(name)}.md)"
        rows.append((link, literal(say.of_package(protocol.summary)), views, f"{cost:.3g}"))
    headings = [say(word) for word in ("protocol", "what it is", "views", "cost")]
    text = page(say("Protocols"), [say(_PROTOCOLS_INTRO), ""], table(headings, rows, "llrr"))
    (docs / lang / "know" / "protocols" / "index.md").write_text(text, encoding="utf-8")


def _page(protocol: Protocol, say: Words) -> str:
    name = protocol.name
    views, cost = _cost(protocol)
    rows = [
        (say("shorter side"), ", ".join(map(str, protocol.resize))),
        (say("region"), f"`{protocol.region}`"),
        (say("views"), f"`{protocol.views}`"),
        (say("mirrored too"), say("yes") if protocol.mirrored else say("no")),
        (say("scoring"), f"`{protocol.scoring}`"),
        (say("reduction"), f"`{protocol.reduction}`"),
        (say("views of one image"), str(views)),
        (say("pixels, as a multiple of one crop"), f"{cost:.3g}"),
    ]
    readings = [f"* {literal(say.of_package(reading))}" for reading in protocol.readings]
    commands = [
        f"backbones evaluate runs/photos photos --protocol {name}",
        f"backbones evaluate --protocol show {name}",
    ]
    return page(
        name,
        [literal(say.sentence(protocol.summary)), "", literal(str(protocol.citation)), ""],
        [f"## {say('What is done')}", *table([say("field"), say("value")], rows)],
        *([[say("What the paper leaves open:"), "", *readings, ""]] if readings else []),
        [f"## {say('Views')}", "", say(_VIEWS_NOTE), ""],
        ["```{image} ../../../_build/figures/protocols/" + f"{page_name(name)}.svg"],
        [f":alt: {say('views of {name}', name=cell(name))}", "```", ""],
        [f"## {say('Printed results')}", *_printed(protocol, say)],
        [f"## {say('Commands')}", *code("\n".join(commands), "sh")],
        above=say("Protocols"),
    )


def _printed(protocol: Protocol, say: Words) -> list[str]:
    if not protocol.printed:
        return ["", say("None."), ""]
    rows = [
        (
            cell(row["model"]),
            row["num_models"],
            cell(row["data"]),
            _percent(row["top1_error_percent"]),
            _percent(row["top5_error_percent"]),
            cell(row["source"]),
        )
        for row in protocol.printed_json()
    ]
    headings = ("network", "models", "data", "top-1 error, %", "top-5 error, %", "source")
    return table([say(heading) for heading in headings], rows, "lrlrrl")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _plan(protocol: Protocol) -> tuple[tuple[View, ...], tuple[int, int]]:
    """The views of a photo, or of an image of CIFAR where those of a photo do not fit."""
    try:
        return plan(protocol, *_PHOTO_PX, PHOTO), _PHOTO_PX
    except ProtocolError:
        return plan(protocol, 32, 32, _CIFAR), (32, 32)


def _cost(protocol: Protocol) -> tuple[int, float]:
    try:
        return views_and_cost(protocol)
    except ProtocolError:
        return views_and_cost(protocol, _CIFAR)


def views_svg(protocol: Protocol, height_px: int = 190) -> str:
    """The resized image of each scale with the views that are cut from it, side by side."""
    views, _ = _plan(protocol)
    scales = [
        (resized, sorted({view.box for view in group}))
        for resized, group in groupby(views, key=lambda view: view.resized)
    ]
    merged: dict[tuple[int, int], set[object]] = {}
    for resized, boxes in scales:
        merged.setdefault(resized, set()).update(boxes)
    tallest = max(
        max(resized[1] for resized in merged),
        max(b.top + b.height for v in merged.values() for b in v),
    )
    factor, left, parts = height_px / tallest, 8.0, []
    for (width, height), boxes in merged.items():
        parts.append(_rectangle(left, 24, width * factor, height * factor, "#eef2f6", "#8b98a5"))
        for box in sorted(boxes):
            x, y = left + box.left * factor, 24 + box.top * factor
            parts.append(
                _rectangle(x, y, box.width * factor, box.height * factor, "#0969da22", "#0969da")
            )
        parts.append(
            f'<text x="{left:.1f}" y="16" font-size="12" font-family="sans-serif" fill="#57606a">'
            f"{width} x {height} px</text>"
        )
        left += max(width, max(box.left + box.width for box in boxes)) * factor + 24
    size = f'width="{left:.0f}" height="{height_px + 34}" viewBox="0 0 {left:.0f} {height_px + 34}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>\n'


def _rectangle(x: float, y: float, width: float, height: float, fill: str, line: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"'
        f' stroke="{line}"/>'
    )
