"""A head read as convolutions: the plain network at the training size, and place by place."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export
from torch.nn import functional as F

from backbones import catalog
from backbones.errors import WrongUse
from backbones.features.dense import Dense, dense
from backbones.models import build, find_row, make
from backbones.nn.meta import ShapesOnly

TINY = [name for name in catalog.names() if name.endswith("_tiny")]
SMALL = [*TINY, "lenet5", "lenet5_1998", "nin_cifar10", "resnet20_cifar"]
# A family each; the padding of others is computed from the size, which rounds otherwise.
FREE = [
    f"{family}_tiny" for family in ("lenet5", "vgg", "alexnet", "nin", "googlenet", "resnet")
] + ["densenet_tiny"]


def lively(name: str) -> Any:
    """A network in evaluation mode whose answers are not tiny, and whose norms do something."""
    model = build(name, seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            mean, var = layer.running_mean, layer.running_var
            assert mean is not None
            assert var is not None
            mean.copy_(torch.randn(mean.shape, generator=generator) * 0.1)
            var.copy_(torch.rand(var.shape, generator=generator) * 0.1 + 0.05)
    return model


def images(model: Any, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, model.in_channels, height, width, generator=generator)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    scale = expected.abs().max().item()
    assert scale > 0
    assert (found - expected).abs().max().item() <= 1e-5 * max(1.0, scale)


@pytest.mark.parametrize("name", [*SMALL, "alexnet", "resnet18", "googlenet", "inception_v1"])
@torch.no_grad()
def test_at_the_training_size_it_is_the_plain_network(name: str) -> None:
    model = lively(name)
    x = images(model, model.row.input_px, model.row.input_px)
    answer = dense(model)(x)
    assert answer.shape == (2, model.num_classes, 1, 1)
    assert_equal(answer[:, :, 0, 0], model(x))


@torch.no_grad()
def test_vgg16_at_full_size_is_the_plain_network() -> None:
    """The head with its 7x7 convolution, on random maps: what comes before it is the same."""
    model = build("vgg16", num_classes=10, seed=0).eval()
    f = torch.rand(1, 512, 7, 7, generator=torch.Generator().manual_seed(0))
    assert_equal(dense(model).head(f)[:, :, 0, 0], model.head(f))


@pytest.mark.parametrize("name", catalog.names())
def test_every_network_has_a_dense_reading(name: str) -> None:
    with ShapesOnly():
        model: Any = make(*find_row(name)).eval()
    px = model.row.input_px
    reader = dense(model)
    with torch.no_grad(), ShapesOnly():
        one = reader(torch.empty(1, model.in_channels, px, px, device="meta"))
        more = reader(torch.empty(1, model.in_channels, 2 * px, 3 * px, device="meta"))
    assert one.shape == (1, model.num_classes, 1, 1)
    assert more.shape[2] > 1
    assert more.shape[3] > more.shape[2]


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_each_place_is_the_heads_answer_to_the_window_there(name: str) -> None:
    model = lively(name)
    reader = dense(model)
    side = model.row.input_px
    x = images(model, 2 * side, 2 * side + 13)
    answer = reader(x)
    f = model.features(x)
    # NIN's last mlpconv pads, so that its window is one of the maps after it
    before: Any = nn.Identity() if name != "nin_tiny" else model.classifier[:1]
    after: Any = model.head if name != "nin_tiny" else _rest_of_nin(model)
    f = before(f)
    height, width = reader.window
    assert answer.shape[2:] == (f.shape[2] - height + 1, f.shape[3] - width + 1)
    for i in range(answer.shape[2]):
        for j in range(answer.shape[3]):
            window = f[:, :, i : i + height, j : j + width].clone()
            assert_equal(answer[:, :, i, j], after(window))


def _rest_of_nin(model: Any) -> Any:
    return lambda f: model.classifier[1:](f).mean(dim=(2, 3))


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
@torch.no_grad()
def test_without_padding_each_place_is_the_networks_answer_to_the_crop_there(name: str) -> None:
    """LeNet-5 reads words this way: a place every 4 px (section VII of its paper)."""
    model = lively(name)
    x = images(model, 48, 60)
    answer = dense(model)(x)
    assert answer.shape[2:] == ((48 - 32) // 4 + 1, (60 - 32) // 4 + 1)
    for i in range(answer.shape[2]):
        for j in range(answer.shape[3]):
            crop = x[:, :, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32]
            assert_equal(answer[:, :, i, j], model(crop))


@torch.no_grad()
def test_with_padding_a_crop_differs_as_the_docstring_says() -> None:
    model = lively("vgg_tiny")
    x = images(model, 64, 64)
    answer = dense(model)(x)
    assert (answer[:, :, 1, 1] - model(x[:, :, 32:, 32:])).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "px", "side"),
    [("vgg16", 384, 6), ("vgg16", 512, 10), ("vgg19", 256, 2), ("resnet50", 448, 8)],
)
def test_sides_of_the_map_follow_the_formula(name: str, px: int, side: int) -> None:
    """Five halvings, a 7x7 window: floor(px / 32) - 7 + 1."""
    with ShapesOnly():
        reader = dense(make(*find_row(name)).eval())
    with torch.no_grad(), ShapesOnly():
        assert reader(torch.empty(1, 3, px, px, device="meta")).shape == (1, 1000, side, side)
    assert side == px // 32 - 7 + 1


@torch.no_grad()
def test_a_pooling_inside_the_window_moves_by_one_place() -> None:
    """A 4x4 map pooled to 2x2: what is fully connected sees places two apart."""
    row = replace(find_row("vgg_tiny")[1], pool_to_px=2, input_px=128)  # type: ignore[type-var]
    model: Any = build(row, seed=0).eval()
    reader = dense(model)
    assert reader.window == (4, 4)
    f = torch.randn(2, 32, 7, 9, generator=torch.Generator().manual_seed(0))
    f = f[:, : model.features[-3].num_features]
    answer = reader.head(f)
    assert answer.shape[2:] == (4, 6)
    for i in range(4):
        for j in range(6):
            assert_equal(answer[:, :, i, j], model.head(f[:, :, i : i + 4, j : j + 4]))


def test_weights_are_shared_and_get_the_same_gradients() -> None:
    model = lively("alexnet_tiny")
    reader = dense(model)
    assert {id(p) for p in reader.parameters()} == {id(p) for p in model.parameters()}
    x = images(model, model.row.input_px, model.row.input_px).requires_grad_()
    weights = torch.linspace(-1, 1, model.num_classes)
    own = torch.autograd.grad((model(x) * weights).sum(), [x, *model.parameters()])
    read = torch.autograd.grad(
        (reader(x)[:, :, 0, 0] * weights).sum(), [x, *reader.network.parameters()]
    )
    for expected, found in zip(own, read, strict=True):
        assert_equal(found, expected)


def test_it_learns_on_larger_images_and_the_network_learns_with_it() -> None:
    model = build("googlenet_tiny", num_classes=2, seed=0).train()
    reader = dense(model)
    x = images(model, 96, 64)
    labels = torch.tensor([0, 1])
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        logits = reader(x)
        assert logits.dim() == 4  # no auxiliary heads
        loss = F.cross_entropy(logits, labels[:, None, None].expand(-1, *logits.shape[2:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]  # over five seeds 0.10 to 0.21
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_modes_stay_as_they_are_and_dropout_drops_in_training_only() -> None:
    model = lively("alexnet_tiny")
    model.train()
    model.features.eval()
    modes = [layer.training for layer in model.modules()]
    reader = dense(model)
    assert reader.training
    assert [layer.training for layer in model.modules()] == modes
    x = images(model, 64, 64)
    assert not torch.equal(reader(x), reader(x))
    reader.eval()
    assert not model.training
    assert torch.equal(reader(x), reader(x))


def test_building_one_moves_no_statistics_and_no_random_numbers() -> None:
    model = build("vgg_tiny", seed=0).train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    dense(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_a_copy_has_weights_of_its_own() -> None:
    model = lively("resnet_tiny")
    reader = dense(model)
    other = copy.deepcopy(reader)
    for p in other.parameters():
        p.zero_()
    x = images(model, model.row.input_px, model.row.input_px)
    assert other(x).abs().max() == 0
    assert reader(x).abs().max() > 0


@pytest.mark.parametrize("name", FREE)
@torch.no_grad()
def test_it_exports_with_free_height_and_width(name: str) -> None:
    model = lively(name)
    reader = dense(model)
    side = model.row.input_px
    # PyTorch takes a 1 apart from other sizes, so the example and the map have more places
    shapes = ({0: Dim.STATIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    example = (images(model, 2 * side, 3 * side),)
    program = export(reader, example, dynamic_shapes=shapes, strict=False)
    for height, width in ((2 * side + 7, 2 * side), (3 * side, 2 * side + 31)):
        x = images(model, height, width)
        assert_equal(program.module()(x), reader(x))


class Toy(nn.Module):
    """Somebody's own network, with functions and one pooling over everything."""

    def __init__(self, pooling: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.pooling = pooling
        self.fc = head

    def forward(self, x: Tensor) -> Tensor:
        x = self.pooling(F.relu(self.conv(x)))
        return self.fc(x.view(x.size(0), -1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("pooling", "features", "jump"),
    [(nn.MaxPool2d(2), 36, 4), (nn.AvgPool2d(7), 4, 2), (nn.Identity(), 196, 2)],
)
@torch.no_grad()
def test_somebodys_own_network(pooling: nn.Module, features: int, jump: int) -> None:
    """Without padding: each place is the answer to the crop, also where a pooling is global."""
    head = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 5), nn.LogSoftmax(dim=1))
    model = Toy(pooling, head).eval()
    x = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    if features != 4:  # a vector of many places has no batch normalisation place by place
        model.fc = nn.Sequential(nn.Linear(features, 5), nn.LogSoftmax(dim=1))
    reader = Dense(model, input_px=15)
    answer = reader(x)
    assert answer.shape[2:] == ((24 - 15) // jump + 1, (32 - 15) // jump + 1)
    for i in range(answer.shape[2]):
        for j in range(answer.shape[3]):
            crop = x[:, :, jump * i : jump * i + 15, jump * j : jump * j + 15]
            assert_equal(answer[:, :, i, j], model(crop))


@pytest.mark.parametrize(
    ("name", "sides"),
    [("alexnet", (2, 3)), ("squeezenet1_1", (3, 5)), ("shufflenet_v2_x0_5", (2, 3))],
)
@torch.no_grad()
def test_torchvisions_networks(torchvision: Any, name: str, sides: tuple[int, int]) -> None:
    model = getattr(torchvision.models, name)(weights=None).eval()
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    reader = dense(model)
    assert_equal(reader(x)[:, :, 0, 0], model(x))
    assert reader(F.pad(x, (0, 64, 0, 32))).shape == (1, 1000, *sides)


def test_what_has_no_reading_is_refused_in_words() -> None:
    with pytest.raises(WrongUse, match=r"fc \(GroupNorm\).*expected pooling"):
        dense(Toy(nn.MaxPool2d(2), nn.GroupNorm(1, 36)), 15)
    with pytest.raises(WrongUse, match=r"takes 36 numbers, but the map has 4x7x7.*input_px"):
        dense(Toy(nn.MaxPool2d(2), nn.Linear(36, 5)), 32)
    with pytest.raises(WrongUse, match="between the pooling and"):
        dense(Toy(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.GroupNorm(1, 4)), nn.Linear(4, 2)), 15)
    with pytest.raises(WrongUse, match="cannot see images of 8x8 px"):
        dense(build("vgg_tiny"), 8)


def test_wrong_images_are_refused_in_words() -> None:
    reader = dense(lively("resnet_cifar_tiny"))
    with pytest.raises(WrongUse, match="20x40 px, expected at least 32x32"):
        reader(torch.zeros(1, 3, 20, 40))
    with pytest.raises(WrongUse, match=r"expected a batch \(N, 3, H, W\)"):
        reader(torch.zeros(1, 1, 32, 32))


def test_its_text_says_how_the_head_was_read() -> None:
    assert "classifier.0: 1x1 convolution" in repr(dense(build("vgg_tiny")))
