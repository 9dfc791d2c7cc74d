"""Photographs, which drawn images are no substitute for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="session")
def photographs(real_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred real photos, or as many pieces of the two that scikit-learn carries."""
    if real_data is not None:
        return real_data / "imagenet-samples"
    folder = tmp_path_factory.mktemp("photographs")
    wholes = load_sample_images().images  # (427, 640, 3) each
    rng = np.random.default_rng(0)
    for number in range(100):
        width, height = rng.integers((300, 240), (641, 428))
        left, top = rng.integers(0, 640 - width + 1), rng.integers(0, 427 - height + 1)
        piece = Image.fromarray(wholes[rng.integers(2)][top : top + height, left : left + width])
        piece = piece.transpose(Image.Transpose(rng.integers(7)))
        piece.thumbnail([int(rng.integers(200, 500))] * 2)
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        piece.convert("L" if number % 10 == 9 else "RGB").save(
            folder / f"{number:03}.JPEG",
            quality=int(rng.integers(60, 96)),
            subsampling=int(rng.integers(3)),
            progressive=bool(rng.integers(2)),
            exif=exif,
        )
    return folder


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indexes of shards are kept for the session, and not in the user's cache."""
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket of moto's server, with credentials that mean nothing."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    import boto3

    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket="shards")
        yield "s3://shards"
    server.stop()
