"""AlexNet: two towers written out, what the rows differ in, and how the networks start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.inspection.trace import trace
from backbones.models import build, find_row, make
from backbones.models.alexnet import AUTHORS_CODE, RELU_POOL_LRN, TowerNorm
from backbones.nn.lrn import K_ALPHA, LocalResponseNorm


def on_meta(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    with torch.device("meta"):
        return make(network_type, replace(row, **changes))  # type: ignore[type-var]


def written_out_lrn(a: Tensor, k: float, alpha: float) -> Tensor:
    """Section 3.3, map by map."""
    maps = a.shape[1]
    b = [
        a[:, i] / (k + alpha * a[:, max(0, i - 2) : i + 3].square().sum(1)) ** 0.75
        for i in range(maps)
    ]
    return torch.stack(b, 1)


def two_towers(state: Mapping[str, Tensor], x: Tensor, authors: bool) -> Tensor:
    """Figure 2 with two towers that meet where the paper's arrows cross.

    Args:
        state: of the grouped network.
        x: images, 224 px.
        authors: the order of the author's configuration, each tower normalised by itself.
    """
    canvas = x.new_zeros(*x.shape[:2], 227, 227)
    canvas[:, :, :224, :224] = x

    def half(name: str, tower: int) -> Tensor:
        rows = state[name].shape[0] // 2
        return state[name][tower * rows : (tower + 1) * rows]

    def convolve(n: str, tower: int, seen: Tensor, stride: int, padding: int) -> Tensor:
        weight, bias = half(f"features.{n}.weight", tower), half(f"features.{n}.bias", tower)
        return F.conv2d(seen, weight, bias, stride, padding)

    def normalise(pair: list[Tensor]) -> list[Tensor]:
        if authors:
            return [written_out_lrn(maps, *K_ALPHA["printed"]) for maps in pair]
        both = written_out_lrn(torch.cat(pair, 1), *K_ALPHA["printed"])
        return list(both.chunk(2, 1))

    def pool(maps: Tensor) -> Tensor:
        return F.max_pool2d(maps, 3, 2)

    towers = (0, 1)
    pair = [convolve("0", t, canvas, 4, 0) for t in towers]
    if authors:
        pair = [torch.relu(pool(maps)) for maps in normalise(pair)]
    else:
        pair = [pool(maps) for maps in normalise([torch.relu(maps) for maps in pair])]
    pair = [torch.relu(convolve("3", t, pair[t], 1, 2)) for t in towers]
    pair = [pool(maps) for maps in normalise(pair)]
    crossed = torch.cat(pair, 1)
    pair = [torch.relu(convolve("6", t, crossed, 1, 1)) for t in towers]
    pair = [torch.relu(convolve("8", t, pair[t], 1, 1)) for t in towers]
    pair = [pool(torch.relu(convolve("10", t, pair[t], 1, 1))) for t in towers]
    crossed = torch.cat([maps.flatten(1) for maps in pair], 1)
    for name in ("1", "4"):
        weight, bias = f"classifier.{name}.weight", f"classifier.{name}.bias"
        halves = [F.linear(crossed, half(weight, t), half(bias, t)) for t in towers]
        crossed = torch.cat([torch.relu(units) for units in halves], 1)
    return F.linear(crossed, state["classifier.6.weight"], state["classifier.6.bias"])


@pytest.mark.parametrize("authors", [False, True])
def test_groups_are_two_towers_that_cross(authors: bool) -> None:
    network_type, row = find_row("alexnet_2012")
    narrow = {"maps": (12, 24, 32, 32, 16), "hidden": 64, "init": "he", "num_classes": 7}
    if authors:
        narrow |= {"after_conv": AUTHORS_CODE, "lrn_per_tower": True}
    torch.manual_seed(0)
    model: Any = make(network_type, replace(row, **narrow)).double().eval()  # type: ignore[type-var]
    x = torch.randn(2, 3, 224, 224, dtype=torch.float64) * 60  # so large that the LRN shows
    mine, theirs = model(x), two_towers(model.state_dict(), x, authors)
    assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max())
    other = two_towers(model.state_dict(), x, not authors)
    assert (theirs - other).abs().max() > 1e-3 * theirs.abs().max()


def test_a_tower_is_normalised_as_if_it_were_alone() -> None:
    a = torch.randn(2, 12, 3, 4, generator=torch.Generator().manual_seed(0)) * 50
    expected = torch.cat([LocalResponseNorm()(half) for half in a.chunk(2, 1)], 1)
    # A processor's vectors end elsewhere in a half than in the whole, and a power at their end is
    # another function's: equal to a few units in the last place of fp32.
    torch.testing.assert_close(TowerNorm()(a), expected, rtol=8 * torch.finfo(a.dtype).eps, atol=0)
    whole = LocalResponseNorm()(a)
    assert ((whole - expected).abs() > 0.01 * expected.abs()).any()


@pytest.mark.parametrize(
    ("constants", "k", "alpha"),
    [("printed", 2, 5e-4), ("cuda-convnet", 2, 1e-4), ("caffe", 1, 1e-4)],
)
def test_three_meanings_of_the_same_printed_constants(
    constants: Any, k: float, alpha: float
) -> None:
    """In PyTorch's layer, which divides alpha by n."""
    norm = on_meta("alexnet_2012", lrn=constants).features.norm1
    x = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0)) * 50
    assert torch.allclose(norm(x), nn.LocalResponseNorm(5, alpha, 0.75, k)(x), rtol=1e-6)


