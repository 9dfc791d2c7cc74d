"""The page of a data check: what is odd, what is there twice, and what each class looks like."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.data.check import check_data
from backbones.workflows.data_page import write_data_page


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def page_of(where: str | Path, out: Path) -> dict[str, str]:
    """Sections of the page by heading."""
    page = write_data_page(check_data(where, workers=0), out).read_text(encoding="utf-8")
    sections = re.findall(r"<section><h2>(.*?)</h2>(.*?)</section>", page, re.DOTALL)
    return {"": page.split("<main>")[0], **dict(sections)}


def test_odd_images_copies_and_every_class_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for i in range(12):
        part = "train" if i < 8 else "val"
        save(photo(i), folder / part / ("cat" if i % 2 else "<dog>") / f"{i}.png")
    save(photo(0), folder / "val" / "<dog>" / "again.png")
    save(photo(20, 20, 20), folder / "train" / "cat" / "small.png")
    save(photo(21, 400, 50), folder / "train" / "cat" / "long.png")
    save(Image.new("RGB", (160, 120), (9, 9, 9)), folder / "train" / "cat" / "plain.png")
    (folder / "train" / "cat" / "broken.png").write_bytes(b"\x89PNG broken")
    found = page_of(folder, tmp_path / "page.html")
    assert "1 image cannot be decoded; 1 image of train again in another split" in found[""]
    for title, name in {
        "cannot be decoded": "broken.png",
        "of one colour": "plain.png",
        "far smaller than the others": "small.png",
        "over three times as long as wide": "long.png",
    }.items():
        strip = found["Odd images"].split(f"<h3>{title}</h3>")[1].split("<h3>")[0]
        assert strip.count("<figcaption>") == 1
        assert name in strip
    twice = found["More than once"]
    assert "<h3>in train and in another split</h3>" in twice
    assert twice.count("<img") == 2  # side by side, and not once more as equal files
    assert "&lt;dog&gt; <small>train 4, val 3</small>" in found["Classes"]
    assert found["Classes"].count("<h3>") == 2
    assert "<dog>" not in "".join(found.values())


def test_of_many_some_are_shown_and_the_number_is_said(tmp_path: Path) -> None:
    for i in range(40):
        save(Image.new("RGB", (40, 30), (200, i, i)), tmp_path / "photos" / "a" / f"{i}.png")
    save(photo(1), tmp_path / "photos" / "b" / "1.png")
    found = page_of(tmp_path / "photos", tmp_path / "page.html")
    assert "<h3>of one colour <small>24 of 40</small></h3>" in found["Odd images"]
    assert found["Odd images"].count("<img") == 24


def test_sets_in_memory_and_folders_without_labels_have_a_page(tmp_path: Path) -> None:
    digits = page_of("digits", tmp_path / "digits.html")
    assert digits["Classes"].count("<h3>") == 10
    save(photo(1), tmp_path / "loose" / "1.png")
    loose = page_of(tmp_path / "loose", tmp_path / "loose.html")
    assert "no labels" in loose[""]
    assert "1.png" in loose["Classes"]
