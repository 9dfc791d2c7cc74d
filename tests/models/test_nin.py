"""NIN: what the mlpconv and the pooling compute, and where the released forms differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backbones.models import build, find_row, make
from backbones.models.nin import MLPConv, mlpconv


def test_an_mlpconv_is_a_perceptron_at_every_position() -> None:
    block = mlpconv(MLPConv(3, 1, 1, (4, 5, 6)), 2, 10).double()
    x = np.random.Generator(np.random.PCG64(0)).normal(size=(1, 2, 5, 5))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    state = [parameter.detach().numpy() for parameter in block.parameters()]
    expected = np.empty((6, 5, 5))
    for row in range(5):
        for column in range(5):
            v = padded[0, :, row : row + 3, column : column + 3].reshape(-1)
            for weight, bias in zip(state[::2], state[1::2], strict=True):
                v = np.maximum(weight.reshape(len(bias), -1) @ v + bias, 0)
            expected[:, row, column] = v
    np.testing.assert_allclose(block(torch.tensor(x))[0].detach().numpy(), expected, atol=1e-12)


def test_the_logits_are_the_averages_of_the_class_maps() -> None:
    model: Any = build("nin_tiny", seed=0).eval()
    maps = torch.rand(3, 8, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.head(maps)
        expected = model.classifier(maps).numpy().mean(axis=(2, 3))
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert logits.min() >= 0, "the last ReLU stays"


def test_the_two_released_cifar_networks_differ_in_one_pooling() -> None:
    authors: Any = build("nin_cifar10", seed=0)
    caffe: Any = build("nin_cifar10_caffe", seed=0)
    assert isinstance(authors.features.pool2, nn.MaxPool2d)
    assert isinstance(caffe.features.pool2, nn.AvgPool2d)
    assert isinstance(caffe.features.pool1, nn.MaxPool2d)
    assert [d.field for d in caffe.row.deviations] == ["second_pool"]
    assert [d.field for d in authors.row.deviations] == ["init"]
    caffe.load_state_dict(authors.state_dict())
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).mul(100)
    assert not torch.equal(authors.eval()(x), caffe.eval()(x))


def test_average_pooling_at_the_edge_counts_real_pixels_only() -> None:
    """Caffe's window over the edge of a 16 px map divides by what it covers, not by 9."""
    caffe: Any = build("nin_cifar10_caffe")
    ones = torch.ones(1, 1, 16, 16)
    assert torch.equal(caffe.features.pool2(ones), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("nin_cifar10", ["pool1", "pool2"]),
        ("nin_mnist", ["pool1", "pool2"]),
        ("nin_imagenet", ["pool3"]),
        ("nin_fashion", []),
    ],
)
def test_dropout_stands_where_the_authors_put_it(name: str, after: list[str]) -> None:
    with torch.device("meta"):
        model: Any = make(*find_row(name))
    names = [child for child, _ in model.features.named_children()]
    dropped = [names[i - 1] for i, child in enumerate(names) if child.startswith("drop")]
    assert dropped == after
    assert all(layer.p == 0.5 for layer in model.modules() if isinstance(layer, nn.Dropout))


def test_the_start_has_the_released_spread() -> None:
    cifar: Any = build("nin_cifar10_caffe", seed=0)
    assert cifar.features.mlpconv2[0].weight.std().item() == pytest.approx(0.05, rel=0.03)
    model: Any = build("nin_imagenet", seed=0)
    expected = {"features.mlpconv1.0": 0.01, "features.mlpconv1.2": 0.05, "classifier.4": 0.01}
    for path, std in expected.items():
        layer = model.get_submodule(path)
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
        assert not layer.bias.any()


def test_a_row_changed_with_replace_says_what_it_deviates_in() -> None:
    network_type, row = find_row("nin_cifar10")
    changed: Any = replace(row, dropout_after=())  # type: ignore[type-var]
    model: Any = make(network_type, changed)
    assert not any(isinstance(layer, nn.Dropout) for layer in model.modules())
    assert [d.field for d in model.row.deviations] == ["dropout_after", "init"]
