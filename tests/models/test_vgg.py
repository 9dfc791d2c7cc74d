"""VGG: what tells the columns of Table 1 apart, and how the network starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from backbones.models import build, find_row, make
from backbones.nn.lrn import LocalResponseNorm


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return make(*find_row(name))


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("vgg11", 11),
        ("vgg11_lrn", 11),
        ("vgg13", 13),
        ("vgg16_1x1", 16),
        ("vgg16", 16),
        ("vgg19", 19),
    ],
)
def test_weight_layers_are_as_many_as_table_1_says(name: str, depth: int) -> None:
    layers = on_meta(name).modules()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers) == depth


def test_column_c_ends_its_last_three_stages_with_1x1() -> None:
    kernels = [m.kernel_size[0] for m in on_meta("vgg16_1x1").modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]


def test_the_one_lrn_follows_the_first_convolution() -> None:
    kinds = [type(layer) for layer in on_meta("vgg11_lrn").features]
    assert kinds[:4] == [nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d]
    assert kinds.count(LocalResponseNorm) == 1


def test_batch_norm_stands_between_convolution_and_relu_and_replaces_the_bias() -> None:
    for name, biased in (("vgg16_bn", True), ("vgg16_bn_nobias", False)):
        layers = list(on_meta(name).features)
        for at, layer in enumerate(layers):
            if isinstance(layer, nn.Conv2d):
                assert (layer.bias is not None) == biased
                assert isinstance(layers[at + 1], nn.BatchNorm2d)
                assert isinstance(layers[at + 2], nn.ReLU)


def test_nothing_is_pooled_away_at_224_px() -> None:
    """The adaptive pooling of the widely used form changes nothing at the paper's size."""
    f = torch.rand(1, 8, 7, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nn.AdaptiveAvgPool2d(7)(f), f)
    assert on_meta("vgg16").features(torch.empty(1, 3, 224, 224, device="meta")).shape[-1] == 7


def test_the_papers_start_is_a_variance_of_a_hundredth() -> None:
    network_type, row = find_row("vgg_tiny")
    torch.manual_seed(0)
    paper: Any = replace(row, init="paper", hidden=512)  # type: ignore[type-var]
    model: Any = make(network_type, paper)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 2000:
            assert layer.weight.std().item() == pytest.approx(0.1, rel=0.05)
            assert not layer.bias.any()
    assert "init" not in [d.field for d in model.row.deviations]


def test_deviations_follow_the_fields() -> None:
    fields = {
        name: [d.field for d in find_row(name)[1].deviations]
        for name in ("vgg16", "vgg16_bn", "vgg16_bn_nobias")
    }
    assert fields["vgg16"] == ["init", "pool_to_px"]
    assert fields["vgg16_bn"] == ["batch_norm", "init", "pool_to_px"]
    assert fields["vgg16_bn_nobias"] == ["batch_norm", "conv_bias", "init", "pool_to_px"]


def test_dropout_follows_the_first_two_fully_connected_layers() -> None:
    model: Any = build("vgg_tiny")
    kinds = [type(layer) for layer in model.classifier]
    fc = [nn.Linear, nn.ReLU, nn.Dropout]
    assert kinds == [*fc, *fc, nn.Linear]
    assert model.classifier[2].p == 0.5
