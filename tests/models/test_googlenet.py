"""GoogLeNet: table 1 line by line, a second transcription of the network, and how it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.inspection.trace import Layer, trace
from backbones.models import build, find_row, make
from backbones.nn.auxiliary import WithAuxiliary
from backbones.nn.conv import ConvNormAct
from backbones.nn.lrn import LocalResponseNorm

# Table 1's last two columns, as printed ("params" in units of 1024, "ops" in millions of
# multiply-accumulates), and what its numbers of maps give: weights and multiply-accumulates.
TABLE_1 = {
    "conv1": ("2.7K", "34M", 9_408, 118_013_952),
    "conv2": ("112K", "360M", 114_688, 359_661_568),
    "3a": ("159K", "128M", 163_328, 128_049_152),
    "3b": ("380K", "304M", 388_096, 304_267_264),
    "4a": ("364K", "73M", 375_552, 73_608_192),
    "4b": ("437K", "88M", 448_512, 87_908_352),
    "4c": ("463K", "100M", 509_440, 99_850_240),
    "4d": ("580K", "119M", 604_672, 118_515_712),
    "4e": ("840K", "170M", 867_328, 169_996_288),
    "5a": ("1072K", "54M", 1_042_432, 51_079_168),
    "5b": ("1388K", "71M", 1_442_816, 70_697_984),
    "linear": ("1000K", "1M", 1_024_000, 1_024_000),
}
# Where the paper disagrees with itself; for conv1 see the test below.
MISPRINTED_PARAMS = {"conv1", "4a", "4c", "4d", "4e", "5a", "5b"}
MISPRINTED_OPS = {"conv1", "5a"}


def on_meta(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    with torch.device("meta"):
        return make(network_type, replace(row, **changes))  # type: ignore[type-var]


def layers_of(line: str) -> list[Layer]:
    """The layers with weights in one line of table 1."""
    prefixes = {"conv1": ("conv1.",), "conv2": ("conv2.", "conv3."), "linear": ("fc",)}
    starts = prefixes.get(line, (f"inception{line}.",))
    return [layer for layer in trace("inception_v1") if layer.name.startswith(starts)]


@pytest.mark.parametrize("line", TABLE_1)
def test_a_line_of_table_1_costs_what_it_prints(line: str) -> None:
    params, ops, weights, macs = TABLE_1[line]
    layers = [layer for layer in layers_of(line) if layer.params]
    model = on_meta("inception_v1")
    assert sum(model.get_submodule(layer.name).weight.numel() for layer in layers) == weights
    assert sum(layer.macs for layer in layers) == macs
    off_by = abs(weights / 1024 - float(params.removesuffix("K")))
    assert off_by > 2 if line in MISPRINTED_PARAMS else off_by <= 1
    off_by = abs(macs / 1e6 - float(ops.removesuffix("M")))
    assert off_by > 2 if line in MISPRINTED_OPS else off_by <= 1


def test_the_first_line_was_printed_for_a_separable_convolution() -> None:
    """2.7K and 34M fit a 7x7 for each colour with 8 maps each, then 1x1; not a full 7x7."""
    separable = 7 * 7 * 3 * 8 + 3 * 8 * 64
    assert separable / 1000 == pytest.approx(2.7, abs=0.05)
    assert separable * 112 * 112 / 1e6 == pytest.approx(34, abs=0.5)
    network_type, row = find_row("inception_v1")
    first = on_meta("inception_v1").conv1.conv
    assert first.weight.numel() == 9408
    assert (first.kernel_size, first.stride, first.groups) == ((7, 7), (2, 2), 1)
    assert "conv1" in [deviation.field for deviation in row.deviations]
    with torch.device("meta"):
        as_counted: Any = make(network_type, replace(row, conv1="separable"))  # type: ignore[type-var]
    weights = [p.numel() for p in as_counted.conv1.parameters() if p.dim() == 4]
    assert sum(weights) == separable
    assert "conv1" not in [deviation.field for deviation in as_counted.row.deviations]
    assert as_counted(torch.zeros(2, 3, 224, 224, device="meta")).logits.shape == (2, 1000)


def test_maps_are_as_many_as_table_1_prints() -> None:
    printed = {
        "3a": (28, 256),
        "3b": (28, 480),
        "4a": (14, 512),
        "4b": (14, 512),
        "4c": (14, 512),
        "4d": (14, 528),
        "4e": (14, 832),
        "5a": (7, 832),
        "5b": (7, 1024),
    }
    for name in ("inception_v1", "googlenet"):
        model = on_meta(name)
        x = torch.empty(1, 3, 224, 224, device="meta")
        for path in model.lines:
            x = getattr(model, path)(x)
            if path.startswith("inception"):
                side, maps = printed[path.removeprefix("inception")]
                assert tuple(x.shape) == (1, maps, side, side), path


def test_22_layers_have_weights_on_the_way() -> None:
    """Section 5: 22 layers if only those with parameters are counted."""
    lines = on_meta("inception_v1_noaux").lines
    convolutions = [name for name in lines if name.startswith("conv")]
    modules = [name for name in lines if name.startswith("inception")]
    assert len(convolutions) + 2 * len(modules) + 1 == 22


def written_out(state: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """The printed network from the figure, with nothing dropped: main, lower and upper head."""

    def conv(name: str, maps: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        padding = weight.shape[-1] // 2
        return torch.relu(F.conv2d(maps, weight, state[f"{name}.conv.bias"], stride, padding))

    def pool(maps: Tensor) -> Tensor:
        """Windows of 3 with stride 2 that may hang over the edge."""
        height, width = ((side - 3 + 1) // 2 * 2 + 3 for side in maps.shape[2:])
        wide = F.pad(maps, (0, width - maps.shape[3], 0, height - maps.shape[2]), value=-math.inf)
        return wide.unfold(2, 3, 2).unfold(3, 3, 2).amax((-2, -1))

    def lrn(maps: Tensor) -> Tensor:
        squares = F.pad(maps.square(), (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
        return maps / (1 + 1e-4 / 5 * squares) ** 0.75

    def inception(name: str, maps: Tensor) -> Tensor:
        name = f"inception{name}"
        wide = F.pad(maps, (1, 1, 1, 1), value=-math.inf)
        pooled = wide.unfold(2, 3, 1).unfold(3, 3, 1).amax((-2, -1))
        branches = (
            conv(f"{name}.branch1", maps),
            conv(f"{name}.branch2.1", conv(f"{name}.branch2.0", maps)),
            conv(f"{name}.branch3.1", conv(f"{name}.branch3.0", maps)),
            conv(f"{name}.branch4.1", pooled),
        )
        return torch.cat(branches, 1)

    def linear(name: str, units: Tensor) -> Tensor:
        return units @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def head(name: str, maps: Tensor) -> Tensor:
        averaged = maps.unfold(2, 5, 3).unfold(3, 5, 3).mean((-2, -1))
        assert averaged.shape[2:] == (4, 4)
        hidden = torch.relu(linear(f"{name}.fc1", conv(f"{name}.conv", averaged).flatten(1)))
        return linear(f"{name}.fc2", hidden)

    x = lrn(pool(conv("conv1", x, 2)))
    x = pool(lrn(conv("conv3", conv("conv2", x))))
    x = pool(inception("3b", inception("3a", x)))
    x = inception("4a", x)
    lower = head("aux1", x)
    x = inception("4d", inception("4c", inception("4b", x)))
    upper = head("aux2", x)
    x = pool(inception("4e", x))
    x = inception("5b", inception("5a", x))
    return [linear("fc", x.mean((2, 3))), lower, upper]


def test_the_printed_network_is_the_one_written_out_from_the_figure() -> None:
    model: Any = build("inception_v1", num_classes=7, seed=0).double()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    x = torch.randn(1, 3, 224, 224, dtype=torch.float64) * 60  # so large that the LRN shows
    with torch.no_grad():
        output = model(x)
        expected = written_out(model.state_dict(), x)
    assert output.weight == 0.3
    for mine, theirs in zip([output.logits, *output.auxiliary], expected, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max())


def test_printed_heads_can_be_trained_on_images_of_any_size() -> None:
    model = on_meta("inception_v1").train()
    for height, width in ((31, 31), (79, 31), (79, 79), (224, 320)):
        output = model(torch.empty(2, 3, height, width, device="meta"))
        assert [logits.shape for logits in output.auxiliary] == [(2, 1000)] * 2


def test_what_heads_average_differs() -> None:
    """14x14 maps become 4x4 by windows of 5x5 that overlap, or of 4x4 that hardly do."""
    x = torch.rand(1, 8, 14, 14, generator=torch.Generator().manual_seed(0))
    printed, adaptive = F.avg_pool2d(x, 5, 3), F.adaptive_avg_pool2d(x, 4)
    assert printed.shape == adaptive.shape
    assert torch.equal(F.adaptive_avg_pool2d(printed, 4), printed)
    assert (printed - adaptive).abs().max() > 0.05
    heads = {name: on_meta(name).aux1.overlaps for name in ("inception_v1", "googlenet_aux")}
    assert heads == {"inception_v1": True, "googlenet_aux": False}


def test_heads_appear_in_training_only() -> None:
    model: Any = build("googlenet_tiny", seed=0)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    output = model.train()(x)
    assert isinstance(output, WithAuxiliary)
    assert output.weight == 0.3
    ran = []
    for name in ("aux1", "aux2"):
        model.get_submodule(name).register_forward_hook(lambda *_: ran.append(1))
    assert isinstance(model.eval()(x), Tensor)
    assert not ran
    assert isinstance(
        on_meta("googlenet").train()(torch.empty(2, 3, 64, 64, device="meta")), Tensor
    )


def test_what_is_dropped() -> None:
    dropped = {
        name: [m.p for m in on_meta(name).modules() if isinstance(m, nn.Dropout)]
        for name in ("inception_v1", "inception_v1_noaux", "googlenet_aux", "googlenet")
    }
    assert dropped == {
        "inception_v1": [0.7, 0.7, 0.4],
        "inception_v1_noaux": [0.4],
        "googlenet_aux": [0.7, 0.7, 0.2],
        "googlenet": [0.2],
    }


def test_what_the_public_form_changes() -> None:
    printed, public = on_meta("inception_v1"), on_meta("googlenet_aux")
    for model, norm, side, pool_px, norms in ((printed, False, 5, 3, 2), (public, True, 3, 2, 0)):
        units = [m for m in model.modules() if isinstance(m, ConvNormAct)]
        assert len(units) == 59
        assert all((unit.bn is not None) == norm for unit in units)
        assert all((unit.conv.bias is None) == norm for unit in units)
        assert model.inception5b.branch3[1].conv.kernel_size == (side, side)
        assert model.maxpool4.kernel_size == pool_px
        assert sum(isinstance(m, LocalResponseNorm) for m in model.modules()) == norms
    assert {m.eps for m in public.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert [type(m) for m in printed.maxpool1] == [nn.MaxPool2d, LocalResponseNorm]
    assert [type(m) for m in printed.maxpool2] == [LocalResponseNorm, nn.MaxPool2d]


def test_deviations_follow_the_fields() -> None:
    names = ("inception_v1", "inception_v1_noaux", "googlenet", "googlenet_aux")
    fields = {name: [d.field for d in find_row(name)[1].deviations] for name in names}
    public = ["batch_norm", "five_by_five", "lrn", "last_pool_px", "dropout"]
    assert fields == {
        "inception_v1": ["auxiliary", "conv1", "lrn", "init"],
        "inception_v1_noaux": ["conv1", "lrn", "init", "auxiliary"],
        "googlenet": [*public, "init", "conv1", "auxiliary"],
        "googlenet_aux": [*public, "auxiliary", "init", "conv1"],
    }


def test_the_printed_form_starts_as_bvlcs() -> None:
    """Uniform with variance 1 / fan-in; biases 0.2, but zero in the three classifiers."""
    model: Any = build("inception_v1", seed=0)
    classifiers = (model.fc, model.aux1.fc2, model.aux2.fc2)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            assert layer.weight.abs().max() <= math.sqrt(3 / fan_in)
            if layer.weight.numel() > 5000:
                expected = fan_in**-0.5
                assert layer.weight.std().item() == pytest.approx(expected, rel=0.04), name
            assert (layer.bias == (0.0 if layer in classifiers else 0.2)).all(), name


def test_the_public_form_starts_as_torchvisions() -> None:
    model: Any = build("googlenet_aux", seed=0)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() > 5000:
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.04), name
    assert 0 < model.fc.bias.abs().max() <= 1024**-0.5
