"""Annotated images, contact sheets and the page: what is drawn where."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.report import fonts
from backbones.report.images import NEUTRAL, RIGHT, WRONG, annotate, contact_sheet, wrapped
from backbones.report.page import ShownImage, image_page, write_page

GUESSES = (("tabby cat", 0.75), ("dog", 0.2), ("a name " * 20, 0.05))
PHOTO = np.random.default_rng(0).integers(60, 200, (90, 120, 3), dtype=np.uint8)


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=2).sum())


@pytest.mark.parametrize("shape", [(90, 120, 3), (8, 8, 1), (8, 8), (3000, 20, 3), (4, 2000, 3)])
def test_any_image_can_be_annotated(shape: tuple[int, ...]) -> None:
    drawn = annotate(np.zeros(shape, np.uint8), GUESSES)
    assert drawn.mode == "RGB"
    assert 348 <= drawn.width <= 668


def test_the_image_itself_is_not_touched() -> None:
    drawn = np.asarray(annotate(PHOTO, GUESSES))
    left = (drawn.shape[1] - 360) // 2
    enlarged = PHOTO.repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(drawn[14 : 14 + 270, left : left + 360], enlarged)


def test_bars_are_as_long_as_the_probabilities() -> None:
    def length(probability: float) -> int:
        return count(annotate(PHOTO, [("cat", probability)]), NEUTRAL) // 9

    assert length(0.0) == 0
    assert length(1.0) > 300, "below the name, over the whole width"
    assert length(0.5) == pytest.approx(length(1.0) / 2, abs=1)


@pytest.mark.parametrize(
    ("true_name", "colour"), [("tabby cat", RIGHT), ("dog", WRONG), (None, NEUTRAL)]
)
def test_the_first_bar_says_whether_it_is_right(
    true_name: str | None, colour: tuple[int, int, int]
) -> None:
    drawn = annotate(PHOTO, GUESSES[:1], true_name=true_name)
    for each in (RIGHT, WRONG, NEUTRAL):
        assert (count(drawn, each) > 0) == (each == colour)


def test_chinese_names_without_a_font_are_spelled_with_a_note() -> None:
    plain = annotate(PHOTO, [("cat", 0.5)])
    chinese = annotate(PHOTO, [("龘", 0.5)])  # in no label set, nor in the font for them
    assert chinese.height == plain.height + 28  # the line of the note


def test_names_are_drawn_with_the_machine_s_font_where_it_has_them(
    monkeypatch: pytest.MonkeyPatch, font_folder: Path
) -> None:
    without = annotate(PHOTO, [("αβγ", 0.5)])
    monkeypatch.setattr(fonts, "font_folders", lambda: (font_folder,))
    with_font = annotate(PHOTO, [("αβγ", 0.5)])
    assert with_font.height == without.height - 28  # no note is needed


@pytest.mark.parametrize(
    "name", ["金毛寻回犬 golden retriever", "虎斑猫，" * 9, "a long name " * 5]
)
def test_names_on_portrait_photos_are_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its bar a Chinese name was cut to nothing on an image of 320 px."""
    monkeypatch.setattr(fonts, "font_folders", lambda: ())
    font = fonts.find_font([name], 16)
    lines = wrapped(name, font, 240)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert all(font.getlength(line) <= 240 for line in lines)
    portrait = np.zeros((600, 200, 3), np.uint8)
    drawn = annotate(portrait, [(name, 0.5)])
    assert drawn.height == annotate(portrait, [("cat", 0.5)]).height + 21 * (len(lines) - 1)


def test_a_name_of_many_lines_ends_in_an_ellipsis() -> None:
    lines = wrapped("word " * 100, fonts.find_font([""], 16), 200)
    assert len(lines) == 3
    assert lines[-1].endswith(("…", "..."))
    assert wrapped("", fonts.find_font([""], 16), 200) == [""]


def test_contact_sheet_holds_every_tile() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    tiles = [Image.new("RGB", (10, 5 + place), c) for place, c in enumerate(colours)]
    sheet = contact_sheet(tiles)
    assert sheet.size == (20, 14)
    assert [count(sheet, colour) for colour in colours] == [50, 60, 70]
    assert contact_sheet(tiles, columns=3).size == (30, 7)
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([])


class Checked(HTMLParser):
    """Every element is closed, and nothing is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + "\n"


def read(page: str) -> Checked:
    parsed = Checked()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    assert not re.search(r"https?:|//", parsed.text)
    return parsed


def test_the_page_holds_images_names_and_verdicts() -> None:
    page = image_page(
        [
            ShownImage("a.jpg", PHOTO, GUESSES, true_name="tabby cat"),
            ShownImage("b.jpg", PHOTO, GUESSES, true_name="虎斑猫"),
            ShownImage("c.jpg", None, error="the file is empty"),
        ],
        title="Cats & dogs",
        notes=["3 images."],
    )
    parsed = read(page)
    assert len(parsed.images) == 2
    for word in (
        "Cats & dogs",
        "tabby cat",
        "75.0 %",
        "虎斑猫",
        "the file is empty",
        "3 images.",
    ):
        assert word in parsed.text
    assert page.count('class="right"') == page.count('class="wrong"') == 1
    assert "prefers-color-scheme: dark" in page
    for image in parsed.images:
        kind, data = str(image["src"]).split(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (120, 90)


def test_tiny_images_keep_their_pixels() -> None:
    digit = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    (image,) = read(image_page([ShownImage("digits#1", digit)], title="x")).images
    data = base64.b64decode(str(image["src"]).split(",")[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("L")), digit[:, :, 0])


def test_names_cannot_break_out_of_the_page() -> None:
    evil = '"><script>alert(1)</script><b x="'
    page = image_page(
        [ShownImage(evil, PHOTO, ((evil, 0.5),), true_name=evil, error=evil)],
        title=evil,
        notes=[evil],
    )
    assert read(page).text.count(evil) >= 4


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    path = write_page([ShownImage("a", PHOTO)], tmp_path / "new" / "page.html", title="t")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(path.parent.iterdir()) == [path]