def test_neurons_are_as_many_as_section_3_5_prints() -> None:
    """All but the first number, 253,440, which no map of 55x55 or 96 maps explains."""
    layers = {layer.name: math.prod(layer.output) for layer in trace("alexnet_2012")}
    names = [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)]
    assert layers["features.0"] == 55 * 55 * 96 == 290_400
    printed = [186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert [layers[name] for name in names[1:]] == printed


def test_parameters_of_each_layer() -> None:
    """Kernels as figure 2 prints them: 11x11x3, 5x5x48, 3x3x256, 3x3x192, 3x3x192."""
    params = [layer.params for layer in trace("alexnet_2012") if layer.params]
    assert params == [
        (11 * 11 * 3 + 1) * 96,
        (5 * 5 * 48 + 1) * 256,
        (3 * 3 * 256 + 1) * 384,
        (3 * 3 * 192 + 1) * 384,
        (3 * 3 * 192 + 1) * 256,
        (6 * 6 * 256 + 1) * 4096,
        (4096 + 1) * 4096,
        (4096 + 1) * 1000,
    ]


def test_the_first_map_is_rounded_up_as_in_the_authors_code() -> None:
    convolution = on_meta("alexnet_2012").features[:2]
    for px in range(64, 260):
        side = convolution(torch.empty(1, 3, px, px, device="meta")).shape[-1]
        assert side == 1 + math.ceil((px - 11) / 4), px


def test_order_of_normalisation_and_pooling() -> None:
    conv, relu, lrn, pool = nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d
    expected = {
        "relu lrn pool": [conv, relu, lrn, pool],
        "relu pool lrn": [conv, relu, pool, lrn],
        "lrn pool relu": [conv, lrn, pool, relu],
        "relu pool": [conv, relu, pool],
    }
    for words, kinds in expected.items():
        model = on_meta("alexnet_caffe", after_conv=(words, words))
        found = [type(layer) for layer in model.features]
        assert found[: 2 * len(kinds)] == kinds * 2
        assert found[2 * len(kinds) :] == [conv, relu, conv, relu, conv, relu, pool]


def test_names_stay_torchvisions_whatever_the_order() -> None:
    expected = {
        f"{part}.{n}.{what}"
        for part, numbers in (("features", (0, 3, 6, 8, 10)), ("classifier", (1, 4, 6)))
        for n in numbers
        for what in ("weight", "bias")
    }
    for name in ("alexnet", "alexnet_2012", "alexnet_caffe", "alexnet_tutorial", "alexnet_tiny"):
        assert on_meta(name).state_dict().keys() == expected
    assert on_meta("alexnet_2012", after_conv=AUTHORS_CODE).state_dict().keys() == expected


def test_stages_end_with_what_follows() -> None:
    ends = dict(on_meta("alexnet_2012", after_conv=RELU_POOL_LRN).stages)
    assert (ends["conv1"], ends["pool1"]) == ("features.1", "features.norm1")
    ends = dict(on_meta("alexnet_2012", after_conv=AUTHORS_CODE).stages)
    assert (ends["conv1"], ends["pool1"]) == ("features.norm1", "features.2")
    assert on_meta("alexnet").cam_layer == "features.11"


def test_dropout_and_relu_in_the_head() -> None:
    linear, relu, drop = nn.Linear, nn.ReLU, nn.Dropout
    expected = {
        "alexnet": [drop, linear, relu, drop, linear, relu, linear],
        "alexnet_2012": [linear, relu, drop, linear, relu, drop, linear],
        "alexnet_tutorial": [linear, linear, linear],
    }
    for name, kinds in expected.items():
        assert [type(layer) for layer in on_meta(name).classifier] == kinds
    repaired = on_meta("alexnet_tutorial", head_relu=True, dropout_after=(6, 7))
    assert [type(layer) for layer in repaired.classifier] == expected["alexnet_2012"]
    assert {m.p for m in repaired.modules() if isinstance(m, nn.Dropout)} == {0.5}
    assert not {"head_relu", "dropout_after"} & {d.field for d in repaired.row.deviations}


def test_poolings_overlap_but_for_the_tutorials_last() -> None:
    sizes = {
        name: [m.kernel_size for m in on_meta(name).features if isinstance(m, nn.MaxPool2d)]
        for name in ("alexnet_2012", "alexnet_tutorial")
    }
    assert sizes == {"alexnet_2012": [3, 3, 3], "alexnet_tutorial": [3, 3, 2]}


def test_deviations_follow_the_fields() -> None:
    names = ("alexnet_2012", "alexnet_caffe", "alexnet", "alexnet_tutorial")
    fields = {name: {d.field for d in find_row(name)[1].deviations} for name in names}
    single = {"towers", "padding_px", "after_conv", "dropout_after", "init", "pool_to_px"}
    assert fields == {
        "alexnet_2012": {"padding_px", "pool_to_px"},
        "alexnet_caffe": {"input_px", "lrn", "init", "pool_to_px"},
        "alexnet": {"maps", *single},
        "alexnet_tutorial": {"last_pool_px", "head_relu", *single},
    }


@pytest.mark.parametrize(
    ("name", "stds", "biases"),
    [
        ("alexnet_2012", [0.01] * 8, [0, 1, 0, 1, 1, 1, 1, 0]),
        (
            "alexnet_caffe",
            [0.01] * 5 + [0.005, 0.005, 0.01],
            [0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0],
        ),
    ],
)
def test_the_start_is_that_of_section_5_or_of_caffe(
    name: str, stds: list[float], biases: list[float]
) -> None:
    network_type, row = find_row(name)
    torch.manual_seed(0)
    model: Any = make(network_type, replace(row, hidden=256))  # type: ignore[type-var]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer, std, bias in zip(layers, stds, biases, strict=True):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
        assert abs(layer.weight.mean().item()) < 0.03 * std
        assert (layer.bias == torch.tensor(bias)).all()


def test_the_public_form_starts_as_pytorchs_layers_do() -> None:
    model: Any = build("alexnet", num_classes=10, seed=0)
    torch.manual_seed(0)
    assert torch.equal(nn.Conv2d(3, 64, 11, 4, 2).weight, model.features[0].weight)
