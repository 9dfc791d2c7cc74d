"""What inspection says of every row, against PyTorch's own counter and against real pixels."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backbones import catalog
from backbones.errors import WrongUse
from backbones.inspection.summary import Inspection, inspect
from backbones.models import build, find_row, make
from backbones.nn.meta import ShapesOnly

NAMES = catalog.names()
TINY = [name for name in NAMES if name.endswith("_tiny")]
SMALL = [*TINY, "lenet5", "lenet5_1998", "resnet20_cifar"]


@pytest.mark.parametrize("name", NAMES)
def test_macs_and_shapes_are_those_of_pytorch(name: str) -> None:
    """Both are worked out here without PyTorch's operators; here is what these say."""
    with ShapesOnly():
        network = make(*find_row(name)).eval()
    seen: dict[str, list[tuple[int, ...]]] = {}
    for path, layer in network.named_modules():
        if next(layer.children(), None) is None:
            layer.register_forward_hook(
                lambda _, __, y, path=path: seen.setdefault(path, []).append(tuple(y.shape[1:]))
            )
    side = network.row.input_px
    x = torch.empty(2, network.in_channels, side, side, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    found = inspect(name, batch=2)
    outputs: dict[str, list[tuple[int, ...]]] = {}
    for item in found.layers:
        outputs.setdefault(item.name, []).append(item.output)
    assert outputs == seen
    assert 2 * found.macs == counter.get_total_flops()
    assert sum(stage.macs for stage in found.stages) == found.macs
    assert sum(stage.params for stage in found.stages) + found.training_only_params == found.params
    assert found.params == sum(p.numel() for p in network.parameters())
    assert not found.missing


def grow(network: nn.Module) -> nn.Module:
    """Every weight positive, so that a brighter pixel brightens whatever sees it."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        for name, tensor in (*layer.named_parameters(recurse=False),):
            fan_in = max(1, tensor[0].numel()) if tensor.ndim > 1 else 1
            noise = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.data = (0.5 + noise) / fan_in if name == "weight" else 0.01 * noise
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.zero_()  # type: ignore[union-attr]
            layer.running_var.fill_(1.0)  # type: ignore[union-attr]
    return network


def centre(output: Tensor) -> Tensor:
    """All maps together of the middle unit, (N,)."""
    if output.ndim == 4:
        output = output[:, :, output.shape[2] // 2, output.shape[3] // 2]
    return output.flatten(1).sum(dim=1)


def ends(changed: Tensor) -> tuple[int, int]:
    places = changed.nonzero()
    return int(places.min()), int(places.max()) + 1


def seen_by_centres(network: Any, side: int) -> dict[str, tuple[int, int, int, int]]:
    """For each layer's last run the box of the pixels that change its middle unit."""
    grey = torch.full((1, network.in_channels, side, side), 0.1, dtype=torch.float64)
    middle = (side // 2 - 1, side // 2)  # a box has the same rows in every column that it has
    rows = [(at, column) for at in range(side) for column in middle]
    columns = [(row, at) for at in range(side) for row in middle]
    pixels = grey.repeat(len(rows) + len(columns), 1, 1, 1)
    for number, (row, column) in enumerate(rows + columns):
        pixels[number, :, row, column] += 1e6  # some hardly weigh anything
    found: dict[str, Tensor] = {}
    for path, layer in network.named_modules():
        if next(layer.children(), None) is None:
            layer.register_forward_hook(
                lambda _, __, y, path=path: found.__setitem__(path, centre(y.clone()))
            )
    with torch.no_grad():
        network(torch.cat([grey, pixels]))
    boxes = {}
    for path, units in found.items():
        changed = (units[1:] - units[0]).abs() > 1e-12 * units[0].abs()
        by_row, by_column = changed.view(2, side, 2).any(dim=2)
        (top, bottom), (left, right) = map(ends, (by_row, by_column))
        boxes[path] = (top, left, bottom, right)
    return boxes


@pytest.mark.parametrize("name", SMALL)
def test_units_see_what_their_fields_say(name: str) -> None:
    """Pixel by pixel: which of them change the middle unit of each layer?"""
    network: Any = grow(build(name, seed=0).double()).eval()
    side = network.row.input_px
    real = seen_by_centres(network, side)
    found = inspect(name)
    for layer in {layer.name: layer for layer in found.layers}.values():  # the last runs
        sides = layer.output[-2:] if len(layer.output) == 3 else (1, 1)
        told = found.sees(layer.name, sides[0] // 2, sides[1] // 2)
        assert told == real[layer.name], layer.name


def test_the_network_is_left_as_it_was() -> None:
    network = build("resnet_tiny", seed=0).train()
    network.layer1.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [layer.training for layer in network.modules()]
    state = torch.get_rng_state()
    found: Inspection = inspect(network)
    assert found.params == sum(p.numel() for p in network.parameters())
    assert [layer.training for layer in network.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def test_an_inspection_shows_itself() -> None:
    found = inspect("lenet5")
    assert "C3" in str(found)
    assert found._repr_html_().startswith("<pre>lenet5: 61,706 parameters")


@pytest.mark.parametrize("name", [*TINY, "resnet50", "densenet121", "lenet5_1998"])
def test_every_name_that_a_table_prints_is_taken_by_at(name: str) -> None:
    """Layers, the papers' names, stages, folded parts, functions: what can be read can be asked."""
    found = inspect(name, functions=True)
    printed = {stage.name: stage.output for stage in found.stages}
    printed |= {layer.name: layer.output for depth in (1, 2, 3) for layer in found.folded(depth)}
    printed |= {layer.name: layer.output for layer in found.layers}
    printed |= {found.paper_names.get(layer.name, ""): layer.output for layer in found.layers}
    for title, output in printed.items():
        if not title:
            continue
        row, column = output[1:] if len(output) == 3 else (1, 1)
        top, left, bottom, right = found.sees(title, row - 1, column - 1)
        assert 0 <= top < bottom <= found.input[1]
        assert 0 <= left < right <= found.input[2]
        with pytest.raises(WrongUse, match=f"its map has {row}, counted from 0"):
            found.sees(title, row, 0)
        assert found.layer(title.upper()).output == output


def test_a_stage_sees_what_its_end_sees() -> None:
    found = inspect("resnet50")
    assert found.sees("conv4_x", 7, 7) == found.sees("layer3", 7, 7)
    assert found.layer("layer3.5").name == "layer3.5.relu"
    assert found.layer("conv4_x").output == (1024, 14, 14)
