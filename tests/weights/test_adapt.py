"""What fits is loaded, what must change is changed and said, and anything else is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones import catalog
from backbones.errors import BadWeights
from backbones.models import build, find_row, make
from backbones.weights.adapt import adapt_channels, load_adapted

LIGHT = [name for name in catalog.names() if catalog.facts(name).params < 70_000]


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", LIGHT)
def test_the_same_network_loads_everything_and_says_nothing(name: str) -> None:
    source, target = build(name, seed=1), build(name, seed=2)
    assert load_adapted(target, source.state_dict()) == ()
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("lenet5", {"output.weight", "output.bias"}),
        ("lenet5_1998", {"output.codes"}),
        ("nin_cifar10", {"classifier.4.weight", "classifier.4.bias"}),
        (
            "nin_fashion",
            {f"classifier.{n}.{kind}" for n in (0, 2, 4) for kind in ("weight", "bias")},
        ),
        ("vgg_tiny", {"classifier.6.weight", "classifier.6.bias"}),
    ],
)
def test_other_classes_keep_everything_but_the_head(name: str, head: set[str]) -> None:
    source, target = build(name, seed=1), build(name, num_classes=4, seed=2)
    before = snapshot(target)
    (change,) = load_adapted(target, source.state_dict())
    assert "4 classes instead of 10" in change
    assert all(key.rpartition(".")[0] in change for key in head)
    for key, value in target.state_dict().items():
        expected = before[key] if key in head else source.state_dict()[key]
        assert torch.equal(value, expected), key


@pytest.mark.parametrize("name", [name for name in LIGHT if name != "inception_v2_tiny"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_other_channels_keep_the_answer_on_a_grey_image(name: str, channels: int) -> None:
    """An image whose channels are all equal is answered as before."""
    source: Any = build(name, seed=1).double().eval()
    target: Any = build(name, in_channels=channels, seed=2).double().eval()
    changes = load_adapted(target, source.state_dict())
    assert len(changes) == (channels != source.in_channels)
    if changes:
        assert f"{channels} channels instead of {source.in_channels}" in changes[0]
    px = min(source.row.input_px, 48)
    grey = torch.rand(2, 1, px, px, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        expected = source(grey.expand(-1, source.in_channels, -1, -1))
        found = target(grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(found, expected)


def test_a_separable_first_convolution_starts_afresh_and_nothing_else() -> None:
    """Its filters a channel are too few to add up those of several channels."""
    source, target = build("inception_v2_tiny", seed=1), build("inception_v2_tiny", None, 1, seed=2)
    before = snapshot(target)
    (change,) = load_adapted(target, source.state_dict())
    assert "1 channels instead of 3" in change
    assert "afresh" in change
    fresh = {"features.conv1.depthwise.weight", "features.conv1.pointwise.weight"}
    for key, value in target.state_dict().items():
        expected = before[key] if key in fresh else source.state_dict()[key]
        assert torch.equal(value, expected), key


def test_channels_are_summed_or_shared_out() -> None:
    weight = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1)
    assert adapt_channels(weight, 1).flatten().tolist() == [7]
    assert adapt_channels(weight, 2).flatten().tolist() == [5, 2]
    assert adapt_channels(weight, 3).flatten().tolist() == [1, 2, 4]
    assert adapt_channels(weight, 4).flatten().tolist() == [0.5, 2, 4, 0.5]
    assert adapt_channels(weight[:, :1] * 6, 3).flatten().tolist() == [2, 2, 2]


def test_classes_and_channels_may_both_change() -> None:
    source, target = build("vgg_tiny", seed=1), build("vgg_tiny", 2, 1, seed=2)
    changes = load_adapted(target, source.state_dict())
    assert [change.partition(":")[0] for change in changes] == ["features.0", "classifier.6"]


def on_meta(name: str, classes: int | None = None) -> Any:
    with torch.device("meta"):
        return make(*find_row(name), classes)


@pytest.mark.parametrize(
    ("target", "source", "names"),
    [
        ("vgg11", "vgg11_bn", "unknown .*features"),
        ("vgg11_bn", "vgg11", "missing .*features"),
        ("vgg16", "vgg19", "unknown"),
        ("vgg13", "vgg11", "missing"),
        ("vgg16_bn", "vgg16_bn_nobias", r"13 tensors missing .*features\.0\.bias"),
        ("vgg16", "vgg16_1x1", r"features\.14\.weight is \(256, 256, 1, 1\), expected"),
        ("lenet5", "vgg_tiny", "not lenet5's"),
        ("nin_mnist", "nin_cifar10", r"mlpconv1\.0\.weight is \(192"),
        ("nin_cifar10", "nin_mnist", r"mlpconv1\.0\.weight is \(96"),
    ],
)
@pytest.mark.parametrize("classes", [None, 5])
def test_the_weights_of_another_network_are_refused(
    target: str, source: str, names: str, classes: int | None
) -> None:
    with pytest.raises(BadWeights, match=names):
        load_adapted(on_meta(target, classes), on_meta(source).state_dict())


def test_a_head_that_does_not_agree_with_itself_is_refused() -> None:
    target = build("vgg_tiny", seed=0)
    before = snapshot(target)
    state = snapshot(build("vgg_tiny", num_classes=4, seed=1))
    state["classifier.6.bias"] = torch.zeros(5)
    with pytest.raises(BadWeights, match=r"classifier\.6"):
        load_adapted(target, state)
    state["classifier.6.bias"] = torch.zeros(4, 4)
    with pytest.raises(BadWeights, match=r"classifier\.6"):
        load_adapted(target, state)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_files_from_before_batch_counters_load() -> None:
    source, target = build("vgg_tiny", seed=1), build("vgg_tiny", seed=2)
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("batches_tracked")}
    assert load_adapted(target, state) == ()
    assert torch.equal(target.get_buffer("features.1.num_batches_tracked"), torch.tensor(0))


def test_frozen_parameters_stay_frozen() -> None:
    source, target = build("lenet5", seed=1), build("lenet5", num_classes=3, seed=2)
    target.get_parameter("c1.weight").requires_grad_(False)
    load_adapted(target, source.state_dict())
    assert not target.get_parameter("c1.weight").requires_grad
    assert target.get_parameter("c3.weight").requires_grad
