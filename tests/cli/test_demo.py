"""The first thing that a newcomer sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "run"


def test_demo_reaches_the_accuracy_that_the_readme_promises(backbones, demo_folder) -> None:
    """What `make demo` runs, so that CI need not run it once more."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    assert "demo: .venv/ready\n\t$(BIN)/backbones demo --out runs/demo\n" in makefile
    answer = backbones("demo", "--out", demo_folder)
    assert answer.code == 0, answer.err
    found = json.loads((demo_folder / "evaluation.json").read_text())
    assert found["num_samples"] == 359
    assert found["top1_error_percent"] <= 3  # 0.0 to 0.84 over five seeds; a guess is wrong on 90
    for name in ("best.safetensors", "metrics.jsonl", "curves.png", "images.html", "mistakes.html"):
        assert (demo_folder / name).stat().st_size > 1000, name
    assert "Try next" in answer.err
    assert " of 359 test images classified correctly" in answer.err
    page = (demo_folder / "images.html").read_text(encoding="utf-8")
    wrong = 359 - round(359 * (1 - found["top1_error_percent"] / 100))
    assert page.count('<article class="wrong">') == min(wrong, 6), "none is hidden"
    assert page.count("<article") == page.count('<img class="tiny"') == 24, "pixels, not blurs"
    assert len(list((demo_folder / "images").glob("digit-*.png"))) == 24


def test_the_readmes_print_what_the_demo_says() -> None:
    """How many are right hangs on the processor; of how many, and the two figures together, not."""
    for name in ("README.md", "README.zh-CN.md"):
        text = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
        ((right, images),) = re.findall(r"^(\d+) of (\d+) test images classified", text, re.M)
        (accuracy,) = re.findall(r"^accuracy +(0\.\d{4})$", text, re.M)
        assert images == "359"
        assert f"{int(right) / int(images):.4f}" == accuracy


def test_demo_does_not_touch_a_folder_that_is_no_demo(backbones, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    answer = backbones("demo", "--out", tmp_path)
    assert answer.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_demo_replaces_a_demo(backbones, demo_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from backbones.workflows import demonstration

    if not (demo_folder / ".demo").exists():
        demo_folder.mkdir(parents=True)
        (demo_folder / ".demo").touch()
    (demo_folder / "old.txt").write_text("old")
    monkeypatch.setattr(demonstration, "begin_run", lambda *args, **kwargs: None)
    demonstration.start_demo(demo_folder)
    assert not (demo_folder / "old.txt").exists()
