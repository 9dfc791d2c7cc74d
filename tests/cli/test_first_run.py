"""What a newcomer types first does what its words say, and says what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import backbones as package
from backbones.api.training import choose_recipe
from backbones.errors import DownloadFailed, NotFound
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights import store, table
from backbones.weights.bundle import bundle_of, write_bundle
from backbones.workflows import request


def chosen(**given: object):
    wanted = {"model": None, "recipe": None, "settings": (), "weights": None} | given
    return choose_recipe("photos", **wanted)


def test_finetune_without_weights_takes_the_network_s_public_ones() -> None:
    assert chosen(recipe="finetune").weights == "resnet18.tv_in1k"
    assert chosen(recipe="finetune", model="vgg11_bn").weights == "vgg11_bn.tv_in1k"
    assert chosen(recipe="finetune", settings=["weights=none"]).weights is None


@pytest.mark.parametrize("recipe", ["cats_dogs", "cats_dogs_frozen"])
def test_a_recipe_for_another_network_takes_that_network_s_weights(recipe: str) -> None:
    assert chosen(recipe=recipe).weights == "vgg16.tv_in1k"
    assert chosen(recipe=recipe, model="mobilenet_v1_075").weights == "mobilenet_v1_075.keras_in1k"


def test_weights_that_are_named_say_which_network_it_is() -> None:
    assert chosen(weights="densenet121.tv_in1k").model == "densenet121"
    assert chosen(weights="resnet50.tv_in1k", model="resnet50_v1").model == "resnet50_v1"


def test_the_usual_weights_are_of_the_network_saw_imagenet_alone_and_are_free_to_use() -> None:
    for variant in sorted({row.variant for row in table.rows() if row.results}):
        usual = table.usual(variant)
        assert usual is not None, variant
        assert usual.variant == variant
        assert "NC" not in usual.licence
        assert not any(more in usual.id for more in ("jft", "ig1b", "yfcc")), usual.id


def test_a_network_without_public_weights_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none of vgg_tiny: .*--weights, .*--recipe scratch"):
        package.train("digits", model="vgg_tiny", recipe="finetune", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_offline_finetune_is_refused_and_leaves_no_folder(
    backbones, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKBONES_OFFLINE", "1")
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    answer = backbones("train", photos, "--recipe", "finetune", "--out", tmp_path / "run")
    assert answer.code == 1
    assert "resnet18.tv_in1k.pth is not here" in answer.err
    assert not (tmp_path / "run").exists()


def test_finetune_begins_with_the_public_weights_and_says_so(
    backbones, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a row for the tiny network in the table, and its file where a download would be."""
    row = replace(
        table.find("vgg11_bn.tv_in1k"),
        id="vgg_tiny.tv_in1k",
        variant="vgg_tiny",
        sha256="",
        file="vgg_tiny.safetensors",
        spec=InputSpec(size=32, resize=36),
    )
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    rows = {**table._table(), row.id: row}
    monkeypatch.setattr(table, "_table", lambda: rows)
    network = build("vgg_tiny", num_classes=7, seed=9)
    known = bundle_of(network, classes=tuple("abcdefg"), spec=row.spec)
    store.path_of(row).parent.mkdir(parents=True)
    write_bundle(store.path_of(row), known)
    answer = backbones(
        *("train", photos, "--recipe", "finetune", "--model", "vgg_tiny", "--smoke"),
        *("--set", "freeze=old", "--out", tmp_path / "run"),
    )
    assert answer.code == 0, answer.err
    assert "vgg_tiny from vgg_tiny.tv_in1k on" in answer.err
    ours = package.read_bundle(tmp_path / "run" / "last.safetensors").state
    first = next(name for name in ours if name.endswith("weight"))
    assert (ours[first] == known.state[first]).all()


@pytest.mark.parametrize("verb", ["train", "tune", "lr-find"])
def test_weights_that_are_fetched_are_told_before_they_are_here(
    backbones, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def fetch(name: str, *, downloading: Callable[[str, int, int], None]) -> None:
        downloading(name, 0, 10)
        raise DownloadFailed("the line is dead")

    monkeypatch.setattr(request, "get_weights", fetch)
    monkeypatch.chdir(tmp_path)
    answer = backbones(verb, photos, "--recipe", "finetune", "--out", tmp_path / "out.png")
    assert answer.code == 1
    assert "downloading resnet18.tv_in1k ..." in answer.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_recipe_it_says_that_the_weights_are_random(
    backbones, photos: Path, tmp_path: Path
) -> None:
    answer = backbones("train", photos, "--model", "vgg_tiny", "--smoke", "--out", tmp_path / "run")
    assert answer.code == 0
    assert "on photos --recipe finetune goes on from public weights" in answer.err
    assert "vgg_tiny from random weights on" in answer.err


def test_a_folder_that_is_not_there_is_not_guessed_from_what_lies_beside(
    backbones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("answers", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "ft.png").write_bytes(b"")
    assert "Did you mean" not in backbones("train", "nowhere").err
    assert "Did you mean" not in backbones("train", tmp_path / "nowhere").err
    assert "Did you mean photos?" in backbones("train", "photo").err
    assert "Did you mean mnist?" in backbones("train", "minst").err
    assert "Did you mean" not in backbones("predict", "lenet5.digits", "nofile.jpg").err


def test_a_misspelt_recipe_is_told_in_a_short_line(backbones) -> None:
    answer = backbones("train", "digits", "--recipe", "finetun")
    assert answer.code == 2
    said = "error: no recipe 'finetun'. Did you mean finetune"
    assert answer.err.splitlines()[-1].startswith(said)
    assert len(answer.err.splitlines()[-1]) < 250
