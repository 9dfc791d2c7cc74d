"""The playground: LeNet-5 in a browser computes what PyTorch does, and shows what it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import backbones
from backbones.models.lenet import TABLE_I, LeNet
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle, bundle_of, write_bundle
from backbones.weights.opening import open_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The two forms of the network; crops as they come, with a border, and cut off.
SPECS = {
    "paper": ("lenet5_1998", InputSpec(32, 28, 1, (0.0784314,), (0.7843137,))),
    "colour": ("lenet5", InputSpec(32, 36, 3, interpolation="bicubic")),
}
NAMES = ("lenet5.digits", *SPECS)
# Drawn by a mouse, in shares of the sheet: one line each.
STROKES = {
    "seven": [(0.25, 0.2), (0.75, 0.22), (0.45, 0.85)],
    "corner": [(0.02, 0.9), (0.1, 0.98), (0.97, 0.97)],
    "zigzag": [(0.1, 0.1), (0.9, 0.3), (0.1, 0.5), (0.9, 0.7), (0.1, 0.9)],
}


def network(variant: str, spec: InputSpec) -> Bundle:
    """Random, and named so that a careless page would run it."""
    torch.manual_seed(5)
    classes = ["</script><b>a", "猫", *"cdefghij"]
    made = backbones.create(variant, in_channels=spec.channels)
    return bundle_of(made, classes=classes, spec=spec)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    for name, made in SPECS.items():
        write_bundle(folder / f"{name}.safetensors", network(*made))
    return {name: str(folder / f"{name}.safetensors") for name in SPECS} | {NAMES[0]: NAMES[0]}


@pytest.fixture(scope="module")
def pages(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each network."""
    folder = tmp_path_factory.mktemp("playground")
    written = backbones.write_playground(folder, [files[name] for name in NAMES])
    return dict(zip(NAMES, written, strict=True))


@pytest.fixture
def play(visit: Callable[..., Page], pages: dict[str, Path]) -> Callable[..., Page]:
    def start(name: str = NAMES[0], **options: Any) -> Page:
        page = visit(pages[name].as_uri(), **options)
        page.locator("#classes li").first.wait_for()
        return page

    return start


def whole_sheet(page: Page) -> Page:
    page.get_by_label("trim").uncheck()
    return page


def drag(page: Page, points: list[tuple[float, float]]) -> None:
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def seen(page: Page) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The bytes that the page's network sees, and the maps of every layer."""
    found = page.evaluate(
        """() => {
            const bytes = playground.bytes();
            const layers = Object.entries(playground.run(bytes));
            return [[...bytes], layers.map(([name, maps]) => [name, [...maps.data]])];
        }"""
    )
    side = int(len(found[0]) ** 0.5)
    bytes_ = np.array(found[0], np.uint8).reshape(side, side)
    return bytes_, {name: np.array(values) for name, values in found[1]}


