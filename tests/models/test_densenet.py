"""DenseNet: the paper's figures, a second transcription, and the option that saves memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.inspection.trace import trace
from backbones.models import build, find_row, make

NAMES = [
    name
    for name in catalog.names()
    if catalog.facts(name).family == "densenet" and not name.endswith("_tiny")
]


def changed(name: str, **changes: Any) -> Any:
    network_type, row = find_row(name)
    other: Any = replace(row, **changes)  # type: ignore[type-var]
    torch.manual_seed(0)
    return make(network_type, other)


def on_meta(name: str, **changes: Any) -> Any:
    with torch.device("meta"):
        return changed(name, **changes)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_weight_layers_are_as_many_as_the_name_says(name: str) -> None:
    depth = int(name.removeprefix("densenet").removeprefix("_bc").strip("_").split("_")[0])
    layers = on_meta(name).modules()
    depth += name == "densenet264"  # Table 1's blocks of 6, 12, 64 and 48 layers make it 265
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers) == depth


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("densenet_40_12", 1.0),
        ("densenet_100_12", 7.0),
        ("densenet_100_24", 27.2),
        ("densenet_bc_100_12", 0.8),
        ("densenet_bc_250_24", 15.3),
        ("densenet_bc_190_40", 25.6),
    ],
)
def test_table_2_prints_the_parameters(name: str, millions: float) -> None:
    assert round(catalog.facts(name).params / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("densenet121", [64, 256, 128, 512, 256, 1024, 512, 1024]),
        ("densenet161", [96, 384, 192, 768, 384, 2112, 1056, 2208]),
        ("densenet264", [64, 256, 128, 512, 256, 2304, 1152, 2688]),
        ("densenet_40_12", [16, 160, 160, 304, 304, 448]),
        ("densenet_bc_100_12", [24, 216, 108, 300, 150, 342]),
    ],
)
def test_maps_that_enter_and_leave_each_block(name: str, widths: list[int]) -> None:
    """In: stem or transition (half, rounded down, where compressed). Out: k more a layer."""
    model = on_meta(name)
    found = []
    x = torch.empty(1, 3, 64, 64, device="meta")
    for part, layer in model.features.named_children():
        before, x = x, layer(x)
        if part.startswith("denseblock"):
            found += [before.shape[1], x.shape[1]]
    assert found == widths


def normed(state: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    """Batch norm at `at`, as in evaluation, and ReLU."""
    scale = state[f"{at}.weight"] / (state[f"{at}.running_var"] + 1e-5).sqrt()
    shift = state[f"{at}.bias"] - state[f"{at}.running_mean"] * scale
    return (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)


def second_transcription(network: Any, x: Tensor) -> Tensor:
    """The networks for small images from their tensors by name, written from section 3 again."""
    row, state = network.row, network.state_dict()
    x = F.conv2d(x, state["features.conv0.weight"], padding=1)
    for block, num_layers in enumerate(row.blocks, 1):
        for layer in range(1, num_layers + 1):
            at = f"features.denseblock{block}.denselayer{layer}"
            y = normed(state, f"{at}.norm1", x)
            if row.bottleneck:
                y = torch.einsum("nchw,mc->nmhw", y, state[f"{at}.conv1.weight"][:, :, 0, 0])
                y = normed(state, f"{at}.norm2", y)
            last = "conv2" if row.bottleneck else "conv1"
            y = F.conv2d(y, state[f"{at}.{last}.weight"], padding=1)
            x = torch.cat([x, y], 1)
        if block < len(row.blocks):
            at = f"features.transition{block}"
            weight = state[f"{at}.conv.weight"][:, :, 0, 0]
            x = torch.einsum("nchw,mc->nmhw", normed(state, f"{at}.norm", x), weight)
            height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
            x = x[:, :, :height, :width].unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
    x = normed(state, "features.norm5", x).mean((2, 3))
    return x @ state["classifier.weight"].T + state["classifier.bias"]


@pytest.mark.parametrize("name", ["densenet_40_12", "densenet_bc_100_12"])
@pytest.mark.parametrize("memory_saving", [False, True])
def test_equals_a_second_transcription(name: str, memory_saving: bool) -> None:
    network = changed(name, memory_saving=memory_saving)
    for number, layer in enumerate(network.modules()):
        if isinstance(layer, nn.BatchNorm2d):
            maps = layer.num_features
            layer.weight.data = noise(maps, seed=number).mul(0.2).add(1)
            layer.bias.data = noise(maps, seed=number + 1).mul(0.2)
            layer.running_mean = noise(maps, seed=number + 2).mul(0.2)
            layer.running_var = noise(maps, seed=number + 3).abs().add(0.5)
    network.double().eval()
    x = noise(2, 3, 13, 10)
    expected = second_transcription(network, x)
    assert expected.std() > 0
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_a_block_passes_everything_on() -> None:
    block = changed("densenet_tiny").features.denseblock1.eval()
    x = noise(2, 8, 4, 4).float()
    kept = x.clone()
    y = block(x)
    assert torch.equal(x, kept)
    assert torch.equal(y[:, :8], x)
    first = block.denselayer1((x,))
    assert torch.equal(y[:, 8:12], first)
    assert torch.equal(y[:, 12:], block.denselayer2((x, first)))


def bytes_kept(forward: Callable[[], Tensor]) -> int:
    """What autograd keeps of a forward pass for the backward one, each storage once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    assert result.requires_grad  # and is alive, so that no address was used twice
    return sum(kept.values())


