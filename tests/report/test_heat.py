"""Heat maps on images: what is coloured, what is faded, and what is written."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from backbones.classifier.explained import Explanation
from backbones.report.heat import HeatMap, colour_bar, draw_heat_maps, heat_overlay, panel_image
from backbones.report.heat_page import ExplainedImage, heat_page
from backbones.report.tiles import draw_feature_maps, draw_filters

PHOTO = np.random.default_rng(0).integers(60, 200, (90, 120, 3), dtype=np.uint8)
GUESSES = (("cat", 0.75), ("dog", 0.2))


def heat(values: np.ndarray, *, signed: bool = False, title: str = "cat") -> HeatMap:
    return HeatMap(title, "Grad-CAM", values.astype(np.float32), signed, ("nothing", "most"))


def colourful(image: Image.Image) -> np.ndarray:
    """How far each pixel is from grey."""
    pixels = np.asarray(image).astype(int)
    spread: np.ndarray = pixels.max(axis=2) - pixels.min(axis=2)
    return spread


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((300, 400, 3), (400, 300)),
        ((3000, 4000, 3), (460, 345)),
        ((28, 28, 1), (364, 364)),
        ((8, 8), (368, 368)),
        ((1, 2000, 3), (460, 1)),
    ],
)
def test_panels_are_of_a_size_to_look_at(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert panel_image(np.zeros(shape, np.uint8)).size == size


def test_colour_is_where_the_heat_is_and_nowhere_else() -> None:
    panel = Image.fromarray(np.full((40, 60, 3), 120, np.uint8))
    values = np.zeros((40, 60), np.float32)
    values[10:20, 30:50] = 3.0
    colour = colourful(heat_overlay(panel, values)) > 20
    assert colour[10:20, 30:50].all()
    assert colour.sum() == 200


def test_what_was_not_seen_is_faded_and_framed() -> None:
    panel = Image.fromarray(np.full((40, 60, 3), 120, np.uint8))
    values = np.full((40, 60), np.nan, np.float32)
    values[5:35, 15:45] = 0.0
    drawn = np.asarray(heat_overlay(panel, values)).astype(int)
    inside, outside = drawn[20, 30], drawn[20, 5]
    assert (outside > inside + 50).all()
    assert (drawn[5, 15:45] < 50).all()  # the line


def test_signs_have_two_colours() -> None:
    panel = Image.fromarray(np.full((10, 20, 3), 120, np.uint8))
    values = np.concatenate([np.full((10, 10), -1.0), np.full((10, 10), 1.0)], axis=1)
    drawn = np.asarray(heat_overlay(panel, values.astype(np.float32), signed=True)).astype(int)
    assert drawn[5, 5, 2] > drawn[5, 5, 0] + 50  # blue: the class gains
    assert drawn[5, 15, 0] > drawn[5, 15, 2] + 50  # red: the class loses


def test_a_map_of_nothing_is_grey() -> None:
    panel = Image.fromarray(np.full((10, 20, 3), 120, np.uint8))
    assert colourful(heat_overlay(panel, np.zeros((10, 20), np.float32))).max() <= 1


def test_the_colour_bar_begins_with_the_ground() -> None:
    bar = colourful(colour_bar(100, 6))
    assert bar[3, 0] < 5
    assert bar[3, -1] > 60
    assert colourful(colour_bar(101, 6, signed=True))[3, 50] < 12


def test_more_heat_is_lighter_in_any_print() -> None:
    """A rainbow has bands of its own: yellow in its middle was lighter than its red end."""
    bar = np.asarray(colour_bar(60, 1).convert("L")).astype(int)[0]
    assert (np.diff(bar[20:]) >= 0).all()
    assert bar[-1] > bar[20] + 40


def test_a_square_crop_is_told_as_a_square() -> None:
    """A crop of "306x305" was the rounding of a resized image's sides."""
    found = Explanation("a.jpg", size=(400, 500), seen=(20.0, 90.0, 306.2, 305.4))
    assert found.note == "400x500 px, the network saw 306x306 of it"
    assert Explanation("a.jpg", size=(400, 500), seen=(0.0, 0.0, 400.0, 500.0)).note == "400x500 px"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_map_has_a_panel(count: int) -> None:
    values = np.ones((270, 360))
    drawn = draw_heat_maps(PHOTO, [heat(values)] * count, GUESSES, caption=("a.jpg", "120x90 px"))
    hot = np.asarray(heat_overlay(panel_image(PHOTO), values.astype(np.float32)))[100, 100]
    assert int((np.asarray(drawn) == hot).all(axis=2).sum()) >= count
    assert drawn.width <= 1600


def test_equal_explanations_are_equal_images() -> None:
    maps = [heat(np.random.default_rng(1).random((270, 360)))]
    one, other = (draw_heat_maps(PHOTO, maps, GUESSES) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_names_without_a_font_are_spelled_with_a_note() -> None:
    plain = draw_heat_maps(PHOTO, [heat(np.ones((270, 360)))], GUESSES)
    chinese = draw_heat_maps(PHOTO, [heat(np.ones((270, 360)), title="龘")], GUESSES)
    assert chinese.height == plain.height + 28


def test_filters_are_scaled_one_by_one_around_grey() -> None:
    filters = np.zeros((2, 1, 3, 3), np.float32)
    filters[0, 0, 1, 1], filters[1, 0, 0, 0] = -0.001, 5.0
    drawn = np.asarray(draw_filters(filters, title="conv1"))
    for level in (0, 128, 255):  # -1, 0 and 1 of each filter's own largest
        assert (drawn == level).all(axis=2).sum() >= 400
    assert draw_filters(np.ones((6, 4, 3, 3), np.float32), title="x").height > 300  # a row each


def test_the_strongest_maps_are_shown_in_their_order() -> None:
    maps = np.random.default_rng(2).normal(size=(100, 5, 5)).astype(np.float32)
    few, many = (draw_feature_maps(maps[:count], title="x") for count in (9, 100))
    assert few.height < many.height
    strong = maps.copy()
    strong[70] = 50.0
    assert draw_feature_maps(strong, title="x").tobytes() != many.tobytes()


class Closed(HTMLParser):
    """Every element is closed, and nothing is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            self.sources.append(str(dict(attrs)["src"]))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + "\n"


def test_the_page_holds_everything_and_needs_nothing() -> None:
    evil = "<script>alert(1)</script>"
    page = heat_page(
        [
            ExplainedImage("a.jpg", "120x90 px", PHOTO, (heat(np.ones((270, 360))),), GUESSES),
            ExplainedImage("b.jpg", error="the file is empty"),
            ExplainedImage(evil, evil, PHOTO, (heat(np.ones((270, 360)), title=evil),)),
        ],
        title="Why",
    )
    parsed = Closed()
    parsed.feed(page)
    assert parsed.open == []
    assert len(parsed.sources) == 8  # image; image, map and colour bar of each map
    assert all(source.startswith("data:image/") for source in parsed.sources)
    for word in ("a.jpg", "120x90 px", "75.0 %", "the file is empty", "Grad-CAM", "most", evil):
        assert word in parsed.text
    assert "<small></small>" not in page
    assert not re.search(r"https?:", parsed.text)
