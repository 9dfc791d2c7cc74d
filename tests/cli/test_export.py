"""`backbones export`: its words, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet5.digits"], "name the file to write with -o"),
        (["lenet5.digits", "x.onnx", "-o", "y.onnx"], "one argument too many"),
        (["lenet5.digits", "-o", "x.bin"], "ends in .onnx"),
        (["lenet5.digits", "--to", "tflite", "-o", "x"], "expected onnx, openvino,"),
        (["lenet5.digits", "--to", "litert", "-o", "x.tflite"], "add --layout tensor"),
        (["lenet5.digits", "--precision", "int8", "-o", "x.onnx"], "fp32 only"),
        (["lenet5.digits", "--trust", "-o", "x.onnx"], "belong to verify"),
        (["lenet5.digitz", "-o", "x.onnx"], "Did you mean lenet5.digits"),
        (["verify"], "wants one exported file"),
        (["verify", "x.onnx"], "no exported network"),
        ([".", "-o", "x.onnx"], "holds no bundle"),
    ],
)
def test_a_mistake_gets_one_line(backbones, tmp_path, monkeypatch, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    answer = backbones("export", *words)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_written_proven_and_verified(backbones, tmp_path) -> None:
    path = tmp_path / "digits.pt2"
    answer = backbones(
        *("export", "lenet5.digits", "--to", "pt2", "-o", path, "--json"),
        *("--report", tmp_path / "proof.html"),
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    wanted = ("file", "target", "bytes", "max_abs_diff", "same_first_class", "images")
    assert tuple(found)[:6] == wanted
    assert found["file"] == str(path)
    assert found["bytes"] == path.stat().st_size
    assert found["same_first_class"] == found["images"] == 10
    page = (tmp_path / "proof.html").read_text()
    assert page.count("<article") == 10
    assert "10 of 10" in page
    answer = backbones("export", "verify", path, "--trust", "--against", "lenet5.digits")
    assert answer.code == 0, answer.err
    assert "10 of 10" in answer.out


def test_a_missing_library_is_told_with_its_extra(backbones, tmp_path, monkeypatch) -> None:
    import sys

    for name in [*sys.modules]:
        if name.startswith("backbones.exporting.o"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    Path(tmp_path / "x.onnx").write_bytes(b"")
    answer = backbones("predict", tmp_path / "x.onnx", tmp_path)
    assert answer.code == 2
    assert "pip install 'classic-backbones[export]'" in answer.err
