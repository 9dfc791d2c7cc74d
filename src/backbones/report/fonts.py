"""A font that can write the class names, found without asking the system.

Latin, Greek and Cyrillic come from the font that Pillow carries; the Chinese names of our label
sets from a font that comes with this package, cut to their characters. Others need a font of the
machine; the usual ones are looked for by file name, because asking fontconfig is not portable and
opening every font is slow. Where there is none, characters are spelled as code points, so that an
image never shows empty boxes, and `font_note` says what to install.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from backbones.errors import NotFound
from backbones.language import said

# In order of preference; compared with file names in lower case without punctuation.
KNOWN = (
    "notosanscjksc",
    "notosanssc",
    "notosanscjk",
    "sourcehansanssc",
    "sourcehansanscn",
    "sourcehansans",
    "pingfang",
    "hiraginosansgb",
    "stheiti",
    "msyh",
    "wqymicrohei",
    "wqyzenhei",
    "simhei",
    "simsun",
    "droidsansfallback",
    "uming",
    "ukai",
    "arialunicode",
    "notoserifcjk",
    "dejavusans",
)
SHIPPED = Path(__file__).parent / "font" / "NotoSansCJKsc-labels.otf"  # benchmarks/label_font.py
SUFFIXES = (".ttf", ".ttc", ".otf", ".otc")
_UNASSIGNED = "\U0010fffe"  # no font has it, so it draws the box of a missing glyph

AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_folders() -> tuple[Path, ...]:
    """The folders where this platform keeps fonts, the user's own first."""
    home = Path(os.path.expanduser("~"))  # which stays as it is where nobody is at home
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
        windows = Path(os.environ.get("WINDIR", r"C:\Windows"))
        return (local / "Microsoft" / "Windows" / "Fonts", windows / "Fonts")
    if sys.platform == "darwin":
        return (
            home / "Library" / "Fonts",
            Path("/Library/Fonts"),
            Path("/System/Library/Fonts"),
            Path("/System/Library/AssetsV2"),
        )
    data = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    return (
        data / "fonts",
        home / ".fonts",
        Path("/usr/local/share/fonts"),
        Path("/usr/share/fonts"),
    )


def known_fonts(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The font files with a known name below `folders`, the preferred one first."""
    found: list[tuple[int, int, str]] = []
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                stem, suffix = os.path.splitext(name.lower())
                plain = re.sub(r"[^a-z0-9]", "", stem)
                if suffix not in SUFFIXES:
                    continue
                place = next((i for i, known in enumerate(KNOWN) if plain.startswith(known)), None)
                if place is not None:
                    found.append((place, _weight(plain), os.path.join(parent, name)))
    return tuple(Path(path) for _, _, path in sorted(found))


def _weight(plain_name: str) -> int:
    """How far a face is from upright text of normal weight."""
    if plain_name.endswith("regular"):
        return 0
    far = ("thin", "light", "bold", "black", "heavy", "medium", "oblique", "italic", "condensed")
    return 1 + sum(word in plain_name for word in far)


@lru_cache(maxsize=4)
def _candidates(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    return known_fonts(folders)


@lru_cache(maxsize=32)
def _load(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """Open a font file; of a collection, the face with the simplified Chinese forms.

    Not by `truetype`: in place of a broken file that opens one of the same name elsewhere.
    """
    face = ImageFont.FreeTypeFont(str(path), size_px)
    if path.suffix.lower() not in (".ttc", ".otc"):
        return face
    for index in range(1, 12):
        try:
            other = ImageFont.FreeTypeFont(str(path), size_px, index)
        except OSError:  # past the last face
            break
        family = other.getname()[0] or ""
        if re.search(r"\b(SC|CN|GB)\b", family) and "Mono" not in family:
            return other
    return face


@lru_cache(maxsize=32)
def _default(size_px: int) -> AnyFont:
    return ImageFont.load_default(size_px)


def covers(font: AnyFont, text: str) -> bool:
    """Whether the font has a glyph for every character of `text`."""
    return not any(_lacks(font, character) for character in set(text) if not character.isspace())


def _lacks(font: AnyFont, character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cs"):  # a control; a byte that is not UTF-8
        return True
    try:
        drawn, box = font.getmask(character), font.getmask(_UNASSIGNED)
    except UnicodeEncodeError:  # Pillow's bitmap font, on a build without FreeType: Latin-1 only
        return True
    return drawn.size == box.size and bytes(drawn) == bytes(box)


def find_font(
    texts: Sequence[str], size_px: int, *, folders: tuple[Path, ...] | None = None
) -> AnyFont:
    """A font for all of `texts`: the environment's choice, Pillow's, ours, or the machine's.

    Args:
        texts: what will be written.
        size_px: the height of the letters' square.
        folders: where to look; the platform's font folders by default.

    Returns:
        The first font that has every character. Where none has, the one that has most of them;
        write with `spelled` then.

    Raises:
        NotFound: `BACKBONES_FONT` names a file that is not a font.
    """
    wanted = "".join(sorted(set("".join(texts))))
    searched = font_folders() if folders is None else folders
    return _search(wanted, size_px, searched, os.environ.get("BACKBONES_FONT") or None)


@lru_cache(maxsize=256)
def _search(wanted: str, size_px: int, folders: tuple[Path, ...], chosen: str | None) -> AnyFont:
    best: AnyFont = _chosen(Path(chosen), size_px) if chosen else _default(size_px)
    fewest = _count_missing(best, wanted)
    if not fewest:
        return best
    for path in (SHIPPED, *_candidates(folders)):
        try:
            font = _load(path, size_px)
        except OSError:  # a broken font file is no reason to draw nothing
            continue
        missing = _count_missing(font, wanted)
        if missing < fewest:
            best, fewest = font, missing
        if not missing:
            break
    return best


def _chosen(path: Path, size_px: int) -> AnyFont:
    try:
        return _load(path, size_px)
    except OSError as reason:
        raise NotFound(
            f"BACKBONES_FONT is {str(path)!r}, which cannot be opened as a font ({reason});"
            " set it to a .ttf, .otf or .ttc file"
        ) from None


def _count_missing(font: AnyFont, characters: str) -> int:
    return sum(_lacks(font, each) for each in characters if not each.isspace())


def spelled(text: str, font: AnyFont) -> str:
    """`text` with every character that the font lacks written as its code point.

    Example:
        >>> spelled("dog 狗", ImageFont.load_default(12))
        'dog <U+72D7>'
    """
    return "".join(
        each if each.isspace() or not _lacks(font, each) else f"<U+{ord(each):04X}>"
        for each in text
    )


def font_note(texts: Sequence[str], *, folders: tuple[Path, ...] | None = None) -> str | None:
    """What to tell the user when no font here can write `texts`; None when all is well."""
    if covers(find_font(texts, 16, folders=folders), "".join(texts)):
        return None
    return said(
        "no font here can write all class names, so some characters are spelled as code points;"
        " install Noto Sans CJK or WenQuanYi Micro Hei, or set BACKBONES_FONT to a"
        " font file"
    )
