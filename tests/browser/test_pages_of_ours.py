"""The pages that reports write, as a browser shows them; and that its checks find what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.report.page import ShownImage, write_page

PIXELS = np.arange(20 * 24 * 3, dtype=np.uint8).reshape(20, 24, 3)


@pytest.mark.parametrize("look", ["light", "dark"])
def test_a_page_of_answers_is_accessible(look, visit, violations, tmp_path) -> None:
    cell = ShownImage("a.png", PIXELS, (("shoe", 0.75), ("shirt", 0.25)), "shirt")
    path = write_page([cell], tmp_path / "page.html", title="Answers", notes=("One image.",))
    page = visit(path.as_uri(), color_scheme=look)
    assert page.get_by_role("heading", name="Answers").is_visible()
    assert page.locator("img").evaluate("image => image.naturalWidth") == 24
    assert violations(page) == []


def test_what_is_wrong_with_a_page_is_found(visit, violations, tmp_path) -> None:
    path = tmp_path / "bad.html"
    path.write_text('<!doctype html><html lang="en"><title>x</title><button></button>')
    assert [each.partition(":")[0] for each in violations(visit(path.as_uri()))] == ["button-name"]
