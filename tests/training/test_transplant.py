"""Staged training: what a deeper net takes from a trained one, and what it does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backbones.api.training import resume, train
from backbones.errors import RecipeError, WrongUse
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.training.settings import load_recipe
from backbones.training.transplant import transplant
from backbones.weights.bundle import read_bundle

TINY = (
    "model=vgg_tiny",
    "input.size=32",
    "input.resize=32",
    "augment.resize=32",
    "augment.pca_colour=0",
)


def test_net_d_takes_the_papers_seven_layers_of_net_a():
    with ShapesOnly():
        old, new = build("vgg11"), build("vgg16")
        table = transplant(old, new, load_recipe("vgg_staged").init_layers)
    taken = [layer.name for layer in table if layer.taken]
    assert taken == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"]
    assert len(table) == 16
    assert {layer.note for layer in table if not layer.taken} == {"not asked for"}
    assert table[0].shape == "64x3x3x3"


def test_layers_of_one_name_and_shape_are_copied_to_the_bit_and_no_others():
    old = build("vgg_tiny", num_classes=5, seed=1)
    new = build("vgg_tiny", num_classes=3, seed=2)
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    table = {layer.name: layer for layer in transplant(old, new)}
    theirs = old.state_dict()
    for name, tensor in new.state_dict().items():
        expected = before if name.startswith("classifier.6") else theirs
        assert torch.equal(tensor, expected[name]), name
    assert not table["fc8"].taken
    assert table["fc8"].note.startswith("5x")
    assert table["bn1_1"].taken


def test_a_head_of_other_classes_stays_fresh():
    old, new = build("vgg_tiny", num_classes=3, seed=1), build("vgg_tiny", num_classes=3, seed=2)
    fresh = new.state_dict()["classifier.6.weight"].clone()
    table = {layer.name: layer for layer in transplant(old, new, same_classes=False)}
    assert table["fc8"].note == "the other network names other classes"
    assert torch.equal(new.state_dict()["classifier.6.weight"], fresh)


def test_wrong_names_and_strangers_are_one_line():
    net = build("vgg_tiny", seed=1)
    last = transplant(net, net, ["fc*", "conv1_9"])[-1]
    assert (last.name, last.taken) == ("conv1_9", False)
    assert "there is no such layer. Did you mean conv1_1" in last.note
    with pytest.raises(RecipeError, match="share no layer of one name and shape among conv1_9"):
        transplant(net, net, ["conv1_9"])
    with pytest.raises(RecipeError, match="share no layer"):
        transplant(nn.Sequential(nn.Linear(2, 2)), net)


def test_a_run_begins_with_what_it_took_and_a_resume_goes_on(tmp_path):
    first = train("digits", recipe="vgg_a", settings=TINY, smoke_run=True, out=tmp_path / "a")
    assert first.taken == ()
    list(first)
    second = train(
        "digits",
        recipe="vgg_staged",
        settings=TINY,
        init_from=tmp_path / "a",
        smoke_run=True,
        out=tmp_path / "d",
    )
    assert [layer.name for layer in second.taken if layer.taken][:2] == ["conv1_1", "conv2_1"]
    assert second.recipe.init_from == str((tmp_path / "a").absolute())
    state = read_bundle(tmp_path / "a" / "best.safetensors").state
    started = second._setup.network.state_dict()
    assert torch.equal(started["classifier.0.weight"], state["classifier.0.weight"])
    assert not torch.equal(started["features.12.weight"], state["features.12.weight"])
    list(second)
    assert resume(tmp_path / "d").taken == ()


def test_the_staged_recipe_asks_for_a_trained_network(tmp_path):
    with pytest.raises(WrongUse, match="give it with --init-from RUN"):
        train("digits", recipe="vgg_staged", settings=TINY, out=tmp_path / "x")
    with pytest.raises(WrongUse, match="give one of them"):
        train("digits", weights="a.safetensors", init_from="b", out=tmp_path / "x")
