"""`--layout` and `--label-pattern` on every verb that reads labels, and what it understood."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from backbones.api.evaluation import evaluate
from backbones.api.training import train

PATTERN = r"_(cross|disc)\.jpg$"
TINY = ("--model", "vgg_tiny", "--set", "length=2epochs", "--set", "batch_size=8")


@pytest.fixture(scope="module")
def by_month(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The photos in folders by month, their class at the end of the name."""
    folder = tmp_path_factory.mktemp("by") / "month"
    for shape in ("cross", "disc"):
        for number in range(12):
            place = folder / f"2023-0{1 + number % 3}" / f"IMG_{number:02d}_{shape}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / shape / f"{number:02d}.jpg", place)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, by_month: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = ("length=2epochs", "batch_size=8", f"label_pattern={json.dumps(PATTERN)}")
    for _ in train(by_month, model="vgg_tiny", recipe="scratch", settings=settings, out=out):
        pass
    return out


def test_doubtful_data_stops_every_verb_and_leaves_nothing(backbones, by_month, tmp_path) -> None:
    for verb in (
        ("train", by_month, *TINY, "--out", tmp_path / "run"),
        ("tune", by_month, *TINY, "--out", tmp_path / "tune"),
        ("lr-find", by_month, *TINY, "--out", tmp_path / "rate.png"),
        ("recipe", "show", "scratch", "--data", by_month, "--out", tmp_path / "r.png"),
        ("evaluate", "lenet5.digits", by_month),
    ):
        answer = backbones(*verb)
        assert answer.code == 1, verb
        assert "are dates" in answer.err, verb
        assert "--label-pattern REGEX" in answer.err, verb
    answer = backbones("data", "check", by_month)
    assert answer.code == 1
    assert "no problems" not in answer.out
    assert not list(tmp_path.iterdir())


def test_train_keeps_the_pattern_and_says_what_it_understood(backbones, by_month, tmp_path) -> None:
    out = tmp_path / "run"
    answer = backbones("train", by_month, *TINY, "--label-pattern", PATTERN, "--out", out)
    assert answer.code == 0, answer.err
    said = "data: label pattern: cross 12, disc 12; train 20, val 2, test 2 (split by seed 0)"
    assert said in answer.err
    assert json.loads((out / "recipe.json").read_text())["label_pattern"] == PATTERN


def test_evaluate_reads_the_data_as_the_run_did(backbones, run, by_month) -> None:
    answer = backbones("evaluate", run, by_month, "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["num_samples"] == 2  # what was held out
    assert document["data"].startswith("label pattern: cross 12, disc 12; train 20, val 2, te")
    assert document["data"].endswith("measured: test")
    again = evaluate(run, by_month, label_pattern="(cross|disc)", split="train")
    assert again.report.num_samples == 20


def test_evaluate_reads_other_data_as_it_is_told(backbones, run, photos) -> None:
    answer = backbones("evaluate", run, photos)
    assert answer.code == 1
    assert "finds no class in 81 paths of 81" in answer.err
    answer = backbones("evaluate", run, photos, "--layout", "class-folders")
    assert answer.code == 0, answer.err
    assert "data               class folders: cross 40, disc 41; train 81; measured" in answer.out


def test_data_check_and_lr_find_are_told(backbones, by_month, tmp_path) -> None:
    answer = backbones("data", "check", by_month, "--label-pattern", PATTERN)
    assert (answer.code, "(label pattern): no problems" in answer.out) == (0, True)
    chart = tmp_path / "rate.png"
    said = ("--layout", "class folders", "--steps", "10", "--out", chart)
    answer = backbones("lr-find", by_month, *TINY, *said)
    assert answer.code == 0, answer.err
    assert "data: class folders: 2023-01 8, 2023-02 8, 2023-03 8; train" in answer.err


@pytest.mark.parametrize(
    ("option", "said", "code"),
    [
        (("--layout", "class-folder"), "Did you mean class-folders", 2),
        (("--label-pattern", "("), "no regular expression", 2),
        (("--label-pattern", "x"), "has no group", 2),
        (("--label-pattern", "(cow)"), "finds no class in 24 paths of 24", 1),
    ],
)
def test_a_slip_is_one_line_before_any_work(
    backbones, by_month, tmp_path, option: tuple[str, str], said: str, code: int
) -> None:
    answer = backbones("train", by_month, *TINY, *option, "--out", tmp_path / "run")
    assert answer.code == code
    assert said in answer.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()
