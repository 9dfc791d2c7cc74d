"""EfficientNet: the scaled tables, what the paper prints of them, and how a network starts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones.models import build, find_row, make
from backbones.models.efficientnet import TABLE_1, EfficientNet, blocks_of, repeats
from backbones.nn.drop_path import DropPath
from backbones.nn.padding import SamePadConv2d

BS = [f"b{n}" for n in range(8)]
# Of the authors' code: maps x blocks of stages 2 to 8, then maps of the first and last convolution.
SCALED_TABLES = {
    "b0": ("16x1 24x2 40x2 80x3 112x3 192x4 320x1", 32, 1280),
    "b1": ("16x2 24x3 40x3 80x4 112x4 192x5 320x2", 32, 1280),
    "b2": ("16x2 24x3 48x3 88x4 120x4 208x5 352x2", 32, 1408),
    "b3": ("24x2 32x3 48x3 96x5 136x5 232x6 384x2", 40, 1536),
    "b4": ("24x2 32x4 56x4 112x6 160x6 272x8 448x2", 48, 1792),
    "b5": ("24x3 40x5 64x5 128x7 176x7 304x9 512x3", 48, 2048),
    "b6": ("32x3 40x6 72x6 144x8 200x8 344x11 576x3", 56, 2304),
    "b7": ("32x4 48x7 80x7 160x10 224x10 384x13 640x4", 64, 2560),
}


def row_of(name: str) -> Any:
    return find_row(name)[1]


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return make(*find_row(name))


@pytest.mark.parametrize("b", BS)
def test_widths_and_depths_are_the_authors(b: str) -> None:
    row = row_of(f"efficientnet_{b}")
    stages: dict[int, list[int]] = {}
    for block in blocks_of(row):
        stages.setdefault(block.stage, []).append(block.maps)
    table, first, last = SCALED_TABLES[b]
    assert [f"{maps[0]}x{len(maps)}" for maps in stages.values()] == table.split()
    assert all(len(set(maps)) == 1 for maps in stages.values())
    model = on_meta(f"efficientnet_{b}")
    assert model.features[0][0].out_channels == first
    assert model.features[-1][0].out_channels == last


@pytest.mark.parametrize(
    ("b", "million_params", "billion_macs"),
    [
        ("b0", 5.3, 0.39),
        ("b1", 7.8, 0.70),
        ("b2", 9.2, 1.0),
        ("b3", 12, 1.8),
        ("b4", 19, 4.2),
        ("b5", 30, 9.9),
        ("b6", 43, 19),
        ("b7", 66, 37),
    ],
)
def test_table_2_is_met_to_its_own_rounding(
    b: str, million_params: float, billion_macs: float
) -> None:
    """The paper's "FLOPs" are multiply-accumulates; B4 and B5 are printed 4 to 5 % low."""
    claims = {claim.name: claim.value for claim in row_of(f"efficientnet_{b}").claims}
    assert claims["params"] / 1e6 == pytest.approx(million_params, rel=0.02)
    assert claims["macs"] / 1e9 == pytest.approx(billion_macs, rel=0.05)


