"""Every verb that takes DATA takes shards: packed, checked, trained on, evaluated, predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SETTINGS = ("length=1epochs", "batch_size=16", "input.size=64", "input.resize=72")


def test_shards_go_through_the_verbs(backbones, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    shards = f"memory://{tmp_path.name}/shards"
    packed = backbones("data", "pack", photos, "-o", shards, "--size", "60KB", "--json")
    assert packed.code == 0, packed.err
    said = json.loads(packed.out)
    assert (said["images"], said["complete"], said["left_out"]) == (81, True, [])
    checked = backbones("data", "check", shards)
    assert checked.code == 1
    assert "needs mending: 1 image cannot be decoded" in checked.out
    settings = [each for setting in SETTINGS for each in ("--set", setting)]
    run = tmp_path / "run"
    trained = backbones("train", shards, "--model", "vgg_tiny", *settings, "-o", run)
    assert trained.code == 0, trained.err
    measured = backbones("evaluate", run, shards, "--json")
    assert measured.code == 0, measured.err
    assert json.loads(measured.out)["num_samples"] == 8
    rows = backbones("features", run, shards, "--out", tmp_path / "rows.npz")
    assert "1 of 81 images could not be read" in rows.err
    one = f"{shards}/{said['shards'][0]['name']}"
    answers = backbones("predict", run, one, "--json")
    assert len(answers.out.splitlines()) == said["shards"][0]["images"]
