"""What an image is to a network: Gram matrices by hand, gradients, closed forms, bad inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.errors import NotFound, WrongUse
from backbones.features.losses import (
    gram,
    normalised,
    perceptual_loss,
    style_loss,
    total_variation,
)
from backbones.features.style import (
    StyleSettings,
    pyramid,
    resized,
    restyle,
    with_layers,
)
from backbones.features.taps import tap
from backbones.models import build
from backbones.spec import InputSpec


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_gram_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]], [[3.0, 0.0], [1.0, 1.0]]]])
    # of 4 places: 1+4+0+1, 3+0+0-1, 9+0+1+1
    torch.testing.assert_close(gram(maps), torch.tensor([[[1.5, 0.5], [0.5, 2.75]]]))


def test_gram_does_not_see_where_things_are() -> None:
    maps = noise(2, 5, 6, 7)
    order = torch.randperm(42, generator=torch.Generator().manual_seed(1))
    moved = maps.flatten(2)[:, :, order].view_as(maps)
    torch.testing.assert_close(gram(moved), gram(maps))
    torch.testing.assert_close(gram(maps.repeat(1, 1, 2, 3)), gram(maps))


def test_style_loss_is_equation_4_of_the_paper() -> None:
    """1 / (4 N^2 M^2) * sum (G - A)^2 with sums over the M places, for equal sizes."""
    f, a = noise(1, 3, 4, 5), noise(1, 3, 4, 5, seed=1)
    sums = [each.flatten(2) @ each.flatten(2).mT for each in (f, a)]
    printed = (sums[0] - sums[1]).square().sum() / (4 * 3**2 * 20**2)
    torch.testing.assert_close(style_loss(f, gram(a)), printed)
    assert style_loss(f, gram(f)) == 0


def test_gradients_of_the_losses_are_those_of_finite_differences() -> None:
    f = noise(2, 3, 4, 5, dtype=torch.float64).requires_grad_()
    target = gram(noise(1, 3, 6, 2, seed=1, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: style_loss(x, target), [f])
    assert torch.autograd.gradcheck(total_variation, [f])
    model = build("alexnet_tiny", seed=0).eval().double()
    x = noise(1, 3, 32, 32, dtype=torch.float64)
    y = noise(1, 3, 32, 32, seed=1, dtype=torch.float64)
    direction = noise(1, 3, 32, 32, seed=2, dtype=torch.float64) - 0.5
    x.requires_grad_()

    def loss(images: Tensor) -> Tensor:
        return perceptual_loss(model, ["conv1", "conv2"], images, y)

    (gradient,) = torch.autograd.grad(loss(x), [x])
    step = 1e-6
    with torch.no_grad():
        measured = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), measured, rtol=1e-5, atol=0)


def test_total_variation_of_a_ramp() -> None:
    """Slope a across and b down: a * (W - 1) / W + b * (H - 1) / H."""
    down, across = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    ramp = (0.02 * across + 0.03 * down).expand(2, 3, 6, 5)
    expected = torch.tensor(0.02 * 4 / 5 + 0.03 * 5 / 6)
    torch.testing.assert_close(total_variation(ramp), expected)
    assert total_variation(torch.full((1, 3, 4, 4), 0.7)) == 0


def test_normalised_is_what_the_weights_want() -> None:
    spec = InputSpec(8, 8, 3, (0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
    x = torch.full((1, 3, 2, 2), 0.6)
    assert torch.allclose(normalised(x, spec)[0, :, 0, 0], torch.tensor([1.0, 1.6, 2.4]))
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert normalised(red, InputSpec(8, 8, 1, (0.0,), (1.0,))).item() == pytest.approx(0.299)


def test_perceptual_loss_is_zero_for_the_same_image_and_by_hand_for_others() -> None:
    model = build("vgg_tiny", seed=0).eval()
    x, y = noise(2, 3, 32, 32), noise(2, 3, 32, 32, seed=1)
    spec = InputSpec(32, 32, 3, (0.5,) * 3, (0.5,) * 3)
    assert perceptual_loss(model, ["relu1_1"], x, x, spec) == 0
    first: Any = model.get_submodule("features")[:3]  # type: ignore[index]
    with torch.no_grad():
        expected = (first(2 * x - 1) - first(2 * y - 1)).square().mean()
        torch.testing.assert_close(perceptual_loss(model, ["relu1_1"], x, y, spec), expected)


def test_bad_images_and_layers_are_refused_in_words() -> None:
    model = build("vgg_tiny", seed=0).eval()
    x = noise(1, 3, 32, 32)
    with pytest.raises(WrongUse, match="expected equal shapes"):
        perceptual_loss(model, ["relu1_1"], x, x[..., :16])
    with pytest.raises(NotFound, match="relu1_1"):
        perceptual_loss(model, ["relu1_7"], x, x)
    with pytest.raises(WrongUse, match=r"expected \(N, 3, H, W\)"):
        normalised(x[0])
    with pytest.raises(WrongUse, match="steps is 0"):
        StyleSettings(steps=0)
    with pytest.raises(WrongUse, match="style_weight is nan"):
        StyleSettings(style_weight=float("nan"))
    with pytest.raises(WrongUse, match="name content_layers"):
        with_layers(nn.Sequential(nn.Conv2d(3, 4, 3)), StyleSettings())


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("start", ["content", "noise"])
def test_steps_lower_the_loss_and_leave_the_network_alone(optimizer: Any, start: Any) -> None:
    model = build("vgg_tiny", seed=0).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    content, style = noise(1, 3, 32, 40), noise(1, 3, 48, 32, seed=1).square()
    settings = StyleSettings(steps=12, optimizer=optimizer, start=start)
    steps = list(restyle(model, content, style, settings))
    assert [step.step for step in steps] == list(range(1, 13))
    losses = [step.loss for step in steps]
    assert losses == sorted(losses, reverse=True), "the best so far"
    assert losses[-1] < 0.8 * losses[0]
    assert steps[-1].image.shape == content.shape
    assert 0 <= steps[-1].image.min() <= steps[-1].image.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_loss_that_is_told_is_the_images() -> None:
    """Recomputed from the yielded image with the functions of `losses`."""
    model = build("resnet_tiny", seed=0).eval()
    content, style = noise(1, 3, 40, 40), noise(1, 3, 40, 40, seed=1)
    layers = ("layer1", "layer2")
    settings = StyleSettings(layers[:1], layers, style_weight=7.0, tv_weight=0.5, steps=3)
    last = list(restyle(model, content, style, settings))[-1]

    def seen(image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            found: dict[str, Tensor] = tap(model, layers)(normalised(image))
        return found

    found, wanted, styled = seen(last.image), seen(content), seen(style)
    part = (found["layer1"] - wanted["layer1"]).square().sum() / wanted["layer1"].square().sum()
    for name in layers:
        target = gram(styled[name])
        c = found[name].shape[1]
        weighs = target.square().sum() / (4 * c**2)
        part = part + 7.0 / 2 * style_loss(found[name], target) / weighs
    part = part + 0.5 * total_variation(last.image)
    assert last.loss == pytest.approx(part.item(), rel=1e-4)


def test_an_image_in_its_own_style_is_where_it_should_be() -> None:
    """Nothing but the total variation is left to gain, and with none nothing moves."""
    model = build("vgg_tiny", seed=0).eval()
    image = 0.1 + 0.8 * noise(1, 3, 32, 32)
    last = list(restyle(model, image, image, StyleSettings(steps=3, tv_weight=0.0)))[-1]
    assert last.loss < 1e-8
    assert (last.image - image).abs().max() < 1e-3


def test_a_seed_decides_the_noise() -> None:
    model = build("vgg_tiny", seed=0).eval()
    content, style = noise(1, 3, 32, 32), noise(1, 3, 32, 32, seed=1)

    def painted(seed: int) -> Tensor:
        settings = StyleSettings(steps=2, start="noise", seed=seed)
        return list(restyle(model, content, style, settings))[-1].image

    assert torch.equal(painted(3), painted(3))
    assert not torch.equal(painted(3), painted(4))


def test_colours_can_stay() -> None:
    """Chroma of YIQ: what is left of a colour without its brightness."""
    model = build("vgg_tiny", seed=0).eval()
    content = 0.4 + 0.2 * noise(1, 3, 32, 32)
    settings = StyleSettings(steps=6, preserve_colour=True)
    last = list(restyle(model, content, noise(1, 3, 32, 32, seed=1), settings))[-1].image
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    chroma = [each - (each * luma).sum(1, keepdim=True) for each in (content, last)]
    inside = ((last > 0) & (last < 1)).all(1, keepdim=True)
    assert inside.float().mean() > 0.9
    assert ((chroma[0] - chroma[1]) * inside).abs().max() < 1e-5
    assert (last - content).abs().max() > 0.05


def test_the_pyramid_ends_in_the_images_own_size() -> None:
    model = build("vgg_tiny", seed=0).eval()
    assert pyramid(200, 100) == [(200, 100)]
    assert pyramid(257, 600) == [(64, 150), (128, 300), (257, 600)]
    content = resized(noise(1, 3, 8, 8), (256, 64))
    settings = StyleSettings(steps=3)
    sides = [step.image.shape[2] for step in restyle(model, content, content, settings)]
    assert sides == [128, 256, 256]


@pytest.mark.parametrize(
    ("name", "content", "style"),
    [
        ("vgg19", "relu4_2", "relu1_1 relu2_1 relu3_1 relu4_1 relu5_1"),
        ("mobilenet_v1_075", "blocks.2", "act1 blocks.0 blocks.1 blocks.2 blocks.3"),
        ("resnet18", "layer2", "relu layer1 layer2 layer3"),
    ],
)
def test_every_network_has_layers_of_its_own_choice(name: str, content: str, style: str) -> None:
    chosen = with_layers(build(name, num_classes=2, seed=0).eval(), StyleSettings())
    assert chosen.content_layers == (content,)
    assert chosen.style_layers == tuple(style.split())
    assert with_layers(nn.Identity(), chosen) is chosen
