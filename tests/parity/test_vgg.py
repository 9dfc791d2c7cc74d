"""With the same weights, our VGG and the independent ones give the same logits and gradients."""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.models import build, find_row, make

NAMES = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
CLASSES = 10
TOLERANCE = 1e-5


@cache
def draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers that keep a signal's size; the large heads are drawn once for all networks."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return torch.rand(shape, generator=generator) + 0.5
    numbers = torch.randn(shape, generator=generator)
    return numbers * (math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1)


def drawn_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: draw(name, tuple(t.shape)) for name, t in network.state_dict().items()}


def ours(name: str) -> Any:
    with torch.device("meta"):
        network = make(*find_row(name), num_classes=CLASSES)
    network.load_state_dict(drawn_state(network), strict=True, assign=True)
    return network


def theirs(torchvision: ModuleType, name: str) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision.models, name)(num_classes=CLASSES)
    return network


def picture(px: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, px, px, generator=torch.Generator().manual_seed(px))


@pytest.mark.parametrize("name", NAMES)
def test_vgg_equals_torchvision(torchvision: ModuleType, name: str) -> None:
    mine, peer = ours(name), theirs(torchvision, name)
    # A copy, so that no running statistic is updated twice.
    peer.load_state_dict(
        {key: value.clone() for key, value in mine.state_dict().items()}, strict=True, assign=True
    )
    x = picture(64)
    mine.eval(), peer.eval()
    with torch.no_grad():
        expected = peer(x)
        assert expected.std() > 0.1, "the oracle's logits say nothing"
        assert (mine(x) - expected).abs().max() <= TOLERANCE

    mine.train(), peer.train()
    labels = torch.tensor([1, 7])
    for network in (mine, peer):
        torch.manual_seed(0)  # the same units are dropped
        F.cross_entropy(network(x), labels).backward()
    gradients = dict(mine.named_parameters())
    for key, parameter in peer.named_parameters():
        mine_grad = gradients[key].grad
        assert mine_grad is not None
        assert parameter.grad is not None
        assert (mine_grad - parameter.grad).abs().max() <= TOLERANCE, key
    for key, buffer in peer.named_buffers():
        assert torch.equal(mine.get_buffer(key), buffer), key


def test_vgg_loads_what_torchvision_writes_and_the_other_way_round(
    torchvision: ModuleType,
) -> None:
    for name in NAMES:
        with torch.device("meta"):
            mine = make(*find_row(name))
            peer = getattr(torchvision.models, name)()
        own = {key: tuple(value.shape) for key, value in mine.state_dict().items()}
        assert own == {key: tuple(value.shape) for key, value in peer.state_dict().items()}
        assert list(mine.state_dict()) == list(peer.state_dict()), "another order of layers"


def test_vgg_equals_torchvision_at_224_px(torchvision: ModuleType) -> None:
    mine, peer = ours("vgg11").eval(), theirs(torchvision, "vgg11").eval()
    peer.load_state_dict(mine.state_dict(), strict=True, assign=True)
    with torch.no_grad():
        x = picture(224, 1)
        assert (mine(x) - peer(x)).abs().max() <= TOLERANCE


def test_vgg_equals_timm_at_224_px(timm: ModuleType) -> None:
    mine = ours("vgg13_bn").eval()
    with torch.device("meta"):
        peer = timm.create_model("vgg13_bn", num_classes=CLASSES)
    renamed = {}
    for key, value in mine.state_dict().items():
        key = key.replace("classifier.0", "pre_logits.fc1").replace("classifier.6", "head.fc")
        key = key.replace("classifier.3", "pre_logits.fc2")
        if key == "pre_logits.fc1.weight":
            value = value.view(4096, 512, 7, 7)
        elif key == "pre_logits.fc2.weight":
            value = value.view(4096, 4096, 1, 1)
        renamed[key] = value
    peer.load_state_dict(renamed, strict=True, assign=True)
    peer.eval()
    with torch.no_grad():
        x = picture(224, 1)
        expected = peer(x)
        assert (mine(x) - expected).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1)


def test_the_default_start_has_torchvisions_spread(torchvision: ModuleType) -> None:
    """Same distributions, layer by layer: standard deviations agree within their own noise."""
    torch.manual_seed(0)
    mine = build("vgg11", num_classes=CLASSES, seed=1)
    peer = torchvision.models.vgg11(num_classes=CLASSES)
    for key, value in peer.state_dict().items():
        own = mine.state_dict()[key]
        noise = 4 / math.sqrt(2 * value.numel())
        assert math.isclose(own.std(), value.std(), rel_tol=2 * noise, abs_tol=1e-9), key
