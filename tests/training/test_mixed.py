"""Which layers compute in bf16 while a network trains in it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backbones.models import build
from backbones.training.mixed import computing_in

CPU = torch.device("cpu")


def dtypes(network: nn.Module, precision: str) -> dict[bool, set[torch.dtype]]:
    """Of the convolutions' outputs in a training step: {depthwise: dtypes}."""
    found: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            depthwise = layer.groups == layer.in_channels > 1
            layer.register_forward_hook(
                lambda _layer, _given, output, kind=depthwise: found[kind].add(output.dtype)
            )
    with computing_in(precision, CPU):
        loss = network.train()(torch.rand(4, 3, 32, 32)).float().square().sum()
    loss.backward()
    assert all(each.grad is not None for each in network.parameters())
    return found


@pytest.mark.our_rounding
@pytest.mark.parametrize("variant", ["mobilenet_v1_tiny", "mobilenet_v2_tiny", "efficientnet_tiny"])
def test_depthwise_convolutions_stay_in_fp32_where_others_take_bf16(variant: str) -> None:
    found = dtypes(build(variant, num_classes=3, seed=0), "bf16")
    assert found == {True: {torch.float32}, False: {torch.bfloat16}}


def test_in_fp32_every_layer_is() -> None:
    found = dtypes(build("mobilenet_v1_tiny", num_classes=3, seed=0), "fp32")
    assert found == {True: {torch.float32}, False: {torch.float32}}


def test_grouped_convolutions_of_several_channels_a_filter_take_bf16() -> None:
    """AlexNet's two towers are no depthwise layers, nor is a grey image's first convolution."""
    towers = nn.Conv2d(4, 4, 3, groups=2)
    grey = nn.Conv2d(1, 1, 3)
    with computing_in("bf16", CPU):
        assert towers(torch.rand(1, 4, 8, 8)).dtype == torch.bfloat16
        assert grey(torch.rand(1, 1, 8, 8)).dtype == torch.bfloat16
