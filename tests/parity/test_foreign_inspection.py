"""Networks of other libraries, looked into: PyTorch's counter and our own networks as judges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from backbones.api.inspection import inspect
from backbones.nn.meta import ShapesOnly

# What they have in common with ours: nothing. Windows, tokens, other layouts, several resolutions.
TIMM = [
    "convnext_tiny",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224",
    "regnetx_002",
    "hrnet_w18_small",
    "mixer_s32_224",
    "ghostnet_100",
    "resnetv2_50",
]


@pytest.mark.parametrize("name", TIMM)
def test_costs_are_those_that_pytorch_counts(timm: Any, name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name).eval()
    x = torch.empty(1, 3, 224, 224, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    found = inspect(network)
    assert 2 * found.macs == counter.get_total_flops()
    assert found.params == sum(p.numel() for p in network.parameters())
    assert found.training_only_params == 0
    assert found.layers[-1].output == (1000,)
    assert not found.missing


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(
    ("theirs", "ours", "last"),
    [
        ("torchvision.models:resnet50", "resnet50", "layer4.2.relu"),
        ("torchvision.models:densenet121", "densenet121", "features.norm5"),
        ("torchvision.models:googlenet", "googlenet", "inception5b.branch3.1.conv"),
        ("torchvision.models:mobilenet_v2", "mobilenet_v2", "features.18.0"),
    ],
)
def test_their_network_has_the_numbers_of_ours(
    torchvision: Any, theirs: str, ours: str, last: str
) -> None:
    with ShapesOnly():
        found, own = inspect(theirs), inspect(ours)
    assert found.macs == own.macs
    assert found.layer(last).output == own.layer(last).output
    assert found.layer(last).field == own.layer(last).field
    assert found.layer(last).field is not None


def test_attention_sees_the_whole_image(timm: Any) -> None:
    with torch.device("meta"):
        network = timm.create_model("vit_tiny_patch16_224")
    found = inspect(network)
    patch = found.layer("patch_embed.proj").field
    assert patch is not None
    assert [(span.size, span.jump) for span in patch.spans] == [(16, 16)] * 2
    mixed = found.layer("blocks.0.mlp.fc1").field
    assert mixed is not None
    assert [(span.size, span.fixed) for span in mixed.spans] == [(224, True)] * 2
