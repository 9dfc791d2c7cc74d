"""How a training is followed, begun and left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import backbones as package
from backbones.api.training import train_folds
from backbones.cli.following import Progress
from backbones.training.record import StartRecord, StepRecord


def test_a_run_that_is_never_started_leaves_no_folder_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = package.train("digits", smoke_run=True, out=out)
    assert "not started; call .run()" in repr(run)
    assert not out.exists()
    again = package.train("digits", smoke_run=True, out=out)  # nothing is in the way
    finished = again.run()
    assert finished.bundle == out / "best.safetensors"
    assert finished.evaluation is not None
    assert "finished" in repr(again)


def test_folds_that_are_never_started_leave_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "folds"
    training = train_folds("digits", folds=2, smoke_run=True, out=out)
    assert "not started; call .run()" in repr(training)
    assert not out.exists()
    assert training.run().out_of_fold.num_samples == 32
    assert "finished" in repr(training)


def test_a_search_says_that_it_is_not_started_and_runs(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "tune"
    search = package.tune("digits", trials=1, smoke_run=True, out=out)
    assert "not started; call .run()" in repr(search)
    best = search.run()
    assert best is not None
    assert best.state == "finished"


def test_a_log_has_a_line_each_so_many_steps(backbones, tmp_path: Path) -> None:
    answer = backbones(
        *("train", "digits", "--recipe", "digits", "--set", "length=2epochs"),
        *("--log-every", "20", "--out", tmp_path / "run"),
    )
    assert answer.code == 0
    lines = re.findall(
        r"^epoch (\d)/2, step (\d+) of 82: loss \d+\.\d{4}, accuracy \d\.\d{4}, [\d,]+ images/s,"
        r" [\d.]+ \w+ left$",
        answer.err,
        flags=re.MULTILINE,
    )
    assert lines == [("1", "20"), ("1", "40"), ("2", "60"), ("2", "80")]
    assert len(re.findall(r"^epoch \d/2: training loss .* images/s", answer.err, re.MULTILINE)) == 2


def test_a_quick_run_logs_its_epochs_alone(backbones, tmp_path: Path) -> None:
    answer = backbones("train", "digits", "--smoke", "--out", tmp_path / "run")
    assert ", step " not in answer.err


def test_the_means_of_an_epoch_are_its_own() -> None:
    far = Progress()
    far.begin(StartRecord(0, 4, 2, 8))

    def step(number: int, loss: float | None, examples: int = 4) -> StepRecord:
        return StepRecord(number, (number + 1) // 2, loss, examples, examples, 0.1, None, (), 0.5)

    far.add(step(1, 2.0))
    far.add(step(2, 1.0))
    assert far.figures().startswith("loss 1.5000, accuracy 1.0000, 8 images/s")
    far.add(step(3, 0.25))
    far.add(step(4, None, examples=0))
    assert far.place() == "epoch 2/2"
    assert far.figures().startswith("loss 0.2500")


class Terminal:
    """A stream that says it is a terminal, and keeps what is written."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_predict_leaves_no_bar_in_the_line_of_the_first_answer(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from backbones.cli import console
    from backbones.cli.options import AnswerOptions, QuietOptions
    from backbones.cli.parts import PartsOptions
    from backbones.cli.predict import predict
    from backbones.cli.submission import SubmissionOptions

    both = Terminal()  # standard output and error are one screen
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    console.err.cache_clear()
    try:
        one = str(photos / "disc" / "00.jpg")
        predict(
            *("lenet5.digits", [one]),
            top=1,
            batch_size=1,
            options=SubmissionOptions(),
            many=PartsOptions(),
            compute=AnswerOptions(device="cpu"),
            output=QuietOptions(),
        )
    finally:
        console.err.cache_clear()
    assert "predicting" not in both.text
    assert "00.jpg" in both.text.splitlines()[0] or "00.jpg" in both.text