def test_saving_memory_saves_memory() -> None:
    x = noise(4, 3, 32, 32).float()
    whole = changed("densenet_bc_100_12")
    saving = changed("densenet_bc_100_12", memory_saving=True)
    kept = [bytes_kept(lambda model=model: model(x)) for model in (whole, saving)]  # type: ignore[misc]
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("name", ["densenet_tiny", "densenet_40_12"])
def test_saving_memory_changes_no_number(name: str) -> None:
    """Logits, gradients and running averages after two steps, to the bit."""
    whole = changed(name)
    saving = changed(name, memory_saving=True)
    saving.load_state_dict(whole.state_dict())
    momenta = [m.momentum for m in saving.modules() if isinstance(m, nn.BatchNorm2d)]
    for step in range(2):
        x = noise(4, 3, 32, 32, seed=step).float()
        results = []
        for model in (whole, saving):
            model.zero_grad()
            logits = model.train()(x)
            logits.square().sum().backward()
            results.append((logits.detach(), [p.grad for p in model.parameters()]))
        assert torch.equal(results[0][0], results[1][0])
        for mine, other in zip(results[0][1], results[1][1], strict=True):
            assert torch.equal(mine, other)
    for key, value in whole.state_dict().items():
        assert torch.equal(saving.state_dict()[key], value), key
    assert saving.features.norm5.num_batches_tracked == 2
    assert saving.features.denseblock1.denselayer1.norm1.num_batches_tracked == 2
    assert [m.momentum for m in saving.modules() if isinstance(m, nn.BatchNorm2d)] == momenta


def test_saving_memory_in_evaluation_mode_moves_no_average() -> None:
    """As when an explanation wants gradients of a network that is not trained."""
    model = changed("densenet_tiny", memory_saving=True).eval()
    before = copy.deepcopy(model.state_dict())
    model(noise(2, 3, 32, 32).float()).sum().backward()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.our_rounding
def test_saving_memory_leaves_the_choice_to_a_compiler() -> None:
    model = changed("densenet_tiny", memory_saving=True)
    x = noise(2, 3, 32, 32).float()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), model(x))


def test_saving_memory_with_dropout_drops_the_same_units() -> None:
    gradients = []
    for memory_saving in (False, True):
        model = changed("densenet_tiny", dropout=0.5, memory_saving=memory_saving).train()
        torch.manual_seed(7)
        model(noise(4, 3, 32, 32).float()).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["densenet_40_12", "densenet_bc_100_12"])
def test_dropout_follows_every_convolution_but_the_first(name: str) -> None:
    kinds = [layer.kind for layer in trace(on_meta(name, dropout=0.2))]
    after = [kinds[at + 1] for at, kind in enumerate(kinds) if kind == "Conv2d"]
    assert after[0] != "Dropout"
    assert set(after[1:]) == {"Dropout"}
    assert kinds.count("Dropout") == len(after) - 1
    assert "Dropout" not in [layer.kind for layer in trace(name)]


def test_deviations_follow_the_fields() -> None:
    found = {name: [d.field for d in find_row(name)[1].deviations] for name in NAMES}
    assert {name for name, fields in found.items() if fields} == {"densenet161"}
    assert found["densenet161"] == ["growth_rate"]


def test_the_start_has_the_spread_of_he_by_fan_out() -> None:
    model: Any = build("densenet121", num_classes=10, seed=0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            maps, _, height, width = layer.weight.shape
            noise = 5 / (2 * layer.weight.numel()) ** 0.5
            expected = np.sqrt(2 / (maps * height * width))
            assert layer.weight.std().item() == pytest.approx(expected, rel=noise)
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert not layer.bias.any()
    assert not model.classifier.bias.any()
