"""Small splits and a small network for the identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from backbones.data.source import ArrayImages, FileImages, Split
from backbones.spec import InputSpec


class SmallNetwork(nn.Module):
    """Sees where things are (no pooling to one), has batch norm and dropout, answers 7 classes."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6 * 7 * 7, 7)
        with torch.no_grad():
            self.fc.weight *= 8
            self.fc.bias *= 8

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.drop(torch.relu(self.norm(self.conv(x))).flatten(1)))
        return out


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(5)
    made = SmallNetwork()
    made.norm.running_mean = torch.randn(6) * 0.1
    return made.train()


@pytest.fixture
def spec() -> InputSpec:
    return InputSpec(size=16, resize=20)


@pytest.fixture
def split() -> Split:
    """37 images of 24 x 31 px in memory."""
    generator = np.random.default_rng(11)
    images = generator.integers(0, 256, (37, 24, 31, 3), dtype=np.uint8)
    labels = generator.integers(0, 7, 37)
    return Split("test", tuple("abcdefg"), labels, ArrayImages(images, "noise"))


@pytest.fixture
def file_split(tmp_path: Path) -> Split:
    """Nine files of different sizes; two of them cannot be decoded."""
    generator = np.random.default_rng(12)
    names = [f"{place}.png" for place in range(9)]
    for place, name in enumerate(names):
        size = (20 + 3 * place, 40 - 2 * place, 3)
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:60])
    labels = np.arange(9) % 7
    return Split("val", tuple("abcdefg"), labels, FileImages(tmp_path, tuple(names)))
