"""The verbs as Python functions."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import backbones as package
from backbones.api.training import train
from backbones.errors import NotFound, WrongUse
from backbones.training.data import open_for
from backbones.training.recipe import Recipe


def finish(run) -> Path:
    for _ in run:
        pass
    return run.folder


def test_verbs_stay_functions_after_their_parts_were_imported() -> None:
    """`backbones.predict` once became the package of that name when it was imported."""
    import backbones.classifier.predictions
    import backbones.training.loop  # noqa: F401

    for verb in ("create", "show", "train", "resume", "evaluate", "predict"):
        assert callable(getattr(package, verb)), verb


def test_create_says_what_it_changed_and_keeps_the_rest(trained: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="backbones"):
        network = package.create("vgg_tiny", num_classes=5, in_channels=1, weights=trained)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "2" in said
    assert "5" in said
    old = package.read_bundle(trained / "best.safetensors").state
    new = network.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    # The first convolution, and weight and bias of the head: what has another shape, no more.
    assert len(changed) == 3
    assert all(old[name].shape != new[name].shape for name in changed)


def test_finetune_starts_from_a_run_and_takes_its_input(trained: Path, photos, tmp_path) -> None:
    run = train(photos, model="vgg_tiny", weights=trained, smoke_run=True, out=tmp_path / "run")
    assert run.recipe.name == "finetune"
    finish(run)
    ours, theirs = (
        package.read_bundle(folder / "last.safetensors") for folder in (run.folder, trained)
    )
    assert ours.spec == theirs.spec
    assert ours.recipe is not None
    assert Path(ours.recipe["weights"]) == trained


def test_limit_takes_every_class_in_proportion() -> None:
    source = open_for(Recipe(limit=40, val_fraction=0.1), "digits")
    for name in ("train", "val", "test"):
        split = source.split(name)
        assert len(split) == 40
        counts = np.bincount(split.labels, minlength=10)
        assert counts.min() >= 3
        assert counts.max() <= 5


def test_validation_images_are_never_learned_from() -> None:
    source = open_for(Recipe(val_fraction=0.2, seed=3), "digits")
    names = [{split.images.name(i) for i in range(len(split))} for split in source.splits.values()]
    assert len(set.union(*names)) == sum(map(len, names)) == 1797


def test_without_validation_images_the_last_weights_are_kept(tmp_path: Path) -> None:
    """Choosing by the test images would flatter the result on them."""
    settings = ("val_fraction=0", "evaluate_every=1epochs", "length=3epochs", "optimizer.lr=0.5")
    run = train(
        "digits", model="lenet5_tiny", settings=settings, smoke_run=False, out=tmp_path / "r"
    )
    finish(run)
    best, last = (package.read_bundle(run.folder / f"{n}.safetensors") for n in ("best", "last"))
    assert best.metrics["epoch"] == last.metrics["epoch"] == 3
    assert run.finished is not None
    assert run.finished.split == "test"


def test_chinese_class_names_go_all_the_way(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "图片"
    shutil.copytree(photos / "disc", data / "圆")
    shutil.copytree(photos / "cross", data / "十字")
    run = train(data, model="vgg_tiny", recipe="scratch", smoke_run=True, out=tmp_path / "run")
    folder = finish(run)
    image = next((data / "圆").glob("0*.jpg"))
    (answer,) = package.predict(folder, image)
    assert {guess.name for guess in answer.predictions} == {"圆", "十字"}
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert {row["name"] for row in report["per_class"]} == {"圆", "十字"}
    assert "圆" in (folder / "confusion.csv").read_text(encoding="utf-8")


def test_a_run_goes_on_where_the_data_was_moved_to(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "before")
    run = train(tmp_path / "before", model="vgg_tiny", smoke_run=True, out=tmp_path / "run")
    finish(run)
    (tmp_path / "before").rename(tmp_path / "after")
    with pytest.raises(NotFound, match="before"):
        package.resume(run.folder)
    records = list(package.resume(run.folder, data=tmp_path / "after"))
    assert "finished" in records[0].notes[0]


def test_nothing_is_left_behind_where_a_run_cannot_begin(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse):
        train("digits", model="lenet5", settings=("augment.pca_colour=0.1",), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_photo_cache_gives_the_same_weights_and_is_used_again(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    settings = ("cache=true", "length=1epochs", "batch_size=16", "augment.crop=centre")
    told: list[tuple[int, int]] = []
    states = []
    for number in range(2):
        run = train(
            photos,
            model="vgg_tiny",
            recipe="scratch",
            settings=settings,
            out=tmp_path / f"run{number}",
            progress=lambda done, total: told.append((done, total)),
        )
        finish(run)
        states.append((run.folder / "last.safetensors").read_bytes())
    assert states[0] == states[1]
    assert sum(done == total for done, total in told) == 2  # train and val, once each
