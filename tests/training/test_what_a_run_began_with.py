"""A run goes on with what it began with, or not at all; a mistake takes no folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones.api.training import resume, train_folds
from backbones.api.training import train as begin_training
from backbones.errors import BadWeights, Diverged, NotFound, RecipeError, TrainingStopped, WrongUse
from backbones.models import build
from backbones.spec import InputSpec
from backbones.training import images
from backbones.training.record import CheckpointRecord, StepRecord
from backbones.weights.bundle import bundle_of, write_bundle
from backbones.workflows.run import TrainingRun

SETTINGS = (
    *("input.size=16", "input.resize=16", "batch_size=4", "workers=0", "length=4epochs"),
    *("val_fraction=0.25", "checkpoint_every=2steps", "device=cpu", "precision=fp32"),
)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of eight images, all of one size in bytes."""
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = draw.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.bmp")
    return tmp_path / "photos"


def begin(
    photos: Path, out: Path, *settings: str, how: Any = begin_training, **more: object
) -> Any:
    return how(
        photos,
        model="lenet5_tiny",
        recipe="scratch",
        settings=[*SETTINGS, "input.channels=3", *settings],
        out=out,
        **more,
    )


def break_off(run: TrainingRun, kind: type = CheckpointRecord) -> Path:
    for record in run:
        if isinstance(record, kind):
            break
    return run.folder


def one_line(caught: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_replaced_between_kill_and_resume_are_named(photos, tmp_path):
    """Even with the sizes and times of the old ones; the run ended in other weights."""
    run = break_off(begin(photos, tmp_path / "run"))
    for one, other in zip(
        sorted((photos / "cat").iterdir()), sorted((photos / "dog").iterdir()), strict=True
    ):
        before, content = one.stat(), one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
        os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WrongUse, match=r"other contents: cat/\d\.bmp, .* and \d+ more") as caught:
        resume(run)
    one_line(caught)


@pytest.mark.parametrize("part", ["train", "val"])
def test_one_image_that_changed_is_named(photos, tmp_path, part):
    """Those that choose the best weights count as well as those that are learned from."""
    begun = begin(photos, tmp_path / "run")
    name = begun.source.splits[part].images.name(1)
    run = break_off(begun)
    data = bytearray((photos / name).read_bytes())
    data[-1] ^= 1
    (photos / name).write_bytes(data)
    with pytest.raises(WrongUse, match=f"1 of .* {part} images have other contents: {name}"):
        resume(run)


def test_a_copy_of_the_data_is_as_good_as_the_data(photos, tmp_path):
    run = break_off(begin(photos, tmp_path / "run"))
    shutil.copytree(photos, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(photos)
    for file in (tmp_path / "copy").rglob("*.bmp"):
        os.utime(file, (1, 1))
    assert break_off(resume(run, data=tmp_path / "copy")) == run


def test_data_that_was_moved_is_asked_for(photos, tmp_path):
    run = break_off(begin(photos, tmp_path / "run"))
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match=r"not there any more; say where .* train DATA --resume"):
        resume(run)
    assert break_off(resume(run, data=tmp_path / "elsewhere")) == run


def test_of_more_than_can_be_read_the_times_count(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "READ_AT_MOST", 1000)
    run = break_off(begin(photos, tmp_path / "run"))
    break_off(resume(run))
    os.utime(photos / "cat" / "0.bmp", (1, 1))
    with pytest.raises(WrongUse, match=r"sizes or times of change: cat/0\.bmp.* keep its times"):
        resume(run)


def test_a_recipe_edited_between_kill_and_resume_is_refused(photos, tmp_path):
    run = break_off(begin(photos, tmp_path / "run"))
    file = run / "recipe.json"
    good = file.read_text()
    values = json.loads(good)
    file.write_text(json.dumps({**values, "optimizer": {**values["optimizer"], "lr": 0.5}}))
    with pytest.raises(WrongUse, match=r"recipe\.json .*optimizer\.lr .* -> 0\.5; put that back"):
        resume(run)
    file.write_text(json.dumps({**values, "workers": 1, "checkpoint_every": "1steps"}))
    break_off(resume(run))  # these have no consequence


def test_a_checkpoint_of_another_recipe_is_refused(photos, tmp_path):
    run = break_off(begin(photos, tmp_path / "run"))
    other = break_off(begin(photos, tmp_path / "other", "optimizer.weight_decay=0.25"))
    shutil.copy(other / "checkpoint.safetensors", run)
    with pytest.raises(WrongUse, match=r"optimizer\.weight_decay 0\.25 -> "):
        break_off(resume(run))


def test_first_weights_that_changed_before_the_first_checkpoint_are_noticed(photos, tmp_path):
    def save(seed: int) -> None:
        network = build("lenet5_tiny", num_classes=2, in_channels=3, seed=seed)
        spec = InputSpec(16, 16)
        write_bundle(
            tmp_path / "a.safetensors", bundle_of(network, classes=("cat", "dog"), spec=spec)
        )

    save(1)
    begun = begin(photos, tmp_path / "run", weights=tmp_path / "a.safetensors")
    run = break_off(begun, StepRecord)
    resume(run)
    save(2)
    with pytest.raises(WrongUse, match="the first weights are not those"):
        resume(run)


