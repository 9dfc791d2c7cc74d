"""`backbones draw` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_draw_writes_every_kind_of_file(backbones, tmp_path: Path) -> None:
    for suffix, begin in (("svg", b"<?xml"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF")):
        out = tmp_path / "images" / f"net.{suffix}"
        answer = backbones("draw", "lenet5_tiny", "-o", out)
        assert answer.code == 0, answer.err
        assert out.read_bytes().startswith(begin)
        assert "net." in answer.err


def test_draw_the_graph_of_ones_own_file(backbones, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(4, 7, 3), nn.Flatten(), nn.Linear(343, 3))\n",
        encoding="utf-8",
    )
    out = tmp_path / "mine.svg"
    name = f"{tmp_path / 'mine.py'}:build"
    answer = backbones("draw", name, "--graph", "--unfold", "--input", "4,9,9", "-o", out)
    assert answer.code == 0, answer.err
    assert "7×7×7" in out.read_text(encoding="utf-8")


def test_shapes_are_written_as_asked(backbones, tmp_path: Path) -> None:
    out = tmp_path / "net.svg"
    answer = backbones("draw", "lenet5_tiny", "--shape", "hwc", "-o", out)
    assert answer.code == 0, answer.err
    text = out.read_text(encoding="utf-8")
    assert "input 16×16×1" in text, "Matplotlib leaves each text in a comment"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lenet5", "-o", "net.gif"], "expected one of .svg, .png, .pdf"),
        (["lenet5", "-o", "net"], "expected one of .svg, .png, .pdf"),
        (["lenet6", "-o", "net.svg"], "Did you mean lenet5"),
        (["lenet5", "-o", "net.svg", "--shape", "nhwc"], "chw"),
        (["lenet5", "-o", "net.svg", "--unfold"], "--graph --unfold"),
        (["lenet5", "-o", "net.svg", "--input", "big"], "expected C,H,W"),
        (["lenet5", "-o", "net.svg", "--input", "1,7,7"], "7x7 px"),
    ],
)
def test_mistakes_get_one_line(
    backbones, tmp_path: Path, monkeypatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = backbones("draw", *arguments)
    assert answer.code == 2
    assert expected in answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
