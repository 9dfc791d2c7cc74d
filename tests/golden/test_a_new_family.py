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


# The figures of the new family join variants.json; then each command in turn, in one process.
SESSION = """
import contextlib, io, json, sys
from pathlib import Path
from backbones.cli.main import run
from backbones.inspection.facts import facts_json
said = []
variants = Path("backbones/variants.json")
families = json.loads(variants.read_text(encoding="utf-8"))
families += json.loads(facts_json(["averaging"]))
variants.write_text(json.dumps(families), encoding="utf-8")
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        run(words)
    said.append(out.getvalue())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that has one family more."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "backbones"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "models" / "averaging.py").write_text(NEW_FAMILY, encoding="utf-8")
    listed = (copy / "catalog.py").read_text(encoding="utf-8")
    added = listed.replace("FAMILIES = (\n", 'FAMILIES = (\n    "averaging",\n')
    assert added != listed
    (copy / "catalog.py").write_text(added, encoding="utf-8")
    return folder


def test_it_is_listed_shown_inspected_and_trained(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for split in ("train", "val"):
        for number, image in enumerate(pixels):
            path = folder / "data" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    commands = [
        ["list", "averaging"],
        ["list", "averaging", "--json"],
        ["show", "averaging_tiny"],
        ["inspect", "averaging"],
        ["train", "data", "--model", "averaging_tiny", "--smoke", "--out", "run"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", SESSION, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    table, listed, card, inspected, _ = json.loads(done.stdout)
    assert "Nobody (2031), On Averages, unpublished" in table
    assert "Averaging: one convolution and an average" in table
    (full, tiny) = json.loads(listed)
    assert (full["name"], full["params"], full["macs"]) == ("averaging", 314, 221_264)
    assert [deviation["field"] for deviation in tiny["deviations"]] == ["maps"]
    assert "it averages the maps of one convolution" in card
    assert "4 maps; the paper has 8" in card
    assert "221,264" in inspected
    assert list((folder / "run").glob("*.safetensors"))