def test_a_damaged_start_is_one_line_and_no_other_run_of_a_resume(photos, tmp_path):
    run = break_off(begin(photos, tmp_path / "run"))
    data = bytearray((run / "start.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "start.safetensors").write_bytes(data)
    with pytest.raises(BadWeights, match=r"start\.safetensors, by which a resume knows") as caught:
        resume(run)
    one_line(caught)


def test_a_mistake_does_not_take_the_folder(photos, tmp_path):
    out = tmp_path / "run"
    for mistake in (
        "freeze=nolayer",
        "freeze=all",
        'parts=[{"match": "no", "lr_scale": 1}]',
        'class_weights={"bird": 2}',
        "input.size=20",
        "optimizer.lr=inf",
    ):
        with pytest.raises(RecipeError):
            begin(photos, out, mistake)
        assert not out.exists()
    assert break_off(begin(photos, out)) == out


def test_a_folder_without_a_checkpoint_is_used_again(photos, tmp_path):
    out = tmp_path / "run"
    break_off(begin(photos, out), StepRecord)
    again = iter(begin(photos, out, "seed=3"))
    assert "without a checkpoint" in next(again).notes[0]
    lines = (out / "metrics.jsonl").read_text()
    assert not lines
    list(again)
    with pytest.raises(WrongUse, match="holds a run already"):
        begin(photos, out)


def test_files_of_others_in_a_folder_are_never_replaced(photos, tmp_path):
    out = tmp_path / "run"
    break_off(begin(photos, out), StepRecord)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(WrongUse, match=r"beside it notes\.txt; move that"):
        begin(photos, out)


def test_a_folder_with_somebodys_recipe_is_not_written_into(photos, tmp_path):
    """`--recipe mine/recipe.json --out mine` replaced the recipe by the resolved one."""
    out = tmp_path / "mine"
    out.mkdir()
    for name in ("recipe.json", "best.safetensors"):
        (out / name).write_text("mine")
        with pytest.raises(WrongUse, match=f"a {re.escape(name)} that a run would overwrite"):
            begin(photos, out)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    begin(photos, out)


def test_too_large_a_rate_takes_no_folder(photos, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Diverged) as caught:
        list(begin(photos, out, "optimizer.lr=1e30"))
    one_line(caught)
    assert break_off(begin(photos, out)) == out


def test_a_run_that_diverged_after_its_last_step_is_told_so(photos, tmp_path):
    """The error named a test image and spoke of a damaged checkpoint."""
    ways = ("optimizer.lr=1e9", "length=2steps", "evaluate_every=2steps")
    with pytest.raises(Diverged, match=r"diverged; begin anew .* lower optimizer\.lr") as caught:
        begin(photos, tmp_path / "run", *ways).run()
    one_line(caught)


@pytest.mark.parametrize("when", ["later", "after the last step"])
def test_a_run_that_diverged_is_set_aside_by_the_corrected_command(photos, tmp_path, when):
    """Its checkpoint had kept the folder from another --set optimizer.lr."""
    out = tmp_path / "run"
    steps = "length=2steps" if when == "after the last step" else "length=9steps"
    ways = ("evaluate_every=2steps", "checkpoint_every=1steps", steps)
    for number in (1, 2):
        with pytest.raises(Diverged) as caught:
            begin(photos, out, *ways, "optimizer.lr=1e9").run()
        kept = (out / "checkpoint.safetensors").read_bytes()
        assert (out / "diverged.txt").read_text() == f"{caught.value}\n"
        with pytest.raises(Diverged):
            resume(out).run()  # which is still possible
        assert (out / "diverged.txt").exists()
        assert len(list(out.glob("diverged-*"))) == number - 1
    records = list(begin(photos, out, *ways))
    aside = out / "diverged-2"
    assert records[0].notes == (f"the folder held a run that diverged: moved to {aside}",)
    assert (aside / "checkpoint.safetensors").read_bytes() == kept
    assert (aside / "recipe.json").read_bytes() != (out / "recipe.json").read_bytes()
    assert (aside / "metrics.jsonl").exists()
    assert not (out / "diverged.txt").exists()
    with pytest.raises(WrongUse, match="holds a run already"):
        list(begin(photos, out, *ways))


def test_folds_of_which_one_diverged_are_set_aside_as_well(photos, tmp_path):
    out, ways = tmp_path / "folds", ("folds=2", "length=2steps", "checkpoint_every=1steps")
    with pytest.raises(Diverged):
        begin(photos, out, *ways, "optimizer.lr=1e9", how=train_folds).run()
    begin(photos, out, *ways, how=train_folds).run()
    assert {"fold-1", "folds.json"} <= {each.name for each in (out / "diverged-1").iterdir()}
    assert {"fold-1", "fold-2", "folds.json"} <= {each.name for each in out.iterdir()}


def test_a_run_that_was_replaced_does_not_write(photos, tmp_path):
    first, second, late = (begin(photos, tmp_path / "run", f"seed={seed}") for seed in range(3))
    first._begun()  # its folder is made, and no step taken
    list(second)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(WrongUse, match="another run began in"):
        list(first)
    with pytest.raises(WrongUse, match="holds a run already"):
        list(late)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="an open folder cannot be moved elsewhere")
@pytest.mark.parametrize("how", ["moved", "removed", "replaced", "unlocked"])
def test_a_folder_moved_or_removed_under_a_run_ends_it(photos, tmp_path, how):
    """It trained to the end, and made the folder anew with half of its files."""
    out = tmp_path / "run"
    records = iter(begin(photos, out))
    while not isinstance(next(records), CheckpointRecord):
        pass
    if how == "unlocked":
        (out / "writer.lock").unlink()
    elif how == "removed":
        shutil.rmtree(out)
    else:
        out.rename(tmp_path / "elsewhere")
    if how == "replaced":
        other = iter(begin(photos, out))
        next(other)
    with pytest.raises(TrainingStopped, match="was moved or removed") as caught:
        list(records)
    one_line(caught)
    if how == "replaced":
        list(other)
        assert (out / "evaluation.json").exists()
    elif how != "unlocked":
        assert not out.exists()
    if how == "moved":
        assert list(resume(tmp_path / "elsewhere"))