def test_table_1_halves_the_map_where_its_next_row_says_so() -> None:
    """Resolutions that Table 1 prints for stages 1 to 9."""
    printed = [224, 112, 112, 56, 28, 14, 14, 7, 7]
    strides = [2, *(line.stride for line in TABLE_1)]
    assert [a // b for a, b in pairwise(printed)] == strides


@pytest.mark.parametrize("b", BS)
def test_settings_of_the_two_forms(b: str) -> None:
    """torchvision's B5 to B7 were converted from TensorFlow and keep its normalisation."""
    plain, same = row_of(f"efficientnet_{b}"), row_of(f"efficientnet_{b}_same")
    assert (same.padding, same.norm_eps, same.norm_momentum) == ("same", 1e-3, 0.01)
    assert same.deviations == ()
    assert plain.padding == "symmetric"
    expected = (1e-5, 0.1) if b in BS[:5] else (1e-3, 0.01)
    assert (plain.norm_eps, plain.norm_momentum) == expected
    dropout = dict(zip(BS, (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5), strict=True))
    assert plain.dropout == same.dropout == dropout[b]


def test_same_padding_is_where_the_stride_is() -> None:
    model = on_meta("efficientnet_b0_same")
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        assert isinstance(layer, SamePadConv2d) == (layer.stride[0] == 2)
    assert sum(isinstance(layer, SamePadConv2d) for layer in convolutions) == 5


@pytest.mark.parametrize("b", ["b0", "b3"])
def test_stochastic_depth_grows_linearly_to_a_fifth(b: str) -> None:
    model = on_meta(f"efficientnet_{b}")
    chances = [layer.p for layer in model.modules() if isinstance(layer, DropPath)]
    assert chances == pytest.approx([0.2 * i / len(chances) for i in range(len(chances))])


def test_squeeze_excitation_is_a_quarter_of_the_blocks_input() -> None:
    blocks = blocks_of(row_of("efficientnet_b0"))
    assert [block.squeezed for block in blocks[:5]] == [8, 4, 6, 6, 10]
    model = on_meta("efficientnet_b0")
    assert model.features[1][0].block[1].fc1.weight.shape == (8, 32, 1, 1)
    assert model.features[2][0].block[2].fc1.weight.shape == (4, 96, 1, 1)


def test_depths_are_rounded_up() -> None:
    assert [repeats(1, 1.1), repeats(4, 1.1), repeats(3, 1.0), repeats(4, 3.1)] == [2, 5, 3, 13]


def test_a_block_is_what_section_4_describes() -> None:
    """A second transcription, with functions and the block's own tensors, in evaluation mode."""
    model: Any = build("efficientnet_tiny", seed=0).eval()
    block = model.features[2][1]
    state = dict(block.state_dict())
    generator = torch.Generator().manual_seed(0)
    for key, tensor in state.items():
        if "running_var" in key:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.dim() == 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) + ("weight" in key))

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / torch.sqrt(var + 1e-3)[:, None, None]
        return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def silu(x: torch.Tensor) -> torch.Tensor:
        return x / (1 + torch.exp(-x))

    x = torch.randn(2, 16, 7, 8, generator=generator)
    y = silu(normalised(F.conv2d(x, state["block.0.0.weight"]), "block.0.1"))
    y = F.conv2d(y, state["block.1.0.weight"], padding=1, groups=64)
    y = silu(normalised(y, "block.1.1"))
    s = F.conv2d(
        y.mean((2, 3), keepdim=True), state["block.2.fc1.weight"], state["block.2.fc1.bias"]
    )
    s = F.conv2d(silu(s), state["block.2.fc2.weight"], state["block.2.fc2.bias"])
    y = y / (1 + torch.exp(-s))
    y = x + normalised(F.conv2d(y, state["block.3.0.weight"]), "block.3.1")
    with torch.no_grad():
        torch.testing.assert_close(block(x), y)


def test_it_starts_as_the_authors_code_does() -> None:
    """N(0, 2 / fan-out), a depthwise fan-out being one map's; the last layer uniform."""
    model: Any = build("efficientnet_b0", seed=0)
    assert isinstance(model, EfficientNet)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] ** 2 * layer.out_channels / layer.groups
            noise = 5 / math.sqrt(2 * layer.weight.numel())
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=noise)
            assert layer.bias is None or not layer.bias.any()
    last = model.classifier[1]
    limit = 1 / math.sqrt(1000)
    assert limit * 0.999 < last.weight.abs().max() <= limit
    assert last.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert not last.bias.any()


def test_deviations_follow_the_fields() -> None:
    def fields(row: Any) -> list[str]:
        return [deviation.field for deviation in row.deviations]

    assert fields(row_of("efficientnet_b0")) == ["padding", "norm_eps", "norm_momentum"]
    assert fields(row_of("efficientnet_b5")) == ["padding"]
    assert fields(replace(row_of("efficientnet_b5"), padding="same")) == []
