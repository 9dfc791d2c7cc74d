"""Small shards of noise, and a network that ships with the package."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backbones
from backbones import Classifier

NUM_SHARDS, NUM_IMAGES = 4, 5


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def noise() -> Callable[[int], bytes]:
    """A PNG file of noise, by its seed."""
    return png


@pytest.fixture
def write_tar() -> Callable[[Path, dict[str, bytes]], None]:
    """Writes a tar file of these members."""
    return tar


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tar files of five images each; one image of the second cannot be decoded."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(NUM_SHARDS):
        members = {f"{i}.png": png(NUM_IMAGES * shard + i) for i in range(NUM_IMAGES)}
        if shard == 1:
            members["2.png"] = b"no image"
        tar(folder / f"{shard}.tar", members)
    return folder


@pytest.fixture(scope="session")
def digits() -> Classifier:
    """LeNet-5, on one thread."""
    return backbones.open("lenet5.digits", device="cpu", precision="exact", threads=1)
