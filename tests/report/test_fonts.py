"""Finding a font that can write the names, and what happens where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ImageFont

from backbones.errors import NotFound
from backbones.language import catalogue
from backbones.report import fonts
from backbones.report.fonts import (
    covers,
    find_font,
    font_note,
    known_fonts,
    spelled,
)

GREEK = "αβγ → δ"  # in DejaVu, not in Pillow's own font
CHINESE = "虎斑龘"  # the last is in no label set


def path_of(font: object) -> str:
    return Path(str(getattr(font, "path", ""))).name


def test_coverage_is_seen_from_the_glyphs(dejavu: Path) -> None:
    font = ImageFont.truetype(dejavu, 16)
    assert covers(font, "plain text, Ünïcödé " + GREEK)
    assert not covers(font, CHINESE)
    assert not covers(font, "one " + CHINESE[0])
    assert covers(font, "")


def test_plain_names_use_the_font_that_pillow_carries(font_folder: Path) -> None:
    font = find_font(["tabby cat", "chien-loup"], 16, folders=(font_folder,))
    assert path_of(font) not in {"NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "simhei.ttf"}
    assert font_note(["tabby cat"]) is None


def test_known_fonts_come_in_order_of_preference(font_folder: Path) -> None:
    assert [path.name for path in known_fonts([font_folder])] == [
        "NotoSansCJK-Regular.ttc",
        "NotoSansCJK-Bold.ttc",
        "wqy-microhei.ttc",
        "simhei.ttf",
    ]


def test_names_that_pillow_cannot_write_take_a_font_of_the_machine(font_folder: Path) -> None:
    font = find_font([GREEK], 16, folders=(font_folder,))
    assert path_of(font) == "NotoSansCJK-Regular.ttc"
    assert font_note([GREEK], folders=(font_folder,)) is None


def test_the_names_of_our_label_sets_are_written_on_a_machine_without_fonts(tmp_path: Path) -> None:
    """`benchmarks/label_font.py` cuts the font anew where a label set has new characters."""
    tables = (Path(fonts.__file__).parents[1] / "labels").glob("*.tsv")
    text = "".join(table.read_text(encoding="utf-8") for table in tables) + "…：（），"
    text += "".join(catalogue().values())  # what is written around the names in Chinese
    font = find_font([text], 16, folders=(tmp_path,))
    assert Path(str(getattr(font, "path", ""))) == fonts.SHIPPED
    assert covers(font, text)
    assert font_note([text], folders=(tmp_path,)) is None
    assert fonts.SHIPPED.stat().st_size < 2**20
    licence = fonts.SHIPPED.with_name("OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert "Adobe" in licence


def test_a_broken_font_file_is_passed_over(tmp_path: Path, dejavu: Path) -> None:
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"broken")
    (tmp_path / "wqy-microhei.ttc").write_bytes(dejavu.read_bytes())
    assert path_of(find_font([GREEK], 16, folders=(tmp_path,))) == "wqy-microhei.ttc"


def test_without_a_font_characters_are_spelled_and_the_user_is_told(tmp_path: Path) -> None:
    font = find_font([CHINESE, "cat"], 16, folders=(tmp_path,))
    assert spelled("cat 龘", font) == "cat <U+9F98>"
    assert covers(font, spelled(CHINESE, font))
    note = font_note([CHINESE], folders=(tmp_path,))
    assert note is not None
    assert "Noto Sans CJK" in note
    assert "BACKBONES_FONT" in note


def test_the_font_that_has_most_characters_is_taken(font_folder: Path) -> None:
    font = find_font([GREEK + CHINESE], 16, folders=(font_folder,))
    assert path_of(font) == "NotoSansCJK-Regular.ttc"
    assert spelled("α龘", font) == "α<U+9F98>"


def test_the_environment_chooses_first(
    monkeypatch: pytest.MonkeyPatch, dejavu: Path, font_folder: Path
) -> None:
    monkeypatch.setenv("BACKBONES_FONT", str(dejavu))
    assert path_of(find_font(["cat"], 16, folders=(font_folder,))) == "DejaVuSans.ttf"


def test_a_chosen_font_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BACKBONES_FONT", str(tmp_path / "gone.ttf"))
    with pytest.raises(NotFound, match=r"BACKBONES_FONT is .*gone\.ttf"):
        find_font(["cat"], 16)
