"""Cut our font out of Noto Sans CJK: the characters of label sets and Chinese sentences, and ASCII.

    apt-get download fonts-noto-cjk && dpkg-deb -x fonts-noto-cjk_*.deb noto
    python benchmarks/label_font.py noto/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc

Writes `src/backbones/report/font/NotoSansCJKsc-labels.otf`; run it again when one of them changes
(`tests/report/test_fonts.py` says so). Needs fonttools, which matplotlib brings.
"""

from __future__ import annotations

import string
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter, save_font
from fontTools.ttLib import TTCollection, TTFont

ROOT = Path(__file__).parents[1] / "src" / "backbones"
FAMILY = "Noto Sans CJK SC"
# What is written around names: ellipsis, dashes, quotes, signs, full-width punctuation.
AROUND = "…–—×·°±≥≤‘’“”、。《》「」（），：；？！％"


def characters() -> str:
    """All that label sets and sentences use, ASCII, and the punctuation around them."""
    files = [*(ROOT / "labels").glob("*.tsv"), ROOT / "translations" / "zh.json"]
    used = {each for file in files for each in file.read_text(encoding="utf-8")}
    return "".join(sorted(each for each in used | set(string.printable + AROUND) if each >= " "))


def main(collection: str) -> None:
    faces = TTCollection(collection).fonts
    face: TTFont = next(each for each in faces if each["name"].getDebugName(1) == FAMILY)
    options = Options()
    options.layout_features, options.hinting, options.desubroutinize = [], False, True
    options.name_IDs, options.drop_tables = (
        [0, 1, 2, 4, 6, 13, 14],
        ["BASE", "VORG", "vmtx", "vhea"],
    )
    cut = Subsetter(options)
    cut.populate(text=characters())
    cut.subset(face)
    face["head"].modified = face["head"].created  # the same bytes every time
    face.recalcTimestamp = False
    target = ROOT / "report" / "font" / "NotoSansCJKsc-labels.otf"
    save_font(face, target, options)
    print(f"{target}: {len(characters())} characters, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
