"""Bundles of fresh networks, and what is exported once for all tests: translating takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backbones
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle, bundle_of

IMAGENET_IDS = (
    *("n01440764", "n01443537", "n01484850", "n01491361", "n01494475"),
    *("n01496331", "n01498041", "n01514668", "n01514859", "n01518878"),
)


def bundle(variant: str) -> Bundle:
    """A fresh network whose classes are ten of ImageNet's."""
    network = build(variant, num_classes=10, seed=3).eval()
    channels, size = network.row.in_channels, network.row.input_px
    spec = InputSpec(size, size * 8 // 7, channels, (0.45,) * channels, (0.22,) * channels)
    return bundle_of(network, classes=IMAGENET_IDS, spec=spec)


@pytest.fixture(scope="session")
def vgg() -> Bundle:
    return bundle("vgg_tiny")


@pytest.fixture(scope="session")
def onnx_file(vgg: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes whole images, as ONNX."""
    path = tmp_path_factory.mktemp("exported") / "vgg.onnx"
    backbones.export(vgg, path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth images of several sizes in folders of two classes."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(5)
    for place, size in enumerate([(64, 48), (48, 64), (50, 50), (31, 90), (36, 36), (200, 150)]):
        coarse = generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        path = folder / IMAGENET_IDS[place % 2] / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return folder
