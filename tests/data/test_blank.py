"""`data check` remarks on images that are blank or nearly black, whatever made them so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data.check import check_data
from backbones.data.examine import examine
from backbones.report.check import check_text

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def folder_of(root: Path, **images: Image.Image) -> Path:
    for name, image in images.items():
        for label in ("cat", "dog"):
            path = root / label / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return root


def test_images_of_one_colour_are_remarked_on_and_listed(tmp_path: Path) -> None:
    gone = Image.fromarray(NOISE).convert("RGBA")
    gone.putalpha(0)
    red = Image.new("RGB", (40, 50), "red")
    found = check_data(
        folder_of(tmp_path, good=Image.fromarray(NOISE), gone=gone, red=red), workers=0
    )
    assert found.blank == ("cat/gone.png", "cat/red.png", "dog/gone.png", "dog/red.png")
    assert found.nearly_black == ()
    assert "4 images of one colour" in found.remarks
    assert "one colour:\n  cat/gone.png\n" in check_text(found)
    assert found.to_json()["blank"] == found.blank


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_bits_stored_as_if_16_are_remarked_on(tmp_path: Path, bits: int) -> None:
    deep = NOISE[..., 0].astype(np.uint16) << (bits - 8)
    found = check_data(
        folder_of(tmp_path, good=Image.fromarray(NOISE), deep=Image.fromarray(deep)), workers=0
    )
    assert found.nearly_black == ("cat/deep.png", "dog/deep.png")
    assert found.blank == ()
    assert any("2 images nearly black" in remark for remark in found.remarks)
    assert "nearly black:\n  cat/deep.png" in check_text(found)


def test_one_bright_pixel_is_enough(tmp_path: Path) -> None:
    night = np.zeros((40, 50, 3), dtype=np.uint8)
    night[7, 9] = 255
    path = folder_of(tmp_path, night=Image.fromarray(night)) / "cat" / "night.png"
    looked = examine(path)
    assert (looked.blank, looked.brightest) == (False, 255)


def test_arrays_are_looked_at_too(tmp_path: Path) -> None:
    digits = check_data("digits", workers=0)
    assert digits.blank == ()
    assert digits.nearly_black == ()
