"""One file and one line add a network: done to a copy of the package, in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones import catalog

PACKAGE = Path(catalog.__file__).parent
NEW_FAMILY = '''"""Averaging: the shortest network that classifies.

The paper is not written yet; it averages the maps of one convolution.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation("Nobody", "On Averages", 2031, "unpublished")
FAMILY = Family("averaging", "Averaging", PAPER, "one convolution and an average")
DEVIATIONS: Deviations = {"this test": {("maps", 4): "4 maps; the paper has 8"}}


@dataclass(frozen=True, kw_only=True)
class AveragingRow(Row):
    """A network of one convolution.

    Args:
        maps: of the convolution.
    """

    maps: int = 8
    num_classes: int = 10
    input_px: int = 32
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


ROWS = (
    AveragingRow("averaging", "one convolution", counted(314, 221_264, "by hand")),
    AveragingRow("averaging_tiny", "for tests", counted(162, 110_632, "by hand"), maps=4),
)


class Averaging(nn.Module):
    def __init__(self, row, num_classes=None, in_channels=None):
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        convolution = nn.Conv2d(self.in_channels, row.maps, 3, padding=1)
        self.features = nn.Sequential(convolution, nn.ReLU())
        self.fc = nn.Linear(row.maps, self.num_classes)

    stages = (("convolution", "features.1"), ("linear", "fc"))
    cam_layer = "features.1"

    def head(self, f: Tensor) -> Tensor:
        return self.fc(f.mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


NETWORK = Averaging
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """The command line of a package that has one family more."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "backbones"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "models" / "averaging.py").write_text(NEW_FAMILY, encoding="utf-8")
    listed = (copy / "catalog.py").read_text(encoding="utf-8")
    added = listed.replace("FAMILIES = (\n", 'FAMILIES = (\n    "averaging",\n')
    assert added != listed
    (copy / "catalog.py").write_text(added, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}

    def python(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "from backbones.inspection.facts import facts_json; print(facts_json(['averaging']))"
    families = json.loads((copy / "variants.json").read_text(encoding="utf-8"))
    families += json.loads(python("-c", code))
    (copy / "variants.json").write_text(json.dumps(families), encoding="utf-8")
    return lambda *arguments: python("-m", "backbones", *arguments)


def test_it_is_listed_with_its_paper(run) -> None:
    table = run("list", "averaging")
    assert "Nobody (2031), On Averages, unpublished" in table
    assert "Averaging: one convolution and an average" in table
    (full, tiny) = json.loads(run("list", "averaging", "--json"))
    assert (full["name"], full["params"], full["macs"]) == ("averaging", 314, 221_264)
    assert [deviation["field"] for deviation in tiny["deviations"]] == ["maps"]


def test_it_is_shown_and_inspected(run) -> None:
    card = run("show", "averaging_tiny")
    assert "it averages the maps of one convolution" in card
    assert "4 maps; the paper has 8" in card
    assert "221,264" in run("inspect", "averaging")


def test_it_trains(run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for split in ("train", "val"):
        for number, image in enumerate(pixels):
            path = tmp_path / "data" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    out = tmp_path / "run"
    run("train", tmp_path / "data", "--model", "averaging_tiny", "--smoke", "--out", out)
    assert list(out.glob("*.safetensors"))
