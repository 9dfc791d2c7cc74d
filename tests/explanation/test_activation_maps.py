"""CAM and Grad-CAM: closed forms, the identity between them, and mirrored networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones import catalog
from backbones.errors import NotFound, WrongUse
from backbones.explanation import cam, feature_maps, find_layer, first_filters, grad_cam
from backbones.models import build

TINY = [name for name in catalog.names() if name.endswith("_tiny")]
FULLY_CONNECTED = {"lenet5_tiny", "alexnet_tiny", "vgg_tiny"}
AVERAGED = [name for name in TINY if name not in FULLY_CONNECTED]
# Sides at which every stride and every pooling meets both edges of a map alike.
MIRRORED = {
    "nin_tiny": 33,
    "resnet_tiny": 65,
    "resnet_cifar_tiny": 33,
    "vgg_tiny": 64,
    "lenet5_tiny": 16,
    "alexnet_tiny": 93,
    "densenet_tiny": 37,
    "googlenet_tiny": 77,
    "inception_v2_tiny": 65,
    "inception_v3_tiny": 45,
    "inception_v4_tiny": 45,
    "inception_resnet_tiny": 45,
    "mobilenet_v1_tiny": 33,
    "mobilenet_v2_tiny": 33,
    "efficientnet_tiny": 33,
}


def make(name: str) -> Any:
    """A network whose batch norms have seen something, so that no map is dead."""
    network: Any = build(name, seed=0)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images(network, count=8))
    return network.eval()


def images(network: Any, count: int = 3, px: int | None = None) -> Tensor:
    side = px or max(network.row.input_px, getattr(network.row, "auxiliary_min_px", 0))
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, network.in_channels, side, side, generator=generator)


class ByHand(nn.Module):
    """Two maps: the image, and minus twice the image plus one; then a fully connected layer."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.relu = nn.ReLU(inplace=in_place)
        self.output = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1))
            self.conv.bias.copy_(torch.tensor([0.0, 1.0]))
            self.output.weight.copy_(torch.tensor([[1, 2, 3, 6, 0, 0, 4, 4.0], [1] * 8]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.relu(self.conv(x)).flatten(1))
        return logits


@pytest.mark.parametrize("in_place", [False, True])
def test_grad_cam_of_one_convolution_by_hand(in_place: bool) -> None:
    x = torch.tensor([[[[1.0, 2.0], [-1.0, 0.5]]]])
    # Maps before the ReLU: [1 2; -1 .5] and [-1 -3; 3 0]. It lets through 1, 2, .5 and 3 alone, so
    # the gradients of class 0 are [1 2; 0 6] and [0 0; 4 0]: means 9/4 and 1.
    expected = torch.tensor([[9 / 4 - 1, 18 / 4 - 3], [-9 / 4 + 3, 9 / 8 + 0]])
    found = grad_cam(ByHand(in_place), x, [0], layer="conv", positive=False)
    torch.testing.assert_close(found.values, expected[None, None])
    torch.testing.assert_close(
        grad_cam(ByHand(in_place), -x, [0], layer="conv").values.min(), torch.tensor(0.0)
    )


def test_an_in_place_relu_after_the_layer_does_not_reach_its_maps() -> None:
    x = torch.tensor([[[[1.0, 2.0], [-1.0, 0.5]]]])
    plain, in_place = (feature_maps(ByHand(each), x, "conv") for each in (False, True))
    assert plain.min() < 0
    assert torch.equal(plain, in_place)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("name", AVERAGED)
def test_cam_is_grad_cam_times_the_positions(name: str, positive: bool) -> None:
    network = make(name)
    x, classes = images(network), [0, 2, 1]
    found = cam(network, x, classes, positive=positive)
    other = grad_cam(network, x, classes, positive=positive)
    positions = found.values[0, 0].numel()
    # Before negative values go: a start that another torch samples may leave none above 0.
    scale = float(cam(network, x, classes, positive=False).values.abs().max())
    assert scale > 1e-4
    torch.testing.assert_close(found.values, other.values * positions, rtol=1e-3, atol=1e-5 * scale)
    torch.testing.assert_close(found.logits, other.logits)
    assert found.values.shape[:2] == (3, 3)


@pytest.mark.parametrize("name", AVERAGED)
def test_the_mean_of_a_cam_is_the_logit_without_its_bias(name: str) -> None:
    network = make(name)
    found = cam(network, images(network), list(range(network.num_classes)))
    means = found.values.mean(dim=(2, 3))
    offset = found.logits - means
    torch.testing.assert_close(offset, offset[:1].expand_as(offset), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", sorted(FULLY_CONNECTED))
def test_cam_refuses_a_fully_connected_head_and_grad_cam_does_not(name: str) -> None:
    network = make(name)
    x = images(network)
    with pytest.raises(WrongUse, match="use grad_cam"):
        cam(network, x)
    found = grad_cam(network, x, positive=False)
    assert torch.equal(found.targets[:, 0], found.logits.argmax(1))
    assert found.values.abs().max() > 0


def mirror(network: nn.Module) -> nn.Module:
    """Every kernel from right to left: the network that answers mirrored images alike."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.flip(3)
    return network


@pytest.mark.parametrize("name", TINY)
def test_maps_of_a_mirrored_image_are_mirrored(name: str) -> None:
    network = make(name)
    x = images(network, px=MIRRORED[name])
    before = grad_cam(network, x, [1], positive=False)
    unmirrored = grad_cam(network, x.flip(3), [1], positive=False)
    after = grad_cam(mirror(network), x.flip(3), [1], positive=False)
    assert before.values.shape[3] > 1
    scale = float(before.values.abs().max())
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.values, before.values.flip(3), rtol=1e-3, atol=1e-4 * scale)
    wrong = (unmirrored.values - before.values.flip(3)).abs().max()
    assert wrong > 0.01 * scale, "the network cannot tell left from right"


@pytest.mark.parametrize("name", TINY)
def test_asking_changes_nothing(name: str) -> None:
    network = make(name).train()
    next(network.children()).eval()
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    modes = [layer.training for layer in network.modules()]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        grad_cam(network, images(network))
        assert not torch.is_grad_enabled()
    assert [layer.training for layer in network.modules()] == modes
    assert [p.requires_grad for p in parameters] == [False] + [True] * (len(parameters) - 1)
    assert torch.equal(parameters[1].grad, torch.ones_like(parameters[1]))
    assert all(p.grad is None for p in parameters if p is not parameters[1])
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_failure_changes_nothing_either() -> None:
    network = build("vgg_tiny").train()
    with pytest.raises(WrongUse, match="no class 10"):
        grad_cam(network, torch.zeros(1, 3, 32, 32), [10])
    assert network.training
    assert not any(layer._forward_hooks for layer in network.modules())
    assert torch.is_grad_enabled()


def test_a_frozen_network_in_inference_mode_gives_the_same_map() -> None:
    network = make("vgg_tiny")
    x = images(network)
    expected = grad_cam(network, x).values
    network.requires_grad_(False)
    with torch.inference_mode():
        found = grad_cam(network, x).values
    # in the precision of float32: what needs no gradients may go through other kernels
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["vgg_tiny", "resnet_tiny"])
def test_a_batch_is_its_images_one_by_one(name: str) -> None:
    network = make(name)
    x = images(network)
    classes = torch.tensor([[0, 1], [2, 3], [4, 5]])
    together = grad_cam(network, x, classes, positive=False).values
    for place in range(3):
        alone = grad_cam(network, x[place : place + 1], classes[place].tolist(), positive=False)
        torch.testing.assert_close(alone.values[0], together[place], rtol=1e-4, atol=1e-6)


def test_any_module_is_explained_at_a_layer_that_is_named() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with pytest.raises(WrongUse, match="name one, such as '0'"):
        grad_cam(network, x)
    found, other = grad_cam(network, x, layer="1"), cam(network, x, layer="1", positive=True)
    torch.testing.assert_close(found.values * 49, other.values)
    with pytest.raises(WrongUse, match=r"gives \(2, 4\), expected maps"):
        grad_cam(network, x, layer="3")


def test_networks_of_torchvision(torchvision) -> None:
    """Its DenseNet rectifies the maps of `features` in place after they were handed out."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64, 64)
    residual = torchvision.models.resnet18(weights=None)
    found, other = cam(residual, x, layer="layer4"), grad_cam(residual, x, layer="layer4")
    torch.testing.assert_close(found.values.relu(), 4 * other.values, rtol=1e-3, atol=1e-5)
    dense = torchvision.models.densenet121(weights=None)
    assert feature_maps(dense, x, "features").min() < 0
    with pytest.raises(WrongUse, match="use grad_cam"):
        cam(dense, x, layer="features")
    assert grad_cam(dense, x, layer="features").values.shape == (2, 1, 2, 2)


def test_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no layer 'feature.18'.* Did you mean .*features.18"):
        find_layer(build("vgg_tiny"), "feature.18")
    assert find_layer(build("vgg_tiny"), "maxpool 2") == "features.7"


def test_a_layer_that_does_not_run_or_matter_is_refused() -> None:
    network = build("googlenet_tiny")
    (head, *_) = network.heads.values()  # type: ignore[union-attr]
    convolution = next(
        f"{head}.{path}" for path, layer in network.get_submodule(head).named_modules()
        if isinstance(layer, nn.Conv2d)
    )  # fmt: skip
    with pytest.raises(WrongUse, match="does not run"):
        grad_cam(network, images(network), layer=convolution)


def test_first_filters_are_a_copy() -> None:
    network = build("resnet_tiny")
    path, filters = first_filters(network)
    filters.zero_()
    assert path == "conv1"
    assert network.get_submodule(path).weight.abs().max() > 0  # type: ignore[operator, union-attr]
    with pytest.raises(WrongUse, match="no convolution"):
        first_filters(nn.Linear(2, 2))
