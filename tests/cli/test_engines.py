"""`backbones engines` and --engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.engines import ENGINES


def test_the_command_lists_them(backbones: Callable) -> None:
    answer = backbones("engines", "--json")
    assert answer.code == 0
    rows = json.loads(answer.out)
    assert [row["engine"] for row in rows] == [each.name for each in ENGINES]
    assert [row["engine"] for row in rows if row["chosen"]] == ["openvino"]
    own = next(row for row in rows if row["engine"] == "torch")
    assert own["version"] == torch.__version__
    assert "cpu" in own["devices"]
    assert "fp32" in own["precisions"]
    answer = backbones("engines")
    assert all(each.name in answer.out for each in ENGINES)
    assert "--engine auto" in answer.err


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A class folder each for 0 and 1."""
    for number in range(4):
        folder = tmp_path / str(number % 2)
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path


def test_engines_predict_the_same(backbones: Callable, digits: Path) -> None:
    said = {}
    for engine in ("torch", "openvino"):
        answer = backbones("predict", "lenet5.digits", digits, "--engine", engine, "--json")
        assert answer.code == 0
        said[engine] = [json.loads(line) for line in answer.out.splitlines()]
    assert len(said["torch"]) == 4
    for ours, theirs in zip(said["openvino"], said["torch"], strict=True):
        assert ours["path"] == theirs["path"]
        pairs = zip(ours["predictions"], theirs["predictions"], strict=True)
        assert all(
            one["probability"] == pytest.approx(other["probability"], abs=1e-4)
            for one, other in pairs
        )


def test_an_evaluation_records_what_computed_it(backbones: Callable, digits: Path) -> None:
    command = ("evaluate", "lenet5.digits", digits, "--json", "--engine")
    found = json.loads(backbones(*command, "openvino").out)
    assert found["engine"] == "openvino"
    assert found["engine_version"].startswith("20")
    assert found["precision"] == "fp32"
    assert found["instruction_set"]
    assert json.loads(backbones(*command, "auto").out)["engine"] == "torch"  # of four images


def test_an_unknown_engine_is_a_wrong_use(backbones: Callable, digits: Path) -> None:
    answer = backbones("predict", "lenet5.digits", digits, "--engine", "tvm")
    assert answer.code == 2
    assert "openvino" in answer.err
