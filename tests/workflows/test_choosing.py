"""What `train DATA` takes where nobody names a recipe or a network."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import backbones
from backbones.data.source import ArrayImages, FileImages, Split
from backbones.errors import DownloadFailed
from backbones.weights import store, table
from backbones.workflows import choosing


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BACKBONES_OFFLINE", "1")


def photos(count: int) -> Split:
    images = FileImages(None, tuple(f"{n}.jpg" for n in range(count)))
    return Split("train", ("a", "b"), np.arange(count) % 2, images)


def chosen(train: Split | None = None):
    return choosing.choose_for(train or photos(900), None)


def put(name: str) -> None:
    path = store.path_of(table.find(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")


def test_the_usual_weights_that_are_here_are_taken() -> None:
    put("resnet50.tv_in1k")
    put("resnet18.tv_in1k")
    found = chosen()
    assert (found.name, found.model, found.weights) == ("finetune", "resnet18", "resnet18.tv_in1k")
    assert found.probes


def test_of_other_weights_that_are_here_the_most_accurate_are_taken(caplog) -> None:
    put("mobilenet_v1_075.keras_in1k")
    put("resnet50.tv_in1k")
    put("resnet20_cifar.akamaster_cifar10")  # of images of 32 px
    with caplog.at_level(logging.WARNING, "backbones"):
        found = chosen()
    assert (found.name, found.model, found.weights) == ("finetune", "resnet50", "resnet50.tv_in1k")
    (line,) = caplog.messages
    assert "finetune, resnet50 from resnet50.tv_in1k, because its weights are on this" in line


def test_weights_that_can_be_fetched_are(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(choosing, "get_weights", lambda name, downloading: asked.append(name))
    found = chosen()
    assert asked == ["resnet18.tv_in1k"]
    assert (found.name, found.weights) == ("finetune", "resnet18.tv_in1k")


@pytest.mark.parametrize(
    ("count", "model"), [(900, "resnet18"), (20_000, "resnet34"), (200_000, "resnet50")]
)
def test_offline_a_network_that_fits_the_images_learns_from_scratch(
    count: int, model: str, caplog
) -> None:
    found = chosen(photos(count))
    assert (found.name, found.model, found.weights) == ("scratch_photos", model, None)
    assert f"none can be fetched; {count:,} training images" in caplog.text


def test_small_images_are_for_a_network_for_small_images() -> None:
    array = np.zeros((40, 32, 32, 3), np.uint8)
    small = Split("train", ("a", "b"), np.arange(40) % 2, ArrayImages(array, "small"))
    assert chosen(small).name == "scratch_small"


def test_what_is_named_is_not_chosen(monkeypatch) -> None:
    monkeypatch.setattr(choosing, "get_weights", lambda *_, **__: pytest.fail("nobody asked"))
    assert backbones.choose_recipe("photos", model="vgg11_bn").name == "scratch"
    assert backbones.choose_recipe("digits").name == "digits"
    assert backbones.choose_recipe("photos", weights="resnet50.tv_in1k").name == "finetune"


def test_train_without_a_recipe_looks_at_the_data_and_says_what_it_took(tmp_path, caplog) -> None:
    from PIL import Image

    for number in range(8):
        file = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number * 20, 0, 0)).save(file)
    found = backbones.choose_recipe(tmp_path / "photos", settings=["input.size=64"])
    assert (found.name, found.model) == ("scratch_photos", "resnet18")
    assert found.input.size == 64
    assert len(caplog.messages) == 1, "the choice is made and said once"
    with pytest.raises(DownloadFailed):
        backbones.train(tmp_path / "photos", recipe="finetune", out=tmp_path / "run")
