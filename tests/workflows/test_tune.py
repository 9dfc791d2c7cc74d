"""Whole searches on the digits, with trainings of a second."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import backbones
from backbones import resume_tuning, tune
from backbones.errors import Busy, Interrupted, NotFound, RecipeError, WrongUse
from backbones.training.as_toml import recipe_toml
from backbones.training.lock import FolderLock
from backbones.training.settings import load_recipe, recipe_names
from backbones.workflows.tuning.book import TrialBook, TrialRow
from backbones.workflows.tuning.sampler import LiveTrial

SEARCH = ("optimizer.lr=1e-6..1e-2:log", "label_smoothing=0,0.1")
SETTINGS = ("limit=160", "batch_size=32", "length=5epochs", "evaluate_every=1epochs", "ema=none")
TRIALS = 7


def begin(out: Path, **changed):
    given = {"settings": SETTINGS, "search": SEARCH, "trials": TRIALS, "out": out, "seed": 1}
    return tune("digits", **{**given, **changed})


def run(work) -> None:
    for _ in work:
        pass


def rows_of(search) -> list[TrialRow]:
    """The rows without what depends on the clock, and on having been broken off."""
    return [replace(row, seconds=0.0, restarts=0) for row in search.book.rows]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, _one_thread):
    """A search that was never stopped."""
    search = begin(tmp_path_factory.mktemp("tune") / "whole")
    ended = [each for each in search if isinstance(each, TrialRow)]
    assert ended == search.book.rows
    return search


def test_a_search_leaves_all_its_files(whole) -> None:
    names = {path.name for path in whole.folder.iterdir()}
    trials = {f"trial-{number:03d}" for number in range(TRIALS)}
    files = {"study.json", "start.safetensors", "trials.json", "trials.csv", "best.toml"}
    assert names == trials | files | {"history.png", "parameters.png", "writer.lock"}
    with (whole.folder / "trials.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    best = whole.best()
    assert float(table[best.number]["top1_error_percent"]) == min(
        float(row["top1_error_percent"]) for row in table if row["state"] == "finished"
    )
    assert [float(row["optimizer.lr"]) for row in table] == [
        row.parameters["optimizer.lr"] for row in whole.book.rows
    ]


def test_the_first_trial_is_the_recipe_as_it_stands(whole) -> None:
    trial = load_recipe(whole.folder / "trial-000" / "recipe.json")
    assert trial.optimizer.lr == load_recipe("digits").optimizer.lr
    assert trial.label_smoothing == 0


def test_each_trial_is_a_run_and_a_pruned_one_is_small(whole) -> None:
    pruned = [row for row in whole.book.rows if row.state == "pruned"]
    assert pruned
    assert len(pruned) < TRIALS - 1
    for row in whole.book.rows:
        folder = whole.folder / f"trial-{row.number:03d}"
        recipe = load_recipe(folder / "recipe.json")
        assert recipe.optimizer.lr == row.parameters["optimizer.lr"]
        assert recipe.label_smoothing == float(row.parameters["label_smoothing"])
        kept = list(folder.glob("*.safetensors"))
        if row.state == "pruned":
            assert not kept
            assert len(row.measured) < 5
        else:
            assert len(row.measured) == 5
            metrics = backbones.read_bundle(folder / "best.safetensors").metrics
            assert metrics["top1_error_percent"] == row.best(whole.monitor).top1_error_percent


def test_trials_never_see_the_test_images(whole) -> None:
    metrics = backbones.read_bundle(whole.folder / "trial-000" / "best.safetensors").metrics
    source = whole.source
    assert metrics["num_samples"] == len(source.split("val")) != len(source.split("test"))
    assert not list(whole.folder.glob("trial-*/report*"))


def test_the_best_recipe_trains_to_the_same_weights(whole, tmp_path) -> None:
    recipe = load_recipe(whole.folder / "best.toml")
    best = whole.best()
    assert recipe.optimizer.lr == best.parameters["optimizer.lr"]
    assert recipe.name == "digits_tuned"
    run(backbones.train("digits", recipe=whole.folder / "best.toml", out=tmp_path / "again"))
    again = backbones.read_bundle(tmp_path / "again" / "best.safetensors").build().state_dict()
    trial = whole.folder / f"trial-{best.number:03d}" / "best.safetensors"
    for name, value in backbones.read_bundle(trial).build().state_dict().items():
        assert torch.equal(value, again[name]), name


def test_the_images_are_drawn_twice_alike(whole, tmp_path) -> None:
    from backbones.workflows.tuning.results import write_results

    for name in ("history.png", "parameters.png", "best.toml"):
        (tmp_path / name).write_bytes((whole.folder / name).read_bytes())
    title = f"{whole.recipe.model} on {whole.source.where}, recipe {whole.recipe.name}"
    write_results(whole.folder, whole.plan, whole.book, whole.tuned(whole.best()), title)
    for name in ("history.png", "parameters.png", "best.toml"):
        assert (tmp_path / name).read_bytes() == (whole.folder / name).read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
from test_tune import begin
for each in begin(Path(sys.argv[1])):
    if getattr(each, "share", 0) > 0.7 and each.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.our_rounding
def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(whole, tmp_path) -> None:
    folder = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    states = [row["state"] for row in json.loads((folder / "trials.json").read_text())["trials"]]
    assert states == ["finished", "finished", "running"]
    search = resume_tuning(folder)
    first = next(each for each in search if not isinstance(each, TrialRow))
    assert (first.number, first.epoch) == (2, 4)  # from its checkpoint, not from the start
    run(search)
    assert rows_of(search) == rows_of(whole)
    assert [row.restarts > 0 for row in search.book.rows] == [False, False, True] + [False] * 4
    for name in ("best.toml", "history.png", "parameters.png"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
    for file in ("best.safetensors", "metrics.jsonl"):
        ours, theirs = (path / "trial-002" / file for path in (folder, whole.folder))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_search_has_one_writer_and_a_trial_that_is_held_has_not_failed(tmp_path) -> None:
    folder = tmp_path / "held"
    search = begin(folder, trials=1)
    folder.mkdir()
    with FolderLock(folder), pytest.raises(Busy, match="held is being written"):
        next(iter(search))
    (folder / "trial-000").mkdir()
    with FolderLock(folder / "trial-000"), pytest.raises(Busy, match="trial-000 is being written"):
        run(search)
    with FolderLock(folder), pytest.raises(Busy, match="held is being written"):
        resume_tuning(folder)
    assert search.states() == {"running": 1}
    run(resume_tuning(folder))
    assert TrialBook.open(folder, "loss").rows[0].state == "finished"


def test_more_trials_can_be_added(whole, tmp_path) -> None:
    folder = tmp_path / "short"
    run(begin(folder, trials=2))
    search = resume_tuning(folder, trials=4, asked={"seed": 1, "search": list(SEARCH)})
    run(search)
    assert rows_of(search) == rows_of(whole)[:4]
    assert search.ending == "all 4 trials are done"
    with pytest.raises(WrongUse, match="began with seed 1, not 2"):
        resume_tuning(folder, asked={"seed": 2})
    with pytest.raises(WrongUse, match=r"is taken.*--resume"):
        begin(folder)
    with pytest.raises(WrongUse, match="new one"):
        resume_tuning(folder, asked={"settings": ["limit=5"]})


def test_a_search_that_never_starts_leaves_no_folder(tmp_path) -> None:
    search = begin(tmp_path / "tune")
    assert "not started" in repr(search)
    assert not (tmp_path / "tune").exists()


def test_no_trial_begins_when_the_time_is_up(tmp_path) -> None:
    search = begin(tmp_path / "t", time_s=0.01)
    assert len([each for each in search if isinstance(each, TrialRow)]) == 1
    assert search.ending == "the time is up after 1 of 7 trials"
    assert search.files.best.is_file()


def test_a_trial_that_diverges_is_written_down_and_the_search_goes_on(tmp_path) -> None:
    search = begin(
        tmp_path / "t",
        search=["optimizer.lr=0.001,1e30"],
        settings=[*SETTINGS, "optimizer.kind=sgd", "length=2epochs"],
        trials=5,
    )
    run(search)
    assert sorted(row.state for row in search.book.rows) == ["diverged", "finished"]
    assert search.ending == "all 2 combinations were tried"
    assert search.best().parameters == {"optimizer.lr": "0.001"}
    (row,) = (row for row in search.book.rows if row.state == "diverged")
    assert "expected a finite number" in row.note


def test_a_search_in_which_nothing_works_stops(tmp_path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abcde"]
    for file in files:
        file.write_bytes(b"no weights")
    search = begin(tmp_path / "t", search=[f"weights={','.join(map(str, files))}"])
    with pytest.raises(WrongUse, match="all 3 trials failed; the last one: "):
        run(search)


def test_data_without_validation_images_is_refused(tmp_path) -> None:
    with pytest.raises(WrongUse, match=r"--set val_fraction=0\.1"):
        begin(tmp_path / "t", settings=["val_fraction=0"])
    assert not (tmp_path / "t").exists()


def test_wrong_searches_are_refused_before_anything_is_written(tmp_path) -> None:
    out = tmp_path / "t"
    for search, error, said in (
        (["optimizr.lr=0.1..0.2"], RecipeError, "Did you mean optimizer.lr"),
        (["label_smoothing=0..2"], RecipeError, "--search: label_smoothing is 2"),
        (["model=lenet5,lenet6"], NotFound, "lenet5"),
        (["seed=5..9"], WrongUse, "seed cannot be searched"),
        (["batch_size=8,16"], WrongUse, "both set and searched"),
    ):
        with pytest.raises(error, match=said):
            begin(out, search=search)
    with pytest.raises(WrongUse, match="monitor is 'accuracy'"):
        begin(out, monitor="accuracy")
    with pytest.raises(NotFound, match=r"no study\.json"):
        resume_tuning(out)
    assert not out.exists()


def test_the_networks_can_be_searched_too(tmp_path) -> None:
    search = begin(
        tmp_path / "t", search=["model=lenet5,nin_tiny"], settings=[], smoke_run=True, trials=9
    )
    run(search)
    assert {load_recipe(path).model for path in search.folder.glob("*/recipe.json")} == {
        "lenet5",
        "nin_tiny",
    }
    assert all(row.state == "finished" for row in search.book.rows), search.book.rows


def stop_in(number: int, search) -> None:
    """Press Ctrl-C in the middle of a trial."""
    for each in search:
        if each.number == number and getattr(each, "share", 0) > 0.5:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_the_trial_and_says_how_to_go_on(whole, tmp_path) -> None:
    folder = tmp_path / "stopped"
    said = r"trial 1 was stopped by Ctrl-C.*tune --resume"
    with pytest.raises(Interrupted, match=said) as caught:
        stop_in(1, begin(folder, trials=3))
    assert caught.value.exit_code == 130
    search = resume_tuning(folder)
    run(search)
    assert rows_of(search) == rows_of(whole)[:3]


def test_ctrl_c_while_a_hopeless_trial_is_judged_is_heard(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "stopped"
    judged = []

    def hopeless(trial, measured) -> bool:
        judged.append(measured)
        if len(judged) == 2:
            signal.raise_signal(signal.SIGINT)
        return len(judged) >= 2

    monkeypatch.setattr(LiveTrial, "hopeless", hopeless)
    with pytest.raises(Interrupted):
        run(begin(folder, trials=1))
    search = resume_tuning(folder)
    run(search)
    (row,) = search.book.rows
    assert (row.state, len(row.measured), row.restarts) == ("pruned", 2, 1)
    assert search.files is None
    assert (folder / "trials.csv").is_file()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_the_same_after_toml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    if name == "finetune":
        odd = {"balanced name": 1.0, 'a "b"\\ü\x7f\n': 1e-5}
        recipe = recipe.model_copy(update={"class_weights": odd, "source": 'x\x7f"'})
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_toml(recipe, ["two\nlines"]), encoding="utf-8")
    assert load_recipe(path) == recipe
