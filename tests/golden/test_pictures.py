"""The pictures of the READMEs are what our commands draw. BACKBONES_REGENERATE=1 writes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from backbones.cli.main import run

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
COMPARED = (
    *("vgg16", "vgg19_bn", "googlenet", "resnet18", "resnet50", "resnet152", "densenet121"),
    *("inception_v3", "mobilenet_v2", "efficientnet_b0", "efficientnet_b4"),
)
COMMANDS = {
    "resnet50.svg": ["draw", "resnet50", "-o", "resnet50.svg"],
    "accuracy.svg": ["compare", *COMPARED, "--no-measure", "-o", "accuracy.svg"],
    "explained.png": ["explain", "lenet5.digits", "nine.png", "--class", "9", "--class", "4"],
}


def draw(name: str) -> Path:
    """Run the command of a picture in the working folder."""
    if name == "explained.png":  # a nine that looks like a four, of scikit-learn's digits
        pixels = np.uint8(np.round(load_digits().images[69] * 255 / 16))
        Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save("nine.png")
        run([*COMMANDS[name], "-o", "why"])
        return Path("why/nine.png")
    run(COMMANDS[name])
    return Path(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_picture_is_what_its_command_draws(name, tmp_path, monkeypatch, capsys) -> None:
    """Charts are compared by their size: what is inside hangs on fonts and rounding."""
    monkeypatch.chdir(tmp_path)
    drawn, kept = draw(name), PICTURES / name
    if os.environ.get("BACKBONES_REGENERATE"):
        shutil.copyfile(drawn, kept)
    if name.endswith(".png"):
        with Image.open(drawn) as one, Image.open(kept) as other:
            assert one.size == other.size
            apart = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16))
        assert apart.mean() < 1, "make golden"
    else:
        boxes = [path.read_text("utf-8").partition("viewBox=")[2][:40] for path in (drawn, kept)]
        assert boxes[0] == boxes[1], "make golden"
        sizes = [path.stat().st_size for path in (drawn, kept)]
        assert abs(sizes[0] - sizes[1]) < sizes[1] / 50, "make golden"


def test_there_are_no_other_pictures() -> None:
    assert {path.name for path in PICTURES.iterdir()} == set(COMMANDS)
