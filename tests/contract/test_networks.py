"""What every row of every family fulfils. A new family is covered by its row in the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.errors import WrongUse
from backbones.inspection.trace import Layer, count, trace
from backbones.models import build, find_row, make
from backbones.nn.auxiliary import WithAuxiliary, main_logits, total_loss
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec
from backbones.weights.bundle import bundle_of, read_bundle, write_bundle

NAMES = catalog.names()
MAP_SIZES: dict[str, list[int]] = {
    name: sizes
    for path in sorted((Path(__file__).parent / "map_sizes").glob("*.json"))
    for name, sizes in json.loads(path.read_text(encoding="utf-8")).items()
}
LIGHT = [name for name in NAMES if catalog.facts(name).params < 1_000_000]
TINY = [name for name in NAMES if name.endswith("_tiny")]
# Wired as another row that is here, with other counts, widths or paddings.
_TWINS = re.compile(
    r"resnet1202_cifar|efficientnet_b[1-7]_same|.*(_nobias|_narrow\w*|_0[257][50]|_140)"
)
WIRINGS = [name for name in NAMES if not _TWINS.fullmatch(name)]


def on_meta(name: str, *sizes: int | None) -> Any:
    with ShapesOnly():
        return make(*find_row(name), *sizes)


def followed(layers: Callable[[Tensor], Any], x: Tensor) -> Any:
    """What comes out, in shapes only.

    `test_macs_and_shapes_are_those_of_pytorch` compares these with PyTorch's, layer by layer, and
    what they do not know they ask PyTorch. It is thirty times as quick.
    """
    with torch.no_grad(), ShapesOnly():
        return layers(x)


def blank(model: Any, count: int, height: int, width: int | None = None) -> Tensor:
    return torch.empty(count, model.in_channels, height, width or height, device="meta")


def images(model: Any, count: int = 4, px: int | None = None) -> Tensor:
    side = px or model.row.input_px
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, model.in_channels, side, side, generator=generator)


@cache
def layers_of(name: str) -> tuple[Layer, ...]:
    return trace(name)


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_what_the_row_claims(name: str) -> None:
    _, row = find_row(name)
    found = count(name)
    claims = {claim.name: claim.value for claim in row.claims}
    assert {"params", "macs"} <= claims.keys()
    for what, value in claims.items():
        assert getattr(found, what) == value, what


@pytest.mark.parametrize("name", TINY)
def test_tracing_leaves_no_trace(name: str) -> None:
    model = on_meta(name).train()
    next(model.children()).eval()
    modes = [layer.training for layer in model.modules()]
    trace(model)
    assert [layer.training for layer in model.modules()] == modes
    assert not any(layer._forward_hooks for layer in model.modules())
    assert not any("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_stages_are_layers_in_the_order_of_execution(name: str) -> None:
    model = on_meta(name)
    order = [layer.name for layer in layers_of(name)]
    titles = [title for title, _ in model.stages]
    assert len(set(titles)) == len(titles)
    ends = []
    for _, path in model.stages:
        model.get_submodule(path)
        ends.append(max(i for i, n in enumerate(order) if n == path or n.startswith(f"{path}.")))
    assert ends == sorted(set(ends))
    sides = [
        layers_of(name)[end].output[-1] for end in ends if len(layers_of(name)[end].output) > 1
    ]
    assert sides == sorted(sides, reverse=True), "maps grow from stage to stage"
    assert model.get_submodule(model.cam_layer) is not None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TINY])
def test_maps_have_the_papers_sizes(name: str) -> None:
    """Literals from the papers and the authors' files (`map_sizes/`), not from this code."""
    model = on_meta(name)
    last = {}
    for layer in layers_of(name):
        for _, path in model.stages:
            if layer.name == path or layer.name.startswith(f"{path}."):
                last[path] = layer.output
    sides = [shape[-1] for shape in last.values() if len(shape) == 3]
    assert sides == MAP_SIZES[name]


@pytest.mark.parametrize("name", WIRINGS)
def test_any_number_of_classes_and_channels(name: str) -> None:
    for num_classes, in_channels in ((1, 4), (1001, 1)):
        model = on_meta(name, num_classes, in_channels)
        assert (model.num_classes, model.in_channels) == (num_classes, in_channels)
        output = followed(model, blank(model, 2, model.row.input_px))
        assert main_logits(output).shape == (2, num_classes)
        if isinstance(output, WithAuxiliary):
            assert {logits.shape for logits in output.auxiliary} == {(2, num_classes)}


