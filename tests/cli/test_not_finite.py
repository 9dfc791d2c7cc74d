"""A network whose answers are no numbers gives none: every verb fails, and names the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.bundle import bundle_of, write_bundle

WAYS = {
    "text": (),
    "json": ("--format", "json"),
    "csv": ("--format", "csv"),
    "a file": ("--out", "answers.txt"),
    "a submission": ("--submission", "answers.csv"),
    "a template": ("--submission", "answers.csv", "--template", "t.csv", "--class-as", "number"),
    "ten crops": ("--protocol", "ten_crop"),
    "whole images": ("--protocol", "vgg/dense"),
    "annotated copies": ("--pictures", "copies"),
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Finite weights whose sums are beyond float32; and a good bundle beside, and images."""
    monkeypatch.chdir(tmp_path)
    network = build("vgg_tiny", num_classes=2, seed=0)
    spec = InputSpec(size=32, resize=32)
    good = bundle_of(network, classes=("cat", "dog"), spec=spec)
    write_bundle(tmp_path / "good.safetensors", good)
    state = {
        name: torch.full_like(tensor, 3e38) if name.endswith("weight") else tensor
        for name, tensor in good.state.items()
    }
    write_bundle(tmp_path / "bad.safetensors", replace(good, state=state))
    numbers = np.random.default_rng(0)
    for name in ("set/cat/0.png", "set/cat/1.png", "set/dog/0.png", "set/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "t.csv").write_text("id,label\n0,0\n")
    return tmp_path


def told(answer) -> str:
    """The one line; nothing that could be taken for an answer beside it."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err
    (line,) = [line for line in answer.err.splitlines() if "network's answer is" in line]
    assert "expected finite numbers" in line
    return line


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
def test_nan_is_never_a_prediction(backbones, broken, options):
    answer = backbones("predict", "bad.safetensors", "set/cat/0.png", *options)
    assert "set/cat/0.png" in told(answer)
    assert answer.out == ""
    assert not list(broken.glob("answers*"))


def test_nan_of_one_network_of_several_is_an_error_that_names_it(backbones, broken):
    answer = backbones("predict", "good.safetensors", "--also", "bad.safetensors", "set/cat/0.png")
    assert "set/cat/0.png" in told(answer)
    both = backbones("evaluate", "good.safetensors", "bad.safetensors", "set")
    assert "bad.safetensors" in told(both)


@pytest.mark.parametrize("protocol", ["single", "ten_crop", "vgg/dense"])
def test_nan_is_never_measured(backbones, broken, protocol):
    answer = backbones("evaluate", "bad.safetensors", "set", "--protocol", protocol)
    assert "cat/0.png" in told(answer)
    assert answer.out == ""


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_nan_is_never_explained(backbones, broken, method):
    answer = backbones("explain", "bad.safetensors", "set", "--method", method, "-o", "why")
    assert "cat/0.png" in told(answer)


def test_nan_is_no_feature(backbones, broken):
    answer = backbones("features", "bad.safetensors", "set", "--out", "rows.npz")
    assert "cat/0.png" in told(answer)
    assert not Path("rows.npz").exists()
