"""Wrappers of single parts and counted children: names inside, not before, a network's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbones.errors import BadWeights, NotFound
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.weights.fit import read_as
from backbones.weights.managing import convert_weights


def _own(name: str) -> dict[str, Tensor]:
    with ShapesOnly():
        return dict(build(name).state_dict())


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module."]
)
@pytest.mark.parametrize("before", ["", "state_dict.model."])
def test_a_part_that_was_wrapped_by_itself_is_read(wrapper: str, before: str) -> None:
    own = _own("vgg_tiny")
    state = {
        before + name.replace("features.", f"features.{wrapper}"): tensor
        for name, tensor in own.items()
    }
    reading = read_as(own, state)
    assert reading.state.keys() == own.keys()
    assert "wrappers of single parts" in reading.notes[0]


def test_every_stage_that_was_compiled_by_itself_is_no_network_of_its_own() -> None:
    own = _own("resnet18")
    state = {
        name.replace(".", "._orig_mod.", 1) if name.startswith("layer") else name: tensor
        for name, tensor in own.items()
    }
    assert read_as(own, state).state.keys() == own.keys()


@pytest.mark.parametrize("before", ["", "state_dict.encoder."])
@pytest.mark.parametrize("parts", [-1, None])
def test_children_by_number_are_the_networks_parts_in_their_order(
    before: str, parts: int | None
) -> None:
    with ShapesOnly():
        network = build("resnet18")
        counted = nn.Sequential(*list(network.children())[:parts]).state_dict()
    own = network.state_dict()
    state = {before + name: tensor for name, tensor in counted.items()}
    reading = read_as(own, {**state, "opt": torch.ones(2)})
    found = reading.state.keys() & own.keys()
    assert own.keys() - found == (set() if parts is None else {"fc.weight", "fc.bias"})
    assert all(reading.state[name].shape == own[name].shape for name in found)
    assert any("nn.Sequential" in note for note in reading.notes)


def test_stages_of_one_network_are_not_several_networks() -> None:
    own = _own("resnet18")
    state = {name[1:]: tensor for name, tensor in own.items()}  # "ayer1.0.conv1.weight"
    assert own.keys() - read_as(own, state).state.keys()  # and no question which of three is meant


def test_one_missing_tensor_names_no_other_network(tmp_path: Path) -> None:
    state = dict(build("resnet20_cifar", seed=0).state_dict())
    del state["layer1.0.bn1.running_var"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(BadWeights, match=r"1 tensors missing \(layer1.0.bn1.running_var\)") as said:
        convert_weights(tmp_path / "cut.pth", tmp_path / "b.safetensors", variant="resnet20_cifar")
    assert "nearest" not in str(said.value)


def test_a_variant_that_only_fits_by_shapes_is_the_word_of_who_named_it(tmp_path: Path) -> None:
    torch.save(build("resnet20_cifar", seed=0).state_dict(), tmp_path / "a.pth")
    bundle = convert_weights(
        tmp_path / "a.pth", tmp_path / "b.safetensors", variant="plain20_cifar"
    )
    changes = (bundle.provenance or {})["changes"]
    assert any("fit resnet20_cifar as well" in change for change in changes)


def test_a_folder_where_a_weight_file_is_expected_is_there_but_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is no regular file"):
        convert_weights(tmp_path, tmp_path / "b.safetensors", variant="resnet20_cifar")
    with pytest.raises(NotFound, match="there is no weight file"):
        convert_weights(tmp_path / "absent", tmp_path / "b.safetensors", variant="resnet20_cifar")
