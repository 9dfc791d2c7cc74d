"""`backbones tune`, as a person types it."""

from __future__ import annotations

import json
import sys

import pytest

from backbones.training.settings import load_recipe


def test_tune_ends_with_a_table_and_the_next_command(backbones, tmp_path) -> None:
    out = tmp_path / "tune"
    search = ("--search", "optimizer.lr=1e-4..1e-2:log", "--search", "augment.flip=0,0.5")
    command = ("tune", "digits", *search, "--trials", "3", "--smoke")
    answer = backbones(*command, "--out", out)
    assert answer.code == 0, answer.err
    header, *rows = answer.out.splitlines()
    assert header.split("\t") == [
        "trial",
        "error_%",
        "loss",
        "epoch",
        "optimizer.lr",
        "augment.flip",
    ]
    assert sorted(row.split("\t")[0] for row in rows) == ["0", "1", "2"]
    errors = [float(row.split("\t")[1]) for row in rows]
    assert errors == sorted(errors)
    (advice,) = (line for line in answer.err.splitlines() if line.startswith("next: "))
    next_command = advice.removeprefix("next: backbones ").split()
    trained = backbones(*next_command, "--smoke", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert load_recipe(tmp_path / "run" / "recipe.json").name == "digits_tuned"

    again = backbones(*command, "--out", out)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert f"backbones tune --resume {out}" in again.err
    more = backbones(*command[:-2], "4", "--smoke", "--resume", out, "--json")
    assert more.code == 0, more.err
    found = json.loads(more.out)
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert found["ending"] == "all 4 trials are done"
    assert found["best_recipe"] == str(out / "best.toml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tune"], "no data given"),
        (["tune", "digits", "--time", "soon"], "expected such as 90s"),
        (["tune", "digits", "--trials", "0"], "expected 1 or more"),
        (["tune", "digits", "--search", "optimizer.lrr=1..2"], "Did you mean optimizer.lr"),
        (["tune", "digits", "--resume", "nowhere"], "holds no search"),
        (["tune", "--resume", "a", "--out", "b"], "omit --out"),
        (["tune", "digits", "--monitor", "los"], "Did you mean loss"),
    ],
)
def test_wrong_use_is_one_line(backbones, tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    answer = backbones(*arguments)
    assert (answer.code, answer.err.count("\n"), answer.out) == (2, 1, "")
    assert said in answer.err
    assert not list(tmp_path.iterdir())


def test_without_optuna_the_install_line_is_told(backbones, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    for command in (("tune", "digits"), ("tune", "--resume", "runs/x")):
        answer = backbones(*command)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "pip install 'classic-backbones[tune]'" in answer.err
