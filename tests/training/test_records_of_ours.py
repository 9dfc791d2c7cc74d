"""Our own files with strange contents: one line that names the file, and never a wrong figure."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from backbones.api.training import resume, resume_folds, train_folds
from backbones.api.training import train as begin_training
from backbones.errors import BackbonesError, BadData, RecipeError
from backbones.records import read_record, write_record
from backbones.training.folder import RunFolder
from backbones.training.folds import FoldsFolder
from backbones.training.recipe import Recipe
from backbones.training.settings import apply_settings, load_recipe
from backbones.workflows.tuning.book import Evaluated, TrialBook, TrialRow

STRANGE = {
    "nothing": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\xff",
    "null": b"null",
    "a list": b"[]",
    "an empty table": b"{}",
    "a number": b"7",
    "too deep": b"[" * 60_000,
    "too deep in TOML": b"a = " + b"[" * 5000 + b"]" * 5000,
    "a number of 5000 digits": b'{"format": ' + b"9" * 5000 + b"}",
}


def one_line(caught: pytest.ExceptionInfo[BaseException], name: str) -> None:
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.fixture(scope="module")
def smoked(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    list(begin_training("digits", model="lenet5_tiny", smoke_run=True, out=out))
    return out


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "folds"
    training = train_folds(
        "digits", folds=2, settings=("model=lenet5_tiny",), smoke_run=True, out=out
    )
    runs = iter(training)
    list(next(runs))
    next(runs)  # the first fold is noted now
    runs.close()
    return out


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("name", ["run.json", "recipe.json"])
def test_a_run_with_a_strange_file_is_one_line(smoked, tmp_path, name, content):
    run = tmp_path / "run"
    shutil.copytree(smoked, run)
    (run / name).write_bytes(content)
    with pytest.raises(BackbonesError) as caught:
        resume(run)
    one_line(caught, name)


NOTHING_BUT_DEFAULTS = {("mine.toml", b""), ("mine.json", b"{}")}
STRANGE_RECIPES = [
    pytest.param(name, content, id=f"{name}-{kind}")
    for name in ("mine.json", "mine.toml")
    for kind, content in STRANGE.items()
    if (name, content) not in NOTHING_BUT_DEFAULTS
]


@pytest.mark.parametrize(("name", "content"), STRANGE_RECIPES)
def test_a_strange_recipe_file_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / name)
    one_line(caught, name)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 60_000, "nan", "1e999", "-Infinity"])
def test_a_strange_value_of_a_setting_is_one_line(value):
    for field in ("batch_size", "optimizer.lr"):
        with pytest.raises(RecipeError, match=re.escape(field)) as caught:
            apply_settings(Recipe(), [f"{field}={value}"])
        one_line(caught, field)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("field", "value"), [("where", 5), ("data", None), ("threads", "many"), ("format", 2)]
)
def test_a_field_of_another_kind_is_named(smoked, tmp_path, field, value):
    run = tmp_path / "run"
    shutil.copytree(smoked, run)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, field: value}))
    with pytest.raises(BadData, match=field) as caught:
        RunFolder.open(run)
    one_line(caught, "run.json")


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE.keys())
def test_folds_and_trials_with_strange_contents_are_one_line(tmp_path, content):
    for name in ("folds.json", "trials.json"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData) as caught:
        FoldsFolder.open(tmp_path)
    one_line(caught, "folds.json")
    with pytest.raises(BadData) as caught:
        TrialBook.open(tmp_path, "loss")
    one_line(caught, "trials.json")


def test_a_figure_changed_in_a_book_of_trials_is_noticed(tmp_path):
    rows = [
        TrialRow(0, {"batch_size": 8, "optimizer.lr": 0.5, "model": "a"}, "finished"),
        TrialRow(1, {}, "diverged", (Evaluated(1, 25.0, float("nan")),), 1.5, 2, "no"),
    ]
    book = TrialBook(tmp_path, "loss")
    for row in rows:
        book.put(row)
    again = TrialBook.open(tmp_path, "loss").rows
    assert again[0] == rows[0]
    assert repr(again[1]) == repr(rows[1])
    text = book.path.read_text()
    book.path.write_text(text.replace("25.0", "15.0"))
    with pytest.raises(BadData, match="not as it was written"):
        TrialBook.open(tmp_path, "loss")


def test_every_flipped_bit_of_a_record_is_noticed(tmp_path):
    path = tmp_path / "a.json"
    write_record(path, {"name": "caf\udce9", "share": 0.1, "many": [1, 2], "none": float("inf")})
    good = path.read_bytes()
    assert read_record(path, dict) == {
        "name": "caf\udce9",
        "share": 0.1,
        "many": [1, 2],
        "none": None,
    }
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        try:
            read_record(path, dict)
        except BadData:
            continue
        assert not bytes([good[place]]).strip(), place  # white space between values


def test_a_changed_figure_in_metrics_is_noticed_by_a_resume(recipe, train, tmp_path):
    row = recipe("checkpoint_every=2steps")
    train(row, tmp_path, stop_when=lambda record: getattr(record, "step", 0) == 5)
    path = tmp_path / "metrics.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"num_examples": 8', b'"num_examples": 9', 1))
    with pytest.raises(BadData, match=r"metrics\.jsonl is not as it was written"):
        train(row, tmp_path, resume=True)
    path.write_bytes(data)
    train(row, tmp_path, resume=True)


def test_an_answer_changed_between_two_folds_is_noticed(folds, tmp_path):
    again = tmp_path / "folds"
    shutil.copytree(folds, again)
    answers = again / "fold-1" / "out_of_fold.csv"
    data = bytearray(answers.read_bytes())
    data[-2] ^= 1
    answers.write_bytes(data)
    runs = iter(resume_folds(again))
    list(next(runs))
    with pytest.raises(BadData, match=r"out_of_fold\.csv is not as it was written"):
        next(runs)


def test_a_recipe_edited_between_two_folds_is_refused(folds, tmp_path):
    again = tmp_path / "folds"
    shutil.copytree(folds, again)
    values = json.loads((again / "recipe.json").read_text())
    (again / "recipe.json").write_text(json.dumps({**values, "batch_size": 2}))
    with pytest.raises(BackbonesError, match=r"recipe\.json .* batch_size 4 -> 2"):
        resume_folds(again)
