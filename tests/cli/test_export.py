"""`backbones export`: its words, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet5.digits"], "name the file to write with -o"),
        (["lenet5.digits", "x.onnx", "-o", "y.onnx"], "one argument too many"),
        (["lenet5.digits", "-o", "x.bin"], "ends in .onnx"),
        (["lenet5.digits", "--to", "tflite", "-o", "x"], "expected onnx, openvino,"),
        (["lenet5.digits", "--to", "litert", "-o", "x.tflite"], "add --layout tensor"),
        (["lenet5.digits", "--precision", "int8", "-o", "x.onnx"], "say --to openvino"),
        (["lenet5.digits", "--trust", "-o", "x.onnx"], "belong to verify"),
        (["lenet5.digitz", "-o", "x.onnx"], "Did you mean lenet5.digits"),
        (["verify", "x.onnx", "--images", "."], "name the bundle that it was made from"),
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
    path, photos = tmp_path / "digits.pt2", tmp_path / "photos"
    photos.mkdir()
    for name, size in (("dot.png", (1, 1)), ("line.png", (70, 1)), ("photo.png", (50, 40))):
        Image.new("RGB", size, (200, 80, 10)).save(photos / name)
    answer = backbones(
        *("export", "lenet5.digits", "--to", "pt2", "-o", path, "--images", photos, "--json"),
        *("--report", tmp_path / "proof.html"),
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    wanted = ("file", "target", "bytes", "max_abs_diff", "same_first_class", "images")
    assert tuple(found)[:6] == wanted
    assert found["file"] == str(path)
    assert found["bytes"] == path.stat().st_size
    assert found["same_first_class"] == found["images"] == 13
    assert "1 x 1 x 70" in found["sizes"]
    page = (tmp_path / "proof.html").read_text()
    assert page.count("<article") == 13
    assert "photo.png" in page
    assert "13 of 13" in page
    for more, images in (([], 10), (["--against", "lenet5.digits", "--images", photos], 13)):
        answer = backbones("export", "verify", path, "--trust", *more)
        assert answer.code == 0, answer.err
        assert f"{images} of {images}" in answer.out
    (photos / "photo.png").write_bytes(b"no image")
    answer = backbones("export", "lenet5.digits", "-o", tmp_path / "x.onnx", "--images", photos)
    assert answer.code != 0
    assert "photo.png" in answer.err
    assert len(answer.err.splitlines()) == 1


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
