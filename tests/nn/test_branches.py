"""Inception modules as text: what a step, a chain and a fork compute, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from backbones.nn.branches import Branches, module, step
from backbones.nn.conv import ConvNormAct

Array = NDArray[np.float64]


def padded(x: Array, up: int, left: int, value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), (up, up), (left, left)), constant_values=value)


def convolved(x: Array, unit: ConvNormAct, stride: int = 1, same: bool = True) -> Array:
    """Convolution, batch norm with its running averages, ReLU; written out over every output."""
    weight = unit.conv.weight.detach().numpy()
    assert unit.bn is not None
    mean, var, gamma, beta = (
        tensor.detach().numpy()
        for tensor in (
            unit.bn.running_mean,
            unit.bn.running_var,
            unit.bn.weight,
            unit.bn.bias,
        )
        if tensor is not None
    )
    height, width = weight.shape[2:]
    source = padded(x, height // 2, width // 2) if same else x
    rows = (source.shape[1] - height) // stride + 1
    columns = (source.shape[2] - width) // stride + 1
    out = np.empty((len(weight), rows, columns))
    for r in range(rows):
        for c in range(columns):
            at_row, at_column = r * stride, c * stride
            window = source[:, at_row : at_row + height, at_column : at_column + width]
            out[:, r, c] = (weight * window).sum(axis=(1, 2, 3))
    scaled = (out - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-3)
    return np.maximum(scaled * gamma[:, None, None] + beta[:, None, None], 0)


def trained(branches: Branches) -> Branches:
    """In fp64 and evaluation mode, with other numbers in the batch norms than at a start."""
    generator = torch.Generator().manual_seed(0)
    for layer in branches.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            with torch.no_grad():
                layer.weight.uniform_(0.5, 2, generator=generator)
                layer.bias.normal_(generator=generator)
    return branches.double().eval()


def map_of(channels: int, height: int, width: int) -> Array:
    return np.random.Generator(np.random.PCG64(1)).normal(size=(channels, height, width))


def run(branches: Branches, x: Array) -> Array:
    with torch.no_grad():
        found: Array = branches(torch.tensor(x)[None])[0].numpy()
    return found


def test_a_1x7_is_one_row_high_and_a_fork_sees_the_step_before() -> None:
    text = "one: 1x1 2\ntwo: 1x1 3 > 1x7 4 > 7x1 5\nthree: 1x1 3 > 1x3 2 + 3x1 4"
    branches = trained(Branches(3, text))
    x = map_of(3, 5, 8)
    parts = dict(branches.named_children())
    two, three = parts["two"], parts["three_0"]
    assert isinstance(two, nn.Sequential)
    assert isinstance(three, ConvNormAct)
    straight = x
    for unit in two:
        assert isinstance(unit, ConvNormAct)
        straight = convolved(straight, unit)
    before = convolved(x, three)
    sources = {"one": x, "three_1a": before, "three_1b": before}
    ends = {}
    for name, source in sources.items():
        unit = parts[name]
        assert isinstance(unit, ConvNormAct)
        ends[name] = convolved(source, unit)
    expected = [ends["one"], straight, ends["three_1a"], ends["three_1b"]]
    assert branches.get_submodule("two.1.conv").weight.shape[2:] == (1, 7)
    assert branches.maps == 2 + 5 + 2 + 4
    np.testing.assert_allclose(run(branches, x), np.concatenate(expected), atol=1e-10)


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 7), (9, 12)])
def test_a_reduction_without_padding_halves_by_convolution_and_by_pooling(
    height: int, width: int
) -> None:
    branches = trained(Branches(2, "conv: 3x3/2 V 3\npool: max/2 V"))
    x = map_of(2, height, width)
    unit = branches.get_submodule("conv")
    assert isinstance(unit, ConvNormAct)
    rows, columns = (height - 3) // 2 + 1, (width - 3) // 2 + 1
    pooled = np.empty((2, rows, columns))
    for r in range(rows):
        for c in range(columns):
            pooled[:, r, c] = x[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max(axis=(1, 2))
    expected = np.concatenate([convolved(x, unit, stride=2, same=False), pooled])
    np.testing.assert_allclose(run(branches, x), expected, atol=1e-10)


@pytest.mark.parametrize("count_padding", [True, False])
def test_average_pooling_at_the_edge(count_padding: bool) -> None:
    pool, maps = step(1, "avg", count_padding=count_padding)
    assert maps == 1
    x = map_of(1, 4, 5)
    source = padded(x, 1, 1)
    there = padded(np.ones_like(x), 1, 1)
    expected = np.empty((1, 4, 5))
    for r in range(4):
        for c in range(5):
            pixels = 9 if count_padding else there[0, r : r + 3, c : c + 3].sum()
            expected[0, r, c] = source[0, r : r + 3, c : c + 3].sum() / pixels
    np.testing.assert_allclose(pool(torch.tensor(x)[None])[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "kernel", "stride", "padding"),
    [
        ("3x3/2 V 8", (3, 3), (2, 2), (0, 0)),
        ("1x7 8", (1, 7), (1, 1), (0, 3)),
        ("7x1 8", (7, 1), (1, 1), (3, 0)),
        ("5x5 8", (5, 5), (1, 1), (2, 2)),
        ("3x3/2 8", (3, 3), (2, 2), (1, 1)),
        ("1x1 V 8", (1, 1), (1, 1), (0, 0)),
    ],
)
def test_a_step_reads_as_the_figures_print_it(
    text: str, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    layer, maps = step(4, text)
    assert isinstance(layer, ConvNormAct)
    conv = layer.conv
    assert maps == conv.out_channels == 8
    assert (conv.kernel_size, conv.stride, conv.padding) == (kernel, stride, padding)
    assert conv.bias is None


@pytest.mark.parametrize("text", ["3x3", "avg 8", "3 8", "3x3 V", "median", "3x3/2V 8", ""])
def test_what_is_not_a_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a step"):
        step(4, text)


def test_layers_are_called_as_the_public_files_call_them() -> None:
    text = "branch0: 1x1 4\nbranch1: 1x1 4 > 3x3 4 > 1x3 4 + 3x1 4\nbranch2: avg > 1x1 4"
    nested = [name for name, _ in Branches(2, text).named_modules() if name.endswith("conv")]
    assert nested == [
        "branch0.conv",
        "branch1_0.conv",
        "branch1_1.conv",
        "branch1_2a.conv",
        "branch1_2b.conv",
        "branch2.1.conv",
    ]
    flat, maps = module(2, text, numbers_from=1)
    names = [name for name, _ in flat.named_modules() if name.endswith("conv")]
    assert names == [
        "branch0.conv",
        "branch1_1.conv",
        "branch1_2.conv",
        "branch1_3a.conv",
        "branch1_3b.conv",
        "branch2.conv",
    ]
    assert maps == 16
