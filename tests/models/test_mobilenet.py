"""MobileNet v1 and v2 against the numbers that their papers print."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from backbones.inspection.trace import count, trace
from backbones.models import build, find_row, make


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return make(*find_row(name))


@pytest.mark.parametrize(
    ("name", "million_params", "million_macs"),
    [
        ("mobilenet_v1_100", 4.2, 569),
        ("mobilenet_v1_075", 2.6, 325),
        ("mobilenet_v1_050", 1.3, 149),
        ("mobilenet_v1_025", 0.5, 41),
        ("mobilenet_v2", 3.4, 300),
    ],
)
def test_counts_are_those_that_the_papers_print(
    name: str, million_params: float, million_macs: int
) -> None:
    """MobileNet v1, Table 6; v2, Table 4, which prints 3.4 where 3.50 is counted."""
    found = count(name)
    assert found.params / 1e6 == pytest.approx(million_params, abs=0.11)
    assert found.macs / 1e6 == pytest.approx(million_macs, abs=1)


def test_v1_spends_where_its_table_2_says() -> None:
    """In percent: MACs, and weights without biases and normalisation.

    The paper prints 1.19 % of MACs for the first convolution; its four numbers then add up to
    99.29, with 1.91 to 100.01.
    """
    macs: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    model = on_meta("mobilenet_v1_100")
    for layer in trace("mobilenet_v1_100"):
        if layer.macs:
            kind = layer.name.rpartition(".")[2]
            macs[kind] += layer.macs
            weights[kind] += model.get_submodule(layer.name).weight.numel()
    in_percent = {
        kind: (100 * macs[kind] / macs.total(), 100 * weights[kind] / weights.total())
        for kind in macs
    }
    assert in_percent == {
        "conv_pw": (pytest.approx(94.86, abs=0.005), pytest.approx(74.59, abs=0.005)),
        "conv_dw": (pytest.approx(3.06, abs=0.005), pytest.approx(1.06, abs=0.005)),
        "conv_stem": (pytest.approx(1.91, abs=0.005), pytest.approx(0.02, abs=0.005)),
        "classifier": (pytest.approx(0.18, abs=0.005), pytest.approx(24.33, abs=0.005)),
    }


def test_v1_has_28_layers_counting_depthwise_and_pointwise_apart() -> None:
    layers = on_meta("mobilenet_v1_100").modules()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers) == 28


def test_a_separable_convolution_costs_what_section_3_1_says() -> None:
    """1 / maps + 1 / kernel^2 of the full convolution's work."""
    layers = {layer.name: layer.macs for layer in trace("mobilenet_v1_100")}
    separable = layers["blocks.3.1.conv_dw"] + layers["blocks.3.1.conv_pw"]
    full = 14 * 14 * 9 * 512 * 512
    assert separable / full == pytest.approx(1 / 512 + 1 / 9)


def test_v1_starts_as_the_authors_code_does() -> None:
    model = build("mobilenet_v1_050", seed=0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.abs().max() <= 0.18
            if layer.weight.numel() > 20_000:
                # a normal cut off at two standard deviations keeps 0.8796 of its own
                assert layer.weight.std().item() == pytest.approx(0.09 * 0.8796, rel=0.03)


def test_v2_joins_its_thin_maps_where_nothing_changes() -> None:
    """Table 2: n - 1 shortcuts a row."""
    shortcuts = [block.has_shortcut for block in on_meta("mobilenet_v2").features[1:-1]]
    rows = (1, 2, 3, 4, 3, 3, 1)
    assert shortcuts == [number > 0 for row in rows for number in range(row)]


def test_v2_widths_follow_the_multiplier_but_the_last_is_never_below_1280() -> None:
    widths = {
        name: [on_meta(name).features[i][0].out_channels for i in (0, -1)]
        for name in ("mobilenet_v2_050", "mobilenet_v2", "mobilenet_v2_140")
    }
    assert widths["mobilenet_v2_050"] == [16, 1280]
    assert widths["mobilenet_v2"] == [32, 1280]
    assert widths["mobilenet_v2_140"] == [48, 1792]


def test_v2_bottlenecks_end_without_an_activation() -> None:
    for block in on_meta("mobilenet_v2").features[1:-1]:
        assert isinstance(block.conv[-1], nn.BatchNorm2d)
        assert sum(isinstance(layer, nn.ReLU6) for layer in block.modules()) == (
            1 if len(block.conv) == 3 else 2
        )


def test_deviations_follow_the_fields() -> None:
    def fields(row: Any) -> list[str]:
        return [deviation.field for deviation in row.deviations]

    v1: Any = find_row("mobilenet_v1_100")[1]
    assert fields(v1) == ["activation", "norm_momentum"]
    assert fields(replace(v1, activation="relu", norm_momentum=0.0003)) == []
    v2: Any = find_row("mobilenet_v2")[1]
    assert fields(v2) == ["padding", "norm_eps", "norm_momentum", "init"]
    authors = replace(v2, padding="same", norm_eps=1e-3, norm_momentum=0.003, init="authors")
    assert fields(authors) == []


def test_v2_starts_as_torchvision_or_as_the_authors() -> None:
    network_type, row = find_row("mobilenet_v2_tiny")
    torch.manual_seed(0)
    wide: Any = replace(row, width=16.0)  # type: ignore[type-var]
    for init, conv, head in (("he", (2 / 1024) ** 0.5, 0.01), ("authors", 0.0792, 0.0792)):
        model: Any = make(network_type, replace(wide, init=init))
        assert model.features[-1][0].weight.std().item() == pytest.approx(conv, rel=0.02)
        assert model.classifier[1].weight.std().item() == pytest.approx(head, rel=0.03)
        assert not model.classifier[1].bias.any()


def test_the_padding_belongs_to_the_weights() -> None:
    """The same weights answer otherwise in the symmetric form."""
    network_type, row = find_row("mobilenet_v1_025")
    network = build("mobilenet_v1_025", seed=0).eval()
    symmetric = make(network_type, replace(row, padding="symmetric"))  # type: ignore[type-var]
    symmetric.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        answer, other = network(x), symmetric.eval()(x)
    assert (other - answer).norm() > 0.1 * answer.norm()
