"""A figure from images that chose the weights says so, everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backbones as package
from backbones.training.data import open_for
from backbones.training.recipe import Recipe

FLATTERED = "chose the weights"


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    """Two classes of `count` noisy images each, one class lighter."""
    numbers = np.random.default_rng(seed)
    for place, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = numbers.integers(120 * place, 120 * place + 100, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}{number:02d}.png")
    return folder


def train(data: Path, out: Path, *settings: str) -> package.workflows.run.Finished:
    return package.train(
        data,
        model="vgg_tiny",
        recipe="scratch",
        settings=["length=2epochs", "evaluate_every=1epochs", "input.size=32", *settings],
        out=out,
    ).run()


def test_one_folder_is_dealt_into_three_parts_and_measured_on_the_third(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", 20)
    source = open_for(Recipe(), data)
    assert {name: len(split) for name, split in source.splits.items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    names = [split.images.name(i) for split in source.splits.values() for i in range(len(split))]
    assert len(set(names)) == len(names) == 40
    assert all(
        np.bincount(split.labels).tolist() == [len(split) // 2] * 2
        for split in source.splits.values()
    )
    assert "4 more as test" in " ".join(source.notes)
    finished = train(data, tmp_path / "run")
    assert finished.split == "test"
    assert finished.evaluation.report.num_samples == 4
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert written["selected_on_this_split"] is False
    assert FLATTERED not in (tmp_path / "run" / "evaluation.txt").read_text()


def test_adding_the_third_part_moves_no_image_into_val(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", 20)
    two, three = (open_for(Recipe(test_fraction=share), data).split("val") for share in (0.0, 0.1))
    assert two.images.paths == three.images.paths


def test_too_few_images_for_three_parts_are_dealt_into_two_and_it_is_said(tmp_path) -> None:
    source = open_for(Recipe(), draw(tmp_path / "data", 4))
    assert set(source.splits) == {"train", "val"}
    assert "no test part" in " ".join(source.notes)


def test_a_figure_from_images_that_chose_the_weights_says_so_everywhere(
    backbones, tmp_path: Path
) -> None:
    data, run = draw(tmp_path / "data", 8), tmp_path / "run"
    answer = backbones(
        *("train", data, "--model", "vgg_tiny", "--out", run, "--set", "test_fraction=0"),
        *("--set", "length=2epochs", "--set", "evaluate_every=1epochs", "--set", "input.size=32"),
    )
    assert answer.code == 0
    assert "validation images, which chose the weights" in answer.out
    assert FLATTERED in (run / "evaluation.txt").read_text()
    assert json.loads((run / "evaluation.json").read_text())["selected_on_this_split"] is True
    best, last = run / "best.safetensors", run / "last.safetensors"
    assert "chose these weights" in backbones("show", best).out
    assert "chose these weights" not in backbones("show", last).out
    measured = {
        name: json.loads(backbones("evaluate", where, data, "--json").out)["selected_on_this_split"]
        for name, where in {"run": run, "best": best, "last": last}.items()
    }
    assert measured == {"run": True, "best": True, "last": False}
    assert FLATTERED in backbones("evaluate", run, data).out
    both = backbones("evaluate", last, best, data, "--split", "val", "--json")
    assert json.loads(both.out)["selected_on_this_split"] is True


def test_the_images_that_chose_are_known_below_a_folder_of_their_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    draw(data / "train", 6)
    draw(data / "val", 3, seed=1)
    finished = train(data, tmp_path / "run")
    assert finished.split == "val"
    assert finished.evaluation.selected_on_this_split
    assert package.evaluate(tmp_path / "run", data / "val").selected_on_this_split
    shutil.copytree(data / "val", tmp_path / "other")
    for path in sorted((tmp_path / "other").rglob("*.png")):
        path.rename(path.with_name(f"new-{path.name}"))
    assert not package.evaluate(tmp_path / "run", tmp_path / "other").selected_on_this_split


@pytest.mark.parametrize("lacks", [True, False])
def test_a_run_of_before_the_third_part_is_measured_on_what_it_held_out(
    tmp_path: Path, lacks: bool
) -> None:
    """Its recipe has no `test_fraction`; with today's it would be tested on what it learned."""
    from dataclasses import replace

    from backbones.weights.bundle import read_bundle

    data = draw(tmp_path / "data", 20)
    train(data, tmp_path / "run", "test_fraction=0")
    bundle = read_bundle(tmp_path / "run" / "best.safetensors")
    recipe = dict(bundle.recipe)
    if lacks:
        del recipe["test_fraction"]
    found = package.evaluate(replace(bundle, recipe=recipe), data)
    assert found.report.num_samples == 4
    assert found.selected_on_this_split
