"""Inception v4 and the Inception-ResNets: the boxes of their figures, residuals and the start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.models import build, find_row, make
from backbones.models.inception_resnet import V1, Residual
from backbones.nn.branches import Branches
from backbones.nn.conv import ConvNormAct


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return make(*find_row(name))


def widths(name: str) -> list[int]:
    """Maps at the end of each stage but the last, by a hook: the stages need not be neighbours."""
    model = on_meta(name).eval()
    found = []
    for _, path in model.stages[:-1]:
        model.get_submodule(path).register_forward_hook(
            lambda _, __, output: found.append(output.shape[1])
        )
    model(torch.empty(1, 3, 299, 299, device="meta"))
    return found


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("inception_v4", [384, 384, 1024, 1024, 1536, 1536]),  # Figure 9
        ("inception_resnet_v1", [256, 256, 896, 896, 1792, 1792]),  # Figure 15
        ("inception_resnet_v1_facenet", [256, 256, 896, 896, 1792, 1792, 1792]),
        ("inception_resnet_v2_paper", [384, 384, 1152, 1152, 2144, 2144]),
        ("inception_resnet_v2_paper_deep", [384, 384, 1152, 1152, 2144, 2144]),
        ("inception_resnet_v2", [320, 320, 1088, 1088, 2080, 2080, 2080, 1536]),
    ],
)
def test_maps_are_as_many_as_the_figures_print(name: str, maps: list[int]) -> None:
    assert widths(name) == maps


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("inception_resnet_v1", (5, 10, 5)),
        ("inception_resnet_v1_facenet", (5, 10, 6)),
        ("inception_resnet_v2_paper", (5, 10, 5)),
        ("inception_resnet_v2_paper_deep", (10, 20, 10)),
        ("inception_resnet_v2", (10, 20, 10)),
    ],
)
def test_blocks_are_as_many_as_the_schema_says(name: str, blocks: tuple[int, ...]) -> None:
    found = [m for m in on_meta(name).modules() if isinstance(m, Residual)]
    per_width = [sum(m.maps == width for m in found) for width in sorted({m.maps for m in found})]
    assert tuple(per_width) == blocks


def test_a_block_adds_its_scaled_residual_and_the_plain_one_has_no_relu() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 5).double()
    for scale, relu in ((0.17, True), (1.0, False)):
        block = Residual(6, V1.a, scale, relu=relu).double().eval()
        parts: list[Tensor] = []
        for name in ("branch0", "branch1", "branch2"):
            branch = block.get_submodule(name)
            maps = x
            for unit in branch if isinstance(branch, nn.Sequential) else [branch]:
                assert isinstance(unit, ConvNormAct)
                maps = torch.relu(unit.bn(unit.conv(maps)))  # type: ignore[misc]
            parts.append(maps)
        linear = block.conv2d
        assert linear.bias is not None
        residual = torch.einsum("nchw,mc->nmhw", torch.cat(parts, 1), linear.weight[:, :, 0, 0])
        expected = x + scale * (residual + linear.bias[:, None, None])
        if relu:
            expected = expected.clamp(min=0)
        torch.testing.assert_close(block(x), expected)
        assert (block(x) < 0).any() == (not relu)


def test_a_block_leaves_its_input_alone() -> None:
    x = torch.randn(1, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    Residual(6, V1.b, 1.0)(x)
    assert torch.equal(x, before)


def test_residuals_are_scaled_as_released_and_within_section_3_3() -> None:
    model = on_meta("inception_resnet_v2")
    scales = [
        {block.scale for block in model.get_submodule(f"repeat{i}")} for i in ("", "_1", "_2")
    ]
    assert scales == [{0.17}, {0.10}, {0.20}]
    assert (model.block8.scale, model.block8.relu) == (1.0, False)
    for name in ("inception_resnet_v1", "inception_resnet_v2_paper"):
        row: Any = find_row(name)[1]
        assert all(0.1 <= scale <= 0.3 for scale in row.scales)
        assert row.plain_scale is None


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2", "inception_resnet_v1"])
def test_sums_are_not_normalised_and_padding_does_not_dilute_averages(name: str) -> None:
    """Section 3.2: batch normalisation stands on the convolutions of the branches only."""
    model = on_meta(name)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    units = sum(isinstance(m, ConvNormAct) for m in model.modules())
    assert norms == units
    assert all(not m.count_include_pad for m in model.modules() if isinstance(m, nn.AvgPool2d))
    assert model.dropout.p == 0.2


def test_the_start_of_v4_is_a_truncated_normal_and_a_uniform_last_layer() -> None:
    model: Any = build("inception_v4_tiny", num_classes=200, seed=0)
    conv = model.features[3].branch1[2].conv.weight
    std = (2.6 / (8 * 7)) ** 0.5
    assert conv.abs().max().item() <= 2 * std * (1 + 1e-6)
    assert conv.std().item() == pytest.approx(0.8796 * std, rel=0.1)
    last = model.last_linear
    bound = (6 / (last.in_features + 200)) ** 0.5
    assert last.weight.abs().max().item() <= bound
    assert last.weight.std().item() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert not last.bias.any()


def test_the_start_of_inception_resnet_is_uniform_everywhere() -> None:
    model: Any = build("inception_resnet_tiny", num_classes=200, seed=0)
    for path in ("repeat.0.conv2d", "mixed_7a.branch0.1.conv", "classif"):
        layer = model.get_submodule(path)
        fans = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        bound = (6 / sum(fans)) ** 0.5
        assert 0.97 * bound < layer.weight.abs().max().item() <= bound, path
        assert layer.bias is None or not layer.bias.any()


def test_no_scale_at_all_can_be_built_with_replace() -> None:
    network_type, row = find_row("inception_resnet_tiny")
    changed: Any = replace(row, scales=(1.0, 1.0, 1.0), plain_scale=None)  # type: ignore[type-var]
    model: Any = make(network_type, changed)
    assert {m.scale for m in model.modules() if isinstance(m, Residual)} == {1.0}
    assert "block8" not in dict(model.named_children())
    assert model.row.deviations == ()


# What google-research's receptive_field computed from the TensorFlow graphs (px and stride).
PUBLISHED = {
    "inception_v2_slim": (699, 32),
    "inception_v3_noaux": (1311, 32),
    "inception_v4": (2071, 32),
    "inception_resnet_v2": (3039, 32),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_feature_sees_as_many_pixels_as_was_published(name: str) -> None:
    model = on_meta(name)
    seen = (1, 1, 1)
    for layer in model.features if isinstance(model.features, nn.Module) else children(model):
        seen = through(layer, *seen)
    assert seen == (PUBLISHED[name][0], PUBLISHED[name][0], PUBLISHED[name][1])


def children(model: nn.Module) -> list[nn.Module]:
    return [m for name, m in model.named_children() if name not in ("dropout", "fc", "classif")]


def through(layer: Any, height: int, width: int, stride: int) -> tuple[int, int, int]:
    """(height, width, stride) of the receptive field after a layer; the widest branch counts."""
    if isinstance(layer, Branches):
        ends = []
        for chain in layer._chains:
            seen = (height, width, stride)
            for names in chain:
                options = [through(getattr(layer, name), *seen) for name in names]
                seen = (
                    max(option[0] for option in options),
                    max(option[1] for option in options),
                    options[0][2],
                )
            ends.append(seen)
        return max(e[0] for e in ends), max(e[1] for e in ends), ends[0][2]
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel: Any = layer.kernel_size
        tall, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        step: Any = layer.stride
        step = step[0] if isinstance(step, tuple) else step
        return height + (tall - 1) * stride, width + (wide - 1) * stride, stride * step
    seen = (height, width, stride)
    for child in layer.children():
        seen = through(child, *seen)
    return seen
