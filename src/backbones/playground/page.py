"""Pages on which LeNet-5 answers while one draws: each one file, with the network inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from backbones.errors import WrongUse
from backbones.files import write_atomic
from backbones.playground.packing import packed_network
from backbones.report.drawing.looks import COLOURS
from backbones.weights.bundle import Bundle

_SCRIPTS = ("words", "shapes", "framing", "network", "maps", "drawing", "main")
_OURS = b'content="backbones playground"'


def write_pages(bundles: Mapping[str, Bundle], folder: Path) -> tuple[Path, ...]:
    """Write a page for each network; the first is `index.html`, and all link to each other.

    Args:
        bundles: of LeNet-5s, by the names that `backbones predict` knows.
        folder: earlier pages of a playground in it are replaced.

    Raises:
        WrongUse: a network that the page cannot compute, or a file in the way that is no page of a
            playground.
        BadWeights: see `packed_network`.
    """
    files = _file_names(list(bundles))
    pages = {files[name]: _page(name, bundle, files) for name, bundle in bundles.items()}
    for file in pages:
        if (folder / file).exists() and _OURS not in (folder / file).read_bytes():
            raise WrongUse(f"{folder / file} is no page of a playground; choose another --out")
    for file, page in pages.items():
        write_atomic(folder / file, page.encode())
    return tuple(folder / file for file in pages)


def _file_names(names: Sequence[str]) -> dict[str, str]:
    """The file of each network's page."""
    stems = ["index", *(Path(name).name.removesuffix(".safetensors") for name in names[1:])]
    if len(set(stems)) < len(stems):
        raise WrongUse(f"two of {', '.join(names)} would be one page; give their files other names")
    return {name: f"{stem}.html" for name, stem in zip(names, stems, strict=True)}


def _page(name: str, bundle: Bundle, files: Mapping[str, str]) -> str:
    network = json.dumps(packed_network(bundle, name), ensure_ascii=False)
    colours = "".join(f"--{kind}: {colour}; " for kind, colour in COLOURS.items())
    return Template(_text("page.html")).substitute(
        title=escape(f"LeNet-5: {name}"),
        style=f":root {{ {colours}}}\n{_text('style.css')}",
        links="\n".join(_link(other, file, other == name) for other, file in files.items()),
        network=network.replace("<", "\\u003c"),
        script="\n".join(_text(f"{script}.js") for script in _SCRIPTS),
    )


def _link(name: str, file: str, here: bool) -> str:
    current = ' aria-current="page"' if here else ""
    return f'<a href="{escape(file)}"{current}>{escape(Path(name).name)}</a>'


def _text(file: str) -> str:
    return resources.files("backbones.playground").joinpath(file).read_text(encoding="utf-8")
