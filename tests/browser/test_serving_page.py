"""The page of `serve` in a real browser: an image in, answers, heat map, views, and failures."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import backbones


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.random.default_rng(4).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def pressed(page: object) -> list[str]:
    return [each.get_attribute("aria-pressed") for each in page.locator("#answers button").all()]


def test_an_image_is_answered_and_explained(visit, address, photo) -> None:
    page = visit(address)
    page.locator("#protocol option").nth(1).wait_for(state="attached")
    page.set_input_files("#file", photo)
    buttons = page.locator("#answers button")
    buttons.nth(4).wait_for()
    said = httpx.post(f"{address}/predict", content=photo.read_bytes()).json()["images"][0]
    for button, guess in zip(buttons.all(), said["predictions"], strict=True):
        text = button.inner_text()
        assert guess["names"]["en"] in text
        assert guess["names"]["zh"] in text
        assert f"{100 * guess['probability']:.1f} %" in text
    crop = page.locator("#crop")
    box = [float(crop.get_attribute(name)) for name in ("x", "y", "width", "height")]
    assert box == pytest.approx(said["seen_px"])
    painted = "document.getElementById('heat').getContext('2d')"
    count = f"{painted}.getImageData(0, 0, 97, 61).data.filter((v, n) => n % 4 == 3 && v).length"
    assert page.evaluate(count) == 0
    buttons.nth(1).focus()
    page.keyboard.press("Enter")
    page.locator('#heat[data-place="1"]').wait_for()
    assert page.evaluate(count) > 50
    assert pressed(page) == ["false", "true", "false", "false", "false"]
    assert page.evaluate("document.activeElement.dataset.place") == "1"


def test_languages_narrow_and_dark(visit, address, photo) -> None:
    page = visit(
        address, locale="zh-CN", viewport={"width": 360, "height": 740}, color_scheme="dark"
    )
    page.set_input_files("#file", photo)
    page.locator("#answers button").nth(4).wait_for()
    assert page.locator("h1").inner_text() == "图像里有什么？"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.click("#language")
    assert page.locator("h1").inner_text() == "What is in the image?"
    assert page.locator("html").get_attribute("lang") == "en"
    assert re.search(r"97 × 61 px", page.locator("#caption").inner_text())


def test_views_of_a_protocol_are_rectangles(visit, address, photo) -> None:
    page = visit(address)
    page.locator("#protocol option", has_text="ten_crop").first.wait_for(state="attached")
    page.select_option("#protocol", "ten_crop")
    page.set_input_files("#file", photo)
    page.locator("#views .view").nth(9).wait_for(state="attached")
    said = httpx.post(f"{address}/predict?protocol=ten_crop", content=photo.read_bytes()).json()
    buttons = page.locator("#viewed button")
    assert buttons.count() == 10
    for button, view in zip(buttons.all(), said["images"][0]["views"], strict=True):
        guess = view["prediction"]
        text = f"{guess['names']['en']} {100 * guess['probability']:.1f} %"
        assert text in button.inner_text()
        assert ("mirrored" in button.inner_text()) == view["mirrored"]
    assert page.locator("#crop").count() == 0
    buttons.nth(6).focus()
    page.keyboard.press("Enter")
    filled = page.locator('#views .view:not([fill="none"])')
    assert filled.count() == 1
    box = [float(filled.get_attribute(name)) for name in ("x", "y", "width", "height")]
    assert box == pytest.approx(said["images"][0]["views"][6]["box_px"])


def test_a_dense_view_has_a_grid_of_scores_on_the_photo(visit, address, photo, violations) -> None:
    page = visit(address)
    page.locator("#protocol option", has_text="vgg/dense").first.wait_for(state="attached")
    page.select_option("#protocol", "vgg/dense")
    page.set_input_files("#file", photo)
    page.locator("#viewed button").nth(1).click()
    cells = page.locator("#grid rect")
    cells.first.wait_for(state="attached")
    said = httpx.post(f"{address}/predict?protocol=vgg/dense", content=photo.read_bytes()).json()
    (left, _, width, _), grid = (said["images"][0]["views"][1][key] for key in ("box_px", "grid"))
    assert cells.count() == len(grid) * len(grid[0]) > 1
    opacities = [float(each.get_attribute("fill-opacity")) for each in cells.all()]
    values = [value for row in grid for value in row]
    assert opacities == pytest.approx([0.85 * value / max(values) for value in values], abs=1e-3)
    edges = [float(each.get_attribute("x")) for each in cells.all()]
    assert left <= min(edges) < max(edges) < left + width
    most = f"{len(grid)} × {len(grid[0])} places"
    assert most in page.locator("#places").inner_text()
    assert violations(page) == []


def test_what_goes_wrong_is_told(visit, address, photo, tmp_path) -> None:
    page = visit(address)
    page.locator("#protocol option").nth(1).wait_for(state="attached")
    text = tmp_path / "photo.png"
    text.write_bytes(b"root:x:0:0")
    page.set_input_files("#file", text)
    page.locator("#status.bad", has_text="cannot be read").wait_for()
    assert page.locator("#main").is_hidden()
    large = io.BytesIO(bytes(20_000_001))
    (tmp_path / "large.png").write_bytes(large.getvalue())
    page.set_input_files("#file", tmp_path / "large.png")
    page.locator("#status.bad", has_text="20,000,000 bytes").wait_for()
    page.route("**/predict*", lambda route: route.abort())
    page.set_input_files("#file", photo)
    page.locator("#status.bad", has_text="Is it still running").wait_for()


def test_the_documentation_lists_the_requests(visit, address) -> None:
    page = visit(f"{address}/docs")
    page.locator("h2", has_text="POST /predict").wait_for()
    page.locator("h2", has_text="/v2/models/{model}/infer").wait_for()
    assert f"{address}/predict" in page.locator("pre").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_used_without_eyes_or_a_mouse(
    visit, address, photo, violations, scheme
) -> None:
    page = visit(address, color_scheme=scheme)
    assert violations(page) == []
    page.set_input_files("#file", photo)
    page.locator("#answers button").nth(4).wait_for()
    assert violations(page) == []
    assert violations(visit(f"{address}/docs", color_scheme=scheme)) == []


def test_two_networks_side_by_side(visit, address, photo, violations) -> None:
    page = visit(address)
    page.locator("#beside option", has_text="fashion").wait_for(state="attached")
    page.set_input_files("#file", photo)
    page.locator("#answers button").nth(4).wait_for()
    assert page.locator("#other").is_hidden()
    page.select_option("#beside", "fashion")
    page.locator("#others .answer").nth(4).wait_for()
    data = photo.read_bytes()
    said = httpx.post(f"{address}/predict?model=fashion", content=data).json()["images"][0]
    name = said["predictions"][0]["names"]["en"]
    assert name in page.locator("#others .answer").first.inner_text()
    assert name in page.locator("#differs").inner_text()
    digits = httpx.post(f"{address}/predict?model=digits", content=data).json()["images"][0]
    theirs = {guess["name"] for guess in digits["predictions"]}
    alone = [guess["name"] for guess in said["predictions"] if guess["name"] not in theirs]
    assert page.locator("#others .only").count() == len(alone) > 0
    page.locator("#others button").nth(2).click()
    page.locator('#heat[data-model="fashion"][data-place="2"]').wait_for()
    assert page.locator('#answers button[aria-pressed="true"]').count() == 0
    assert violations(page) == []


def test_the_request_is_copied_for_a_script_that_gives_the_same_answer(
    visit, address, photo, tmp_path
) -> None:
    page = visit(address, permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#file", photo)
    page.locator("#answers button").nth(4).wait_for()
    page.locator("summary").click()
    page.get_by_role("button", name="Copy as Python").click()
    page.locator("#copied", has_text="Copied").wait_for()
    script = page.evaluate("navigator.clipboard.readText()")
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = httpx.post(f"{address}/predict", content=photo.read_bytes()).json()["images"][0]
    best = json.loads(done.stdout)[0]
    assert best["names"] == said["predictions"][0]["names"]
    assert best["probability"] == pytest.approx(said["predictions"][0]["probability"])
    page.get_by_role("button", name="Copy as curl").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.startsWith('curl'))")
    assert f"'{address}/predict?" in page.evaluate("navigator.clipboard.readText()")


def test_a_photo_from_the_camera(visit, address) -> None:
    page = visit(address, permissions=["camera"])
    page.click("#camera")
    page.locator("#shoot").click()
    page.locator("#answers button").nth(4).wait_for()
    width, height = page.evaluate("[video.videoWidth, video.videoHeight]")
    assert f"{width} × {height} px" in page.locator("#caption").inner_text()
    page.click("#stop")
    assert page.locator("#live").is_hidden()
    assert page.evaluate("video.srcObject") is None


def test_a_layer_of_the_drawing_shows_its_maps_and_a_unit_its_receptive_field(
    visit, address, photo, violations
) -> None:
    page = visit(address)
    page.locator("#layer option", has_text="c3").wait_for(state="attached")
    page.set_input_files("#file", photo)
    page.locator("#answers button").nth(4).wait_for()
    page.get_by_role("button", name="Show the network's drawing").click()
    page.locator('#drawing i[data-layer="c3"]').click()
    page.locator("#maps canvas").nth(15).wait_for()
    assert page.locator("#layer").input_value() == "c3"
    assert "5×5×6×16 + 16 = 2,416" in page.locator("#numbers").inner_text()
    assert violations(page) == []
    said = httpx.post(f"{address}/predict", content=photo.read_bytes()).json()["images"][0]
    left, top, width, height = said["seen_px"]
    page.locator("#maps canvas").first.click(position={"x": 1, "y": 1})
    seen = page.locator("#seen")
    seen.wait_for(state="attached")
    first, _, last, _ = backbones.inspect("lenet5", (1, 32, 32)).sees("c3", 0, 0)
    box = [float(seen.get_attribute(name)) for name in ("x", "y", "width", "height")]
    side = (last - first) / 32
    assert box == pytest.approx([left, top, width * side, height * side])
    page.locator("#row").fill("9")
    page.locator("#row").press("Tab")
    page.locator('#sees[data-row="9"]').wait_for()
    assert float(seen.get_attribute("y")) == pytest.approx(top + height * 18 / 32)
