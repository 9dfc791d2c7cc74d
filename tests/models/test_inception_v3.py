"""Inception v3: Table 1, the auxiliary head, and where the released networks differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.inspection.trace import count, trace
from backbones.models import build, find_row, make
from backbones.nn.auxiliary import WithAuxiliary


def on_meta(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    changed: Any = replace(row, **changes)  # type: ignore[type-var]
    with torch.device("meta"):
        return make(network_type, changed)


def test_maps_have_the_sizes_of_table_1() -> None:
    """It prints what goes into each row: 147x147x32, 147x147x64, 73x73x64, 35x35x288, ..."""
    model = on_meta("inception_v3").eval()
    x = torch.empty(1, 3, 299, 299, device="meta")
    found = {}
    for name, _ in model.row.layers:
        x = getattr(model, name)(x)
        found[name] = tuple(x.shape[1:])
    assert found["Conv2d_1a_3x3"] == (32, 149, 149)
    assert found["Conv2d_2a_3x3"] == (32, 147, 147)
    assert found["Conv2d_2b_3x3"] == (64, 147, 147)
    assert found["maxpool1"] == (64, 73, 73)
    assert found["Mixed_5d"] == (288, 35, 35)
    assert found["Mixed_6e"] == (768, 17, 17)
    assert found["Mixed_7a"] == (1280, 8, 8)
    assert found["Mixed_7c"] == (2048, 8, 8)


def test_three_modules_then_five_then_two() -> None:
    """Table 1 counts the reductions among the modules behind them."""
    places = [name for name, _ in on_meta("inception_v3").row.layers if name.startswith("Mixed")]
    per_grid = [sum(name[6] == grid for name in places) for grid in "567"]
    assert per_grid == [3, 5, 3]


def test_it_has_the_parameters_and_operations_that_the_abstract_prints() -> None:
    found = count("inception_v3_noaux")
    assert found.params < 25_000_000
    assert 5e9 < found.macs < 6e9


def test_the_auxiliary_head_is_there_in_training_alone() -> None:
    model: Any = build("inception_v3_tiny", seed=0)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    output = model.train()(x)
    assert isinstance(output, WithAuxiliary)
    assert output.weight == 0.4
    assert output.auxiliary[0].shape == output.logits.shape == (4, 10)
    assert isinstance(model.eval()(x), torch.Tensor)
    assert not [layer for layer in trace("inception_v3") if layer.name.startswith("AuxLogits")]
    assert not hasattr(on_meta("inception_v3_noaux"), "AuxLogits")
    without = on_meta("inception_v3_noaux").train()
    assert isinstance(without(torch.empty(2, 3, 75, 75, device="meta")), torch.Tensor)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3_tiny"])
def test_training_on_too_small_an_image_names_the_auxiliary_head(name: str) -> None:
    model = on_meta(name).train()
    smallest = model.row.auxiliary_min_px
    model(torch.empty(2, 3, smallest, smallest, device="meta"))
    with pytest.raises(WrongUse, match=f"auxiliary head.*at least {smallest}x{smallest}"):
        model(torch.empty(2, 3, smallest - 1, smallest, device="meta"))
    maps = torch.empty(2, 3, smallest - 1, smallest, device="meta")
    for layer, _ in model.row.layers:
        maps = getattr(model, layer)(maps)
        if layer == model.row.auxiliary_after:
            break
    head = model.AuxLogits.to_empty(device="cpu")  # torch 2.6 makes empty maps on the meta device
    with pytest.raises(RuntimeError):  # the limit is no stricter than it must be
        head(torch.zeros(maps.shape))


def test_the_auxiliary_head_computes_what_the_figure_draws() -> None:
    model: Any = build("inception_v3_tiny", seed=0).eval().double()
    head = model.AuxLogits
    x = torch.randn(2, 24, 20, 23, generator=torch.Generator().manual_seed(0)).double()
    pooled = torch.stack(
        [
            torch.stack(
                [x[:, :, 3 * r : 3 * r + 5, 3 * c : 3 * c + 5].mean((2, 3)) for c in range(7)], -1
            )
            for r in range(6)
        ],
        -2,
    )
    shrink = (1 + 1e-3) ** -0.5
    mixed = torch.einsum("nchw,mc->nmhw", pooled, head.conv0.conv.weight[:, :, 0, 0]) * shrink
    windows = F.relu(mixed).unfold(2, 5, 1).unfold(3, 5, 1)
    last = F.relu(torch.einsum("nchwij,mcij->nmhw", windows, head.conv1.conv.weight) * shrink)
    expected = last.mean((2, 3)) @ head.fc.weight.T + head.fc.bias
    torch.testing.assert_close(head(x), expected)


def test_torchvisions_pooling_counts_the_padding_and_tensorflows_does_not() -> None:
    ours = on_meta("inception_v3").Mixed_5b.branch_pool_window
    slim = on_meta("inception_v3", count_padding=False, dropout=0.2)
    ones = torch.ones(1, 1, 3, 3)
    assert ours(ones)[0, 0, 0, 0].item() == pytest.approx(4 / 9)
    assert slim.Mixed_5b.branch_pool_window(ones)[0, 0, 0, 0].item() == 1
    assert [d.field for d in slim.row.deviations] == ["layers"]
    pools = [m for m in slim.modules() if isinstance(m, nn.AvgPool2d)]
    assert len(pools) == 3 + 4 + 2
    assert not any(pool.count_include_pad for pool in pools)


def test_the_start_is_the_released_networks() -> None:
    network_type, row = find_row("inception_v3_tiny")
    torch.manual_seed(0)
    wide: Any = replace(row, auxiliary_maps=(64, 128), num_classes=100)  # type: ignore[type-var]
    model: Any = make(network_type, wide)
    expected = {
        "AuxLogits.conv1.conv": 0.01,
        "AuxLogits.fc": 0.001,
        "AuxLogits.conv0.conv": (2.6 / 24) ** 0.5,
        "Mixed_6b.branch7x7_3.conv": (2.6 / (8 * 7)) ** 0.5,
        "fc": (2.6 / 48) ** 0.5,
    }
    for path, std in expected.items():
        weight = model.get_submodule(path).weight
        assert weight.abs().max().item() <= 2 * std * (1 + 1e-6), path
        assert weight.std().item() == pytest.approx(0.8796 * std, rel=0.1), path
    assert not model.fc.bias.any()


def test_deviations_follow_the_fields() -> None:
    fields = {
        name: [d.field for d in find_row(name)[1].deviations]
        for name in ("inception_v3", "inception_v3_noaux")
    }
    assert fields["inception_v3"] == ["layers", "count_padding", "dropout"]
    assert fields["inception_v3_noaux"] == ["layers", "auxiliary_after", "count_padding", "dropout"]
