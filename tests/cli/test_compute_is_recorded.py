"""Where and how a training computes: named in one way, kept in its files, restored on resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones import compare, find_learning_rate, resume, train, tune
from backbones import open as open_classifier
from backbones.errors import RecipeError, WrongUse

TINY = {"model": "lenet5_tiny", "settings": ["limit=16"]}


def in_files(folder: Path) -> tuple[str, str, int]:
    """Device, precision and threads as a run's files have them."""
    recipe = json.loads((folder / "recipe.json").read_text())
    facts = json.loads((folder / "run.json").read_text())
    assert recipe["threads"] in (None, facts["threads"])
    return recipe["device"], recipe["precision"], facts["threads"]


def test_a_run_computes_as_it_was_told_and_its_resume_too(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    threads = before + 1
    run = train(
        "digits",
        out=tmp_path / "run",
        smoke_run=True,
        device="cpu",
        precision="bf16",
        threads=threads,
        **TINY,
    )
    records = iter(run)
    next(records)
    assert torch.get_num_threads() == threads
    for _ in records:
        pass
    assert torch.get_num_threads() == before
    assert in_files(tmp_path / "run") == ("cpu", "bf16", threads)
    again = resume(tmp_path / "run")
    assert again.compute == run.compute
    assert not [
        note for record in again for note in getattr(record, "notes", ()) if "threads" in note
    ]


def test_left_out_it_is_as_the_recipe_and_pytorch_have_it(tmp_path: Path) -> None:
    settings = [*TINY["settings"], "precision=bf16"]
    run = train("digits", model="lenet5_tiny", settings=settings, out=tmp_path / "run")
    assert (run.compute.precision, run.compute.threads) == ("bf16", torch.get_num_threads())


def test_what_is_not_there_is_told_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="device cuda:7 is not available here"):
        train("digits", out=tmp_path / "run", device="cuda:7", **TINY)
    with pytest.raises(RecipeError, match="threads is 0"):
        train("digits", out=tmp_path / "run", threads=0, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_the_other_verbs_record_it(tmp_path: Path, backbones) -> None:
    found = find_learning_rate("digits", steps=10, device="cpu", threads=1, **TINY)
    recorded = found.compute.to_json()
    assert recorded["engine_version"] == torch.__version__
    wanted = {"device": "cpu", "precision": "fp32", "threads": 1, "engine": "torch"}
    assert wanted.items() <= recorded.items()
    rows = compare(["lenet5_tiny"], device="cpu", precision="bf16", threads=1).to_json()
    assert (rows["device"], rows["precision"], rows["threads"]) == ("cpu", "bf16", 1)
    search = tune("digits", trials=1, smoke_run=True, threads=1, out=tmp_path / "tune", **TINY)
    search.run()
    assert search.compute.threads == 1
    assert in_files(tmp_path / "tune" / "trial-000")[2] == 1
    answer = backbones(
        "lr-find",
        "digits",
        "--set",
        "limit=200",
        "--threads",
        1,
        "--json",
        "-o",
        tmp_path / "a.svg",
    )
    assert json.loads(answer.out)["threads"] == 1


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_an_explanation_computes_as_it_was_told_and_says_so(method: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    found = {}
    for precision in ("exact", "bf16"):
        reader = open_classifier("lenet5.digits", device="cpu", precision=precision, threads=1)
        (found[precision],) = reader.explain(pixels, method=method)
    assert found["exact"].to_json()["precision"] == "fp32"
    rounded = found["bf16"].to_json()
    assert (rounded["precision"], rounded["engine"], rounded["threads"]) == ("bf16", "torch", 1)
    exact, bf16 = (each.predictions[0].probability for each in found.values())
    assert exact != bf16
    assert exact == pytest.approx(bf16, abs=0.05)
