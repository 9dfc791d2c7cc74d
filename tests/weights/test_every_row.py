"""A file such as each row's publisher writes fits the row's network: every name, every shape."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from backbones.models import build
from backbones.weights import table
from backbones.weights.adapt import named_alike
from backbones.weights.keymaps import KEYMAPS


def kinds() -> list[tuple[str, str, str, str]]:
    """Publisher, its name for the network, ours, and the key map; each combination once."""
    found = {}
    for row in table.rows():
        publisher = "torchvision" if "pytorch.org" in row.url else "timm"
        if row.id.endswith((".caffe_in1k", ".keras_in1k", ".akamaster_cifar10")):
            continue  # test_keymaps.py has Caffe's; the others' files are real, in tests/cli
        found[publisher, row.id.partition(".")[0], row.variant, row.keymap] = None
    return list(found)


def published(publisher: ModuleType, name: str, keymap: str) -> dict[str, Tensor]:
    """A checkpoint under the publisher's names, shapes without numbers."""
    if publisher.__name__ == "timm":
        return publisher.create_model(name).state_dict()
    heads = {"aux_logits": True, "init_weights": False}
    options = heads if name in ("googlenet", "inception_v3") else {}
    state = getattr(publisher.models, name)(**options).state_dict()
    is_old = keymap == "torchvision_densenet"
    return KEYMAPS[keymap].to_theirs(state) if is_old else state


@pytest.mark.parametrize(("publisher", "theirs", "variant", "keymap"), kinds())
def test_a_published_file_fits_its_network(
    publisher: str, theirs: str, variant: str, keymap: str, request: pytest.FixtureRequest
) -> None:
    library = request.getfixturevalue(publisher)
    with torch.device("meta"):
        state = published(library, theirs, keymap)
        network = build(variant)
        own = network.state_dict()
        named, changes, fresh = named_alike(network, state, keymap)
    assert {name: named[name].shape for name in own} == {name: own[name].shape for name in own}
    assert fresh == set()
    assert all("auxiliary heads that this network does not have" in change for change in changes)
