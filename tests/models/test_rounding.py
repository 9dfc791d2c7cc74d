"""`benchmarks/rounding.py`: bf16 products in fp32, rounded once, are those of PyTorch's kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.models import build


@pytest.fixture(scope="module")
def rounding(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("rounding")


def learned(
    network: nn.Module, images: Tensor, bf16: bool, units: AbstractContextManager[object]
) -> tuple[Tensor, Tensor]:
    """(logits, all gradients) of one step."""
    network.zero_grad()
    torch.manual_seed(0)
    with units:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images)
        F.cross_entropy(logits.float(), torch.arange(len(images)) % 10).backward()
    return logits.detach().float(), torch.cat([p.grad.flatten() for p in network.parameters()])


def away(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", ["lenet5", "vgg_tiny", "resnet_tiny"])
def test_rounded_products_are_those_of_the_native_kernels(name: str, rounding: ModuleType) -> None:
    network = build(name, num_classes=10, seed=0).train()
    row = network.row
    numbers = torch.Generator().manual_seed(1)
    images = torch.randn(4, row.in_channels, row.input_px, row.input_px, generator=numbers)
    native = learned(network, images, True, nullcontext())
    rounded = learned(network, images, True, rounding.AsOnBf16Units())
    exact = learned(network, images, False, nullcontext())
    for theirs, ours, unrounded in zip(native, rounded, exact, strict=True):
        assert away(ours, theirs) < away(theirs, unrounded) / 4
        assert away(theirs, unrounded) > 1e-4  # rounding did something


def test_fp32_products_are_left_alone(rounding: ModuleType) -> None:
    x, weight = torch.randn(5, 7), torch.randn(3, 7)
    plain = F.linear(x, weight)
    with rounding.AsOnBf16Units():
        assert torch.equal(F.linear(x, weight), plain)
        assert (x.bfloat16() @ weight.T.bfloat16()).dtype == torch.bfloat16
