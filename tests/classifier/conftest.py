"""A folder of images with the usual strangers in it, and a network with a memory for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from backbones.spec import InputSpec

CLASSES = ("cat", "dog", "虎斑猫")


@pytest.fixture
def classes() -> tuple[str, ...]:
    return CLASSES


@pytest.fixture
def spec() -> InputSpec:
    return InputSpec(size=12, resize=14)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(3 * 12 * 12, 3)).train()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a/1.jpg, a/2.png, b/c/3.JPG, empty.jpg, plus files that are no images."""
    folder = tmp_path / "photos"
    generator = np.random.default_rng(4)
    for place, name in enumerate(("a/1.jpg", "a/2.png", "b/c/3.JPG")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (15 + place, 22, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.jpg").write_bytes(b"x")
    return folder
