"""The papers' names of layers: complete, unique, found as users type them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from torch import nn

from backbones import catalog
from backbones.errors import NotFound
from backbones.models import find_row, make
from backbones.nn.meta import ShapesOnly
from backbones.nn.naming import module_path, paper_names


@cache
def on_meta(name: str) -> Any:
    with ShapesOnly():
        return make(*find_row(name))


@pytest.mark.parametrize("name", catalog.names())
def test_every_layer_and_stage_has_a_name_of_its_own(name: str) -> None:
    network = on_meta(name)
    names = paper_names(network)
    leaves = {path for path, layer in network.named_modules() if not list(layer.children())}
    assert leaves <= names.keys()
    assert {path for _, path in network.stages} <= names.keys()
    folded = [said.lower() for said in names.values()]
    assert len(set(folded)) == len(folded)
    assert all(said and said == said.strip() for said in names.values())


@pytest.mark.parametrize("name", catalog.names())
def test_no_name_is_the_path_of_another_layer(name: str) -> None:
    network = on_meta(name)
    paths = {path.lower(): path for path, _ in network.named_modules()}
    for path, said in paper_names(network).items():
        assert paths.get(said.lower(), path) == path


@pytest.mark.parametrize("name", [name for name in catalog.names() if name.endswith("_tiny")])
def test_every_name_leads_back_to_its_layer(name: str) -> None:
    network = on_meta(name)
    for path, said in paper_names(network).items():
        assert module_path(network, said) == module_path(network, said.upper()) == path
    for title, _ in network.stages:
        module_path(network, title)


# What the papers' figures and tables, or the authors' files, call these layers.
KNOWN = {
    "vgg16": {"conv3_3": "features.14", "relu4_2": "features.20", "pool5": "features.30"},
    "vgg19": {"conv5_4": "features.34", "fc6": "classifier.0", "fc8": "classifier.6"},
    "vgg16_bn": {"bn1_1": "features.1", "drop6": "classifier.2", "relu6": "classifier.1"},
    "alexnet_caffe": {"norm1": "features.norm1", "fc7": "classifier.4", "pool5": "features.12"},
    "alexnet": {"conv5": "features.10", "relu5": "features.11", "drop5": "classifier.0"},
    "lenet5": {"C1": "c1", "S2": "s2", "c5": "c5", "OUTPUT": "output"},
    "nin_imagenet": {"cccp8": "classifier.4", "conv3": "features.mlpconv3.0"},
    "inception_v1": {
        "inception (3a)/3x3 reduce": "inception3a.branch2.0",
        "inception (4e)/5x5": "inception4e.branch3.1",
        "inception (5b)/pool proj": "inception5b.branch4.1",
        "inception (5b)/1x1": "inception5b.branch1",
    },
    "resnet50": {"conv3_x": "layer2", "conv5_3": "layer4.2", "conv2_1/conv3": "layer1.0.conv3"},
    "densenet121": {"Dense Block (3)/denselayer24": "features.denseblock3.denselayer24"},
    "inception_v4": {"4 x Inception-A/1": "features.6", "4 x Inception-A": "features.9"},
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_papers_words_lead_to_the_right_layers(name: str) -> None:
    network = on_meta(name)
    assert {said: module_path(network, said) for said in KNOWN[name]} == KNOWN[name]


def test_capitals_do_not_matter_and_a_typo_names_the_nearest() -> None:
    network = on_meta("vgg16")
    assert module_path(network, "Conv3_3") == module_path(network, "CONV3_3") == "features.14"
    with pytest.raises(NotFound, match=r"no layer 'conv3_4'.*Did you mean .*conv3_3"):
        module_path(network, "conv3_4")
    with pytest.raises(NotFound, match=r"It has maxpool 1, maxpool 2.*FC-1000"):
        module_path(network, "zzzzzzzz")


def test_a_module_without_a_paper_has_paths_only() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert paper_names(model) == {}
    assert module_path(model, "1.0") == "1.0"
    model.stages = model[1]  # the word for something else
    assert paper_names(model) == {}
    with pytest.raises(NotFound, match="no layer '2'"):
        module_path(model, "2")


def test_a_layer_under_two_paths_is_found_under_both() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(shared, nn.Linear(1, 1), shared)
    assert [module_path(model, path) for path in ("0", "2")] == ["0", "2"]