@pytest.mark.parametrize("name", NAMES)
def test_forward_is_the_head_of_the_features(name: str) -> None:
    if name not in LIGHT:
        model = on_meta(name).eval()
        x = blank(model, 2, model.row.input_px)
        features = followed(model.features, x)
        assert features.dim() == 4
        assert followed(model.head, features).shape == followed(model, x).shape
        return
    model = build(name, seed=0).eval()
    x = images(model, 2)
    with torch.no_grad():
        assert torch.equal(model.head(model.features(x)), model(x))


@pytest.mark.parametrize("name", WIRINGS)
def test_every_layer_is_in_the_graph(name: str) -> None:
    """On meta: the logits depend on every parameter, whatever the numbers are."""
    model = on_meta(name, None if name in LIGHT else 10).train()
    x = blank(model, 2, model.row.input_px)
    output, found = model(x), count(name)
    assert isinstance(output, WithAuxiliary) == (found.params != found.inference_params)
    total_loss(output, torch.sum).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_gets_a_gradient_with_numbers_in_it(name: str) -> None:
    model = build(name, seed=0).train()
    x = images(model, 16)
    labels = torch.arange(16) % model.num_classes
    total_loss(model(x), lambda logits: F.cross_entropy(logits, labels)).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", [*TINY, "lenet5_1998", "lenet5"])
def test_a_few_steps_fit_a_handful_of_images(name: str) -> None:
    """Loss at the end to loss at the start over five seeds: at most 0.18, all but NIN's.

    NIN's class maps end in a ReLU, and a class that is silent on all images stays so: 0.01 to
    0.47, three of five seeds above 0.25. One of five has to fit.
    """
    assert any(fitted_loss(name, seed) < 0.25 for seed in range(5))


def fitted_loss(name: str, seed: int) -> float:
    """The loss after 60 steps on six images, as a share of the first."""
    model = build(name, num_classes=3, seed=seed).train()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    x, labels = images(model, 6), torch.arange(6) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = total_loss(model(x), lambda logits: F.cross_entropy(logits, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return min(losses[-5:]) / losses[0]


@pytest.mark.parametrize("name", LIGHT)
def test_a_network_survives_a_bundle(name: str, tmp_path: Path) -> None:
    model: Any = build(name, seed=3)
    channels = model.in_channels
    spec = InputSpec(model.row.input_px, 40, channels, (0.5,) * channels, (0.25,) * channels)
    bundle = bundle_of(model, classes=[f"class {i}" for i in range(model.num_classes)], spec=spec)
    write_bundle(tmp_path / "network.safetensors", bundle)
    back = read_bundle(tmp_path / "network.safetensors")
    again: Any = back.build()
    assert back == bundle
    assert again.row == model.row
    assert not again.training
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert all(p.requires_grad for p in again.parameters())
    model.eval()
    with torch.no_grad():
        x = images(model, 2)
        # the weights are equal to the bit; where they lie in memory may move the last bit of a sum
        torch.testing.assert_close(again(x), model(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LIGHT)
def test_a_seed_decides_the_start_and_moves_nothing_else(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (build(name, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    weights = [key for key in first if first[key].dim() > 1 and not key.endswith("codes")]
    assert all(not torch.equal(first[key], other[key]) for key in weights)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_too_small_is_refused_in_words(name: str) -> None:
    model = on_meta(name).eval()
    smallest = model.row.min_px
    with torch.no_grad():
        assert model(blank(model, 1, smallest)).shape == (1, model.num_classes)
    too_small = blank(model, 1, smallest - 1, smallest + 1)
    with pytest.raises(WrongUse, match=f"{smallest - 1}x{smallest + 1} px.*{smallest}x{smallest}"):
        model(too_small)
    if smallest == 1:  # nothing is no image, though torch 2.6 makes an empty answer of it
        return
    with pytest.raises((RuntimeError, ValueError)):  # the limit is no stricter than it must be
        model.head(model.features(too_small[..., : smallest - 1]))


@pytest.mark.parametrize("name", TINY)
def test_wrong_images_are_refused_in_words(name: str) -> None:
    model: Any = build(name)
    px = model.row.input_px
    with pytest.raises(WrongUse, match=f"5 channels, but was built for {model.in_channels}"):
        model(torch.zeros(1, 5, px, px))
    with pytest.raises(WrongUse, match="batch"):
        model(torch.zeros(model.in_channels, px, px))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("lenet")])
def test_other_sizes_than_the_rows_own_work(name: str) -> None:
    model = on_meta(name).eval()
    side = max(97, model.row.min_px)
    x = blank(model, 1, side, side + 53)
    with torch.no_grad():
        assert model(x).shape == (1, model.num_classes)


@pytest.mark.parametrize(("what", "value"), [("num_classes", 0), ("in_channels", -1)])
def test_no_classes_or_channels_is_wrong_use(what: str, value: int) -> None:
    with pytest.raises(WrongUse, match=f"{what} is {value}"):
        build("lenet5", **{what: value})
