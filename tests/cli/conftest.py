"""The command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Answer:
    """What a command said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def backbones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """`backbones("list", "--json")` runs the command line and returns what it said."""
    from backbones import signals
    from backbones.cli.main import main

    monkeypatch.setattr(signals, "answer", lambda: None)  # pytest has its own answer
    monkeypatch.setattr(signals, "_state", signals._State())  # nobody asked this command to stop

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["backbones", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


def draw(shape: str, seed: int) -> Image.Image:
    """A disc or a cross of random place, size and colour on a noisy ground, 48 x 40."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (40, 48, 3), dtype=np.uint8)
    y, x = np.mgrid[:40, :48]
    cy, cx, radius = rng.integers(14, 26), rng.integers(14, 34), rng.integers(7, 12)
    if shape == "disc":
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    else:
        inside = ((abs(y - cy) < 3) | (abs(x - cx) < 3)) & (abs(y - cy) < radius)
        inside &= abs(x - cx) < radius
    image[inside] = rng.integers(150, 255, 3)
    return Image.fromarray(image)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-folder data set of two shapes, 40 images each; one file in it is broken."""
    folder = tmp_path_factory.mktemp("photos")
    for shape in ("cross", "disc"):
        (folder / shape).mkdir()
        for number in range(40):
            image = draw(shape, seed=1000 * len(shape) + number)
            image.save(folder / shape / f"{number:02d}.jpg", quality=92)
    (folder / "disc" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no image")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run on `photos`, at half the side that a run on photos has."""
    from backbones.api.training import train

    out = tmp_path_factory.mktemp("runs") / "shapes"
    settings = (
        *("length=20epochs", "evaluate_every=10epochs", "batch_size=16"),
        *("input.size=64", "input.resize=72"),
        *("optimizer.lr=0.003", "optimizer.kind=adam", "test_fraction=0"),
    )
    for _ in train(photos, model="vgg_tiny", recipe="scratch", settings=settings, out=out):
        pass
    return out
