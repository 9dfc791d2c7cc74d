"""`backbones reproduce` and `backbones list ledger`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_the_ledger_is_listed(backbones: Any) -> None:
    rows = json.loads(backbones("list", "ledger", "--json").out)
    found = {row["id"]: row for row in rows}
    assert found["vgg/depth"]["outcome"] == "not run here"
    assert found["vgg/depth"]["arms"][0]["printed"][0]["top1_error_percent"] == 29.6
    assert "resnet/residual" in backbones("list", "ledger").out


def test_a_row_is_shown_before_it_is_tried(backbones: Any) -> None:
    answer = backbones("reproduce", "vgg/staged", "--show")
    assert answer.code == 0
    assert "layers from A" in answer.out
    assert "expected: D staged lower than D direct" in answer.out
    document = json.loads(backbones("reproduce", "vgg/staged", "--show", "--json").out)
    assert document[0]["expectations"][0]["is"] == "lower"


def test_a_row_is_tried(backbones: Any, tmp_path: Path) -> None:
    answer = backbones("reproduce", "lenet/digits", "--smoke", "--out", tmp_path)
    assert answer.code == 0
    assert "0.95 % (MNIST, 10,000 test images, section III-B)" in answer.out
    assert "the figures mean nothing" in answer.err
    again = backbones("reproduce", "lenet/digits", "--smoke", "--out", tmp_path, "--json")
    document = json.loads(again.out)[0]
    assert document["figures"][0]["runs"][0]["num_samples"] == 16
    assert all(Path(path).is_file() for path in document["files"])


def test_mistakes_get_one_line(backbones: Any) -> None:
    answer = backbones("reproduce", "lenet/digit")
    assert answer.code == 2
    assert "Did you mean lenet/digits" in answer.err
    answer = backbones("reproduce", "vgg/depth")
    assert answer.code == 2
    assert "give --data FOLDER" in answer.err
    answer = backbones("reproduce", "vgg/depth", "--data", "nowhere")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