def computed(bundle: Bundle, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What PyTorch makes of the same bytes, layer by layer, squashed where the page's maps are."""
    made = bundle.build()
    assert isinstance(made, LeNet)
    mean, std = (torch.tensor(each)[:, None, None] for each in (bundle.spec.mean, bundle.spec.std))
    image = (torch.from_numpy(pixels.copy()).float() / 255 - mean) / std
    found = {"input": image}
    for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output"):
        layer = getattr(made, name)
        squash = made.squash if name in ("c1", "c3", "c5", "f6") else torch.nn.Identity()
        layer.register_forward_hook(
            lambda _layer, _given, out, name=name, squash=squash: found.update({name: squash(out)})
        )
    with torch.inference_mode():
        made(image[None])
    return {name: tensor.flatten().double().numpy() for name, tensor in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_has_pytorch_s_numbers_and_a_saved_drawing_the_same_answer(
    name, play, files, tmp_path
) -> None:
    page, bundle = play(name), open_bundle(files[name])
    for stroke in STROKES.values():
        page.get_by_role("button", name="Clear").click()
        drag(page, stroke)
        pixels, maps = seen(page)
        assert pixels.max() > 100
        expected = computed(bundle, pixels)
        assert maps.keys() == expected.keys()
        for layer, values in expected.items():
            close = 1e-4 * max(1.0, np.abs(values).max())
            assert np.abs(maps[layer] - values).max() < close, (name, layer)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the drawing").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    (found,) = backbones.predict(files[name], saved, top=10, device="cpu")
    shares = np.exp(maps["output"] - maps["output"].max())
    shares /= shares.sum()
    probabilities = {guess.name: guess.probability for guess in found.predictions}
    for place, shown in enumerate(bundle.classes):
        assert shares[place] == pytest.approx(probabilities[shown], abs=1e-4)
    likeliest = found.predictions[0]
    assert page.locator("#classes li span").first.text_content() == likeliest.name
    assert f"{100 * likeliest.probability:.1f} %" in page.locator("#said").text_content()
    assert page.locator("#command").text_content() == f"backbones predict {files[name]} drawing.png"


def test_a_unit_s_field_is_the_one_that_inspect_tells(play) -> None:
    page, inspected = play("paper"), backbones.inspect("lenet5_1998")
    for layer, map, y, x in (("c1", 5, 27, 3), ("s2", 2, 0, 13), ("c3", 11, 9, 4), ("s4", 0, 2, 4)):
        canvas = page.locator(f'[data-layer="{layer}"] canvas').nth(map)
        area, side = canvas.bounding_box(), canvas.evaluate("canvas => canvas.width")
        place = {"x": (x + 0.5) * area["width"] / side, "y": (y + 0.5) * area["height"] / side}
        canvas.click(position=place)
        top, left, bottom, right = inspected.sees(layer, y, x)
        said = page.locator("#unit").text_content()
        assert said.startswith(f"{layer.upper()}, map {map}, row {y}, column {x} ")
        assert f"rows {top} to {bottom - 1} and columns {left} to {right - 1} of" in said
        # The drawing is 28 px, in the middle of the network's 32.
        sheet, box = (page.locator(each).bounding_box() for each in ("#drawing", "#field"))
        scale = sheet["width"] / 28
        assert box["x"] - sheet["x"] == pytest.approx((left - 2) * scale, abs=2)
        assert box["y"] - sheet["y"] == pytest.approx((top - 2) * scale, abs=2)
        assert box["height"] == pytest.approx((bottom - top) * scale, abs=2)
    page.keyboard.press("Escape")


def test_a_small_drawing_is_trimmed_as_the_data_s_images_are(play) -> None:
    page = play()
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Width").fill("8")
    drag(page, [(0.6, 0.2), (0.7, 0.2), (0.7, 0.5)])
    assert seen(page)[0].max(axis=1).min() > 40, "from edge to edge"
    page.locator('[data-layer="c1"] canvas').first.click(position={"x": 1, "y": 1})
    sheet, box = (page.locator(each).bounding_box() for each in ("#drawing", "#field"))
    # The ink is 0.3 + 8 / 256 high, and C1's first unit sees 5 of 32 px of its square.
    side = (0.3 + 8 / 256) * sheet["width"]
    assert box["width"] == pytest.approx(side * 5 / 32, abs=2)
    assert box["y"] - sheet["y"] == pytest.approx((0.2 - 4 / 256) * sheet["width"], abs=2)


def test_table_one_is_the_paper_s_and_shows_what_feeds_a_map(play) -> None:
    page = play("paper")
    rows = page.locator(".layer table tbody tr")
    cells = [row.locator("td").all_text_contents() for row in rows.all()]
    assert cells == [line.replace(".", "·").split() for line in TABLE_I.strip().splitlines()]
    page.locator('[data-layer="c3"] canvas').nth(7).click()
    fed = page.locator('[data-layer="s2"] canvas').evaluate_all(
        "all => all.map(each => each.classList.contains('feeds'))"
    )
    assert fed == [row[7] == "X" for row in cells]
    assert page.locator("#classes canvas.code").count() == 10


def test_a_keyboard_is_enough(play) -> None:
    page = whole_sheet(play())
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    page.get_by_role("application", name="Drawing").focus()
    before = seen(page)[0]
    page.keyboard.press("Space")
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    assert before.max() == 0
    assert seen(page)[0][10:14, 16].min() > 128
    page.get_by_role("application", name="Maps of C3").focus()
    for key in ("ArrowRight", "PageDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert "C3, map 1, row 2, column 1 " in page.locator("#unit").text_content()
    page.keyboard.press("Escape")
    assert page.locator("#unit").text_content() == ""
    assert page.locator("#field").is_hidden()


def test_ink_can_be_filled_erased_and_inverted(play) -> None:
    page = whole_sheet(play())
    page.get_by_role("button", name="Clear").click()
    drag(page, [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)])
    page.get_by_label("fill").check()
    drag(page, [(0.5, 0.5)])
    assert seen(page)[0][8:24, 8:24].min() == 255, "without a seam"
    page.get_by_label("eraser").check()
    drag(page, [(0.5, 0.5)])
    after = seen(page)[0]
    assert after[16, 16] < 16
    assert (after[8, 8], after[1, 1]) == (255, 0)
    page.get_by_label("dark ink on light paper").check()
    assert np.array_equal(seen(page)[0], 255 - after)


def test_an_image_can_be_opened_and_what_is_none_is_told(play, tmp_path) -> None:
    from PIL import Image

    page = whole_sheet(play())
    image, text = tmp_path / "half.png", tmp_path / "text.png"
    half = np.zeros((60, 90, 3), np.uint8)
    half[:, 45:] = (255, 0, 0)
    Image.fromarray(half).save(image)
    text.write_text("no image")
    page.get_by_label("Open an image").set_input_files(image)
    red = "async () => { while (playground.bytes()[31] !== 76) await new Promise(setTimeout); }"
    page.evaluate(red)
    assert seen(page)[0][5, 5] == 0
    page.get_by_label("Open an image").set_input_files(text)
    page.get_by_text("text.png is not an image").wait_for()


def test_a_page_speaks_two_languages_and_keeps_the_chosen_one(play) -> None:
    page = play(locale="zh-CN")
    assert page.locator("html").get_attribute("lang") == "zh"
    page.get_by_role("button", name="English").click()
    assert page.get_by_role("heading", name="Answer").is_visible()
    page.get_by_role("button", name="中文").click()
    page.get_by_role("link", name="paper").click()
    page.locator("#classes li").first.wait_for()
    assert page.get_by_role("heading", name="答案").is_visible()
    assert "undefined" not in page.locator("body").inner_text()
    names = page.locator("#classes li > span:first-of-type").all_text_contents()
    assert {"</script><b>a", "猫"} < set(names)


def test_it_is_accessible_on_a_phone(play, violations) -> None:
    page = play("paper", viewport={"width": 360, "height": 740})
    page.locator('[data-layer="c3"] canvas').nth(3).click()
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)
        assert violations(page) == [], look
    assert page.evaluate("document.documentElement.scrollWidth") == 360
