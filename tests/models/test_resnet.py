"""ResNet, both families: the paper's figures, a second transcription, how the network starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.inspection.trace import count
from backbones.models import build, find_row, make
from backbones.nn.residual import BasicBlock, ZeroMaps

IMAGENET = [name for name in catalog.names() if catalog.facts(name).family == "resnet"]
CIFAR = [name for name in catalog.names() if catalog.facts(name).family == "resnet_cifar"]
NAMES = [name for name in (*IMAGENET, *CIFAR) if not name.endswith("_tiny")]


def on_meta(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    changed: Any = replace(row, **changes)  # type: ignore[type-var]
    with torch.device("meta"):
        return make(network_type, changed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_drawn_norms(network: nn.Module) -> Any:
    """In evaluation mode and float64, with batch norms that do something."""
    for number, layer in enumerate(network.modules()):
        if isinstance(layer, nn.BatchNorm2d):
            maps = layer.num_features
            layer.weight.data = noise(maps, seed=number).mul(0.2).add(1)
            layer.bias.data = noise(maps, seed=number + 1).mul(0.2)
            layer.running_mean = noise(maps, seed=number + 2).mul(0.2)
            layer.running_var = noise(maps, seed=number + 3).abs().add(0.5)
    return network.double().eval()


@pytest.mark.parametrize("name", NAMES)
def test_weight_layers_are_as_many_as_the_name_says(name: str) -> None:
    depth = int("".join(c for c in name.split("_")[0] if c.isdigit()))
    layers = [
        path
        for path, layer in on_meta(name).named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "downsample" not in path
    ]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("resnet18_a", 1.8),
        ("resnet34_a", 3.6),
        ("resnet50_v1", 3.8),
        ("resnet101_v1", 7.6),
        ("resnet152_v1", 11.3),
    ],
)
def test_table_1_prints_the_arithmetic_of_the_papers_own_form(name: str, billions: float) -> None:
    assert catalog.facts(name).macs / 1e9 == pytest.approx(billions, abs=0.06)
    if name.endswith("_v1"):
        assert catalog.facts(name.removesuffix("_v1")).macs / 1e9 > billions + 0.15


@pytest.mark.parametrize(
    ("depth", "millions"),
    [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"), (1202, "19.4")],
)
def test_table_6_prints_the_parameters(depth: int, millions: str) -> None:
    decimals = len(millions.partition(".")[2])
    found = catalog.facts(f"resnet{depth}_cifar").params / 1e6
    assert f"{found:.{decimals}f}" == millions


@pytest.mark.parametrize(
    ("depth", "option", "params", "macs"),
    [
        (20, "B", 272_474, 40_813_184),
        (20, "C", 283_962, 42_648_192),
        (32, "B", 466_906, 69_124_736),
        (32, "C", 489_594, 72_532_608),
        (44, "B", 661_338, 97_436_288),
        (44, "C", 695_226, 102_417_024),
        (56, "B", 855_770, 125_747_840),
        (56, "C", 900_858, 132_301_440),
        (110, "B", 1_730_714, 253_149_824),
        (110, "C", 1_826_202, 266_781_312),
    ],
)
def test_the_other_shortcuts_cost_what_they_should(
    depth: int, option: str, params: int, macs: int
) -> None:
    found = count(on_meta(f"resnet{depth}_cifar", shortcut=option))
    assert (found.params, found.macs) == (params, macs)


def convolved(state: dict[str, Tensor], at: str, x: Tensor, stride: int) -> Tensor:
    """Convolution and batch norm at `at`, such as "layer1.0.conv2", with padding that fits."""
    weight = state[f"{at}.weight"]
    norm = at.replace("conv", "bn") if "conv" in at else at.replace("downsample.0", "downsample.1")
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    scale = state[f"{norm}.weight"] / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{norm}.bias"][:, None, None]


def zero_maps(x: Tensor, maps: int, stride: int, before: int) -> Tensor:
    """Option A, pixel by pixel."""
    n, channels, height, width = x.shape
    y = torch.zeros(n, maps, -(-height // stride), -(-width // stride), dtype=x.dtype)
    for c in range(channels):
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                y[:, before + c, i, j] = x[:, c, stride * i, stride * j]
    return y


def pooled(x: Tensor, padding: int) -> Tensor:
    """Max of 3x3 windows every 2 px; with no padding the last one hangs over the edge."""
    n, maps, height, width = x.shape
    outs = [
        (s + 2 * padding - 3) // 2 + 1 if padding else -(-(s - 3) // 2) + 1 for s in x.shape[2:]
    ]
    y = torch.empty(n, maps, *outs, dtype=x.dtype)
    for i in range(outs[0]):
        for j in range(outs[1]):
            top, left = 2 * i - padding, 2 * j - padding
            window = x[
                :, :, max(top, 0) : min(top + 3, height), max(left, 0) : min(left + 3, width)
            ]
            y[:, :, i, j] = window.amax(dim=(2, 3))
    return y


def second_transcription(network: Any, x: Tensor) -> Tensor:
    """The whole network from its tensors by name, written from figures 3 and 5 once more."""
    row, state = network.row, network.state_dict()
    imagenet = hasattr(row, "pool_padding")
    x = convolved(state, "conv1", x, 2 if imagenet else 1).clamp(min=0)
    if imagenet:
        x = pooled(x, row.pool_padding)
    for name in sorted({key.rsplit(".", 2)[0] for key in state if key.endswith("conv1.weight")}):
        if "." not in name:  # the first convolution
            continue
        first_of_stage = name.endswith(".0") and not name.startswith("layer1")
        stride = 2 if first_of_stage else 1
        bottleneck = f"{name}.conv3.weight" in state
        on_first = not bottleneck or row.stride_on == "1x1"
        y = convolved(state, f"{name}.conv1", x, stride if on_first else 1).clamp(min=0)
        y = convolved(state, f"{name}.conv2", y, 1 if on_first else stride)
        if bottleneck:
            y = convolved(state, f"{name}.conv3", y.clamp(min=0), 1)
        if f"{name}.downsample.0.weight" in state:
            y = y + convolved(state, f"{name}.downsample.0", x, stride)
        elif row.shortcut != "none":
            new = y.shape[1] - x.shape[1]
            around = row.shortcut == "A around"
            y = y + zero_maps(x, y.shape[1], stride, new // 2 if around else 0)
        x = y.clamp(min=0)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(
    ("name", "px"),
    [
        ("resnet50_v1", 45),
        ("resnet50", 45),
        ("resnet18_a", 37),
        ("resnet18_c", 37),
        ("plain18", 37),
        ("resnet20_cifar", 11),
        ("resnet_cifar_tiny", 11),
        ("plain20_cifar", 11),
    ],
)
def test_equals_a_second_transcription(name: str, px: int) -> None:
    network = with_drawn_norms(build(name, num_classes=3, seed=0))
    x = noise(2, 3, px, px + 4)
    with torch.no_grad():
        expected = second_transcription(network, x)
        assert expected.std() > 0
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_option_a_carries_maps_on_and_adds_zeros() -> None:
    x = noise(2, 3, 5, 6).numpy()
    for before, behind in ((0, 4), (2, 2)):
        found = ZeroMaps(2, before=before, behind=behind)(torch.tensor(x)).numpy()
        assert found.shape == (2, 7, 3, 3)
        np.testing.assert_array_equal(found[:, before : before + 3], x[:, :, ::2, ::2])
        assert not found[:, :before].any()
        assert not found[:, before + 3 :].any()


def test_a_block_that_adds_nothing_passes_its_input_on() -> None:
    block = BasicBlock(4, 4, 1, "B")
    nn.init.zeros_(block.bn2.weight)
    x = noise(2, 4, 6, 6).float().abs()
    assert torch.equal(block(x), x)
    twin = BasicBlock(4, 4, 1, "none")
    nn.init.zeros_(twin.bn2.weight)
    assert not twin(x).any()


def test_a_block_leaves_its_input_alone() -> None:
    """The addition in place must not be one into the maps that others may read."""
    for option in ("A", "B", "none"):
        x = noise(2, 4, 6, 6).float()
        before = x.clone()
        BasicBlock(4, 4, 1, option)(x)  # type: ignore[arg-type]
        assert torch.equal(x, before)


def test_where_the_stride_stands_and_that_names_do_not_tell() -> None:
    authors, distributed = on_meta("resnet50_v1"), on_meta("resnet50")
    assert [authors.layer2[0].conv1.stride, authors.layer2[0].conv2.stride] == [(2, 2), (1, 1)]
    assert [distributed.layer2[0].conv1.stride, distributed.layer2[0].conv2.stride] == [
        (1, 1),
        (2, 2),
    ]
    shapes = [{k: v.shape for k, v in n.state_dict().items()} for n in (authors, distributed)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "twin"), [("plain34", "resnet34_a"), ("plain56_cifar", "resnet56_cifar")]
)
def test_a_plain_twin_has_the_same_layers_without_shortcuts(name: str, twin: str) -> None:
    plain, residual = on_meta(name), on_meta(twin)
    assert plain.state_dict().keys() == residual.state_dict().keys()
    assert not any(isinstance(layer, ZeroMaps) for layer in plain.modules())
    assert (
        sum(isinstance(layer, ZeroMaps) for layer in residual.modules())
        == len([stage for stage in residual.stages if stage[1].startswith("layer")]) - 1
    )


def test_deviations_follow_the_fields() -> None:
    found = {name: [d.field for d in find_row(name)[1].deviations] for name in NAMES}
    assert found["resnet50_v1"] == []
    assert found["resnet50"] == ["stride_on", "pool_padding"]
    assert found["resnet18"] == found["resnet34_a"] == ["pool_padding"]
    assert found["resnet20_cifar"] == ["shortcut"]
    assert found["plain20_cifar"] == []
    for option, deviates in (("A", False), ("B", True), ("C", True)):
        assert bool(on_meta("resnet20_cifar", shortcut=option).row.deviations) == deviates


def test_the_start_has_the_spread_of_he_by_fan_out() -> None:
    model: Any = build("resnet18", num_classes=10, seed=0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            maps, _, height, width = layer.weight.shape
            expected = (2 / (maps * height * width)) ** 0.5
            noise = 5 / (2 * layer.weight.numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=noise)
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert not layer.bias.any()
    assert not model.fc.bias.any()
    assert model.fc.weight.abs().max() <= 512**-0.5
