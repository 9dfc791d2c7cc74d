"""VGG beside the independent ones at its own size; `test_oracles.py` compares gradients too."""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from backbones.models import build, find_row, make

CLASSES = 10
TOLERANCE = 1e-5


@cache
def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers that keep a signal's size; the large heads are sampled once for all networks."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return torch.rand(shape, generator=generator) + 0.5
    numbers = torch.randn(shape, generator=generator)
    return numbers * (math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1)


def noise_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: noise(name, tuple(t.shape)) for name, t in network.state_dict().items()}


def ours(name: str) -> Any:
    with torch.device("meta"):
        network = make(*find_row(name), num_classes=CLASSES)
    network.load_state_dict(noise_state(network), strict=True, assign=True)
    return network


def theirs(torchvision: ModuleType, name: str) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision.models, name)(num_classes=CLASSES)
    return network


def image(px: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, px, px, generator=torch.Generator().manual_seed(px))


def test_vgg_equals_torchvision_at_224_px(torchvision: ModuleType) -> None:
    mine, peer = ours("vgg11").eval(), theirs(torchvision, "vgg11").eval()
    peer.load_state_dict(mine.state_dict(), strict=True, assign=True)
    with torch.no_grad():
        x = image(224, 1)
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
        x = image(224, 1)
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
