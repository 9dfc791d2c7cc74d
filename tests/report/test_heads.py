"""Auxiliary heads in drawings: where they hang, what is in them, and that nothing else moves."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import backbones
from backbones import catalog
from backbones.api.drawing import Style
from backbones.inspection.graph import record
from backbones.models import build, find_row
from backbones.nn.meta import ShapesOnly
from backbones.report.drawing.heads import MARK
from backbones.report.drawing.scene import Cuboid, Line, Plate, Scene
from backbones.report.drawing.steps import DrawingStep, steps_of

STYLES: tuple[Style, ...] = ("blocks", "graph", "full")
HEADS = {
    "inception_v1": {"inception4a": "aux1", "inception4d": "aux2"},
    "googlenet_aux": {"inception4a": "aux1", "inception4d": "aux2"},
    "googlenet_tiny": {"inception4a": "aux1", "inception4d": "aux2"},
    "inception_v3": {"Mixed_6e": "AuxLogits"},
    "inception_v3_tiny": {"Mixed_5b": "AuxLogits"},
}


@cache
def scene_of(name: str, style: Style) -> Scene:
    return backbones.draw(name, style=style).scene


def trunk_of(name: str) -> tuple[DrawingStep, ...]:
    with ShapesOnly():
        network = build(name)
    side = network.row.input_px
    return steps_of(record(network, (network.in_channels, side, side)))


def dashed(scene: Scene) -> list[Line]:
    return [item for item in scene.items if isinstance(item, Line) and item.dashed]


def boxes_of(scene: Scene, path: str) -> set[str]:
    """The boxes of a head."""
    boxes = (item for item in scene.items if isinstance(item, Cuboid | Plate))
    return {item.key for item in boxes if item.key.startswith(f"{path}/")}


def test_every_network_with_heads_is_tested_here() -> None:
    found = {}
    for name in catalog.names():
        if "self.heads" not in inspect.getsource(find_row(name)[0]):
            continue
        with ShapesOnly():
            heads = build(name).heads
        if heads:
            found[name] = heads
    assert found == HEADS


@pytest.mark.parametrize("name", ["googlenet_tiny", "inception_v3_tiny"])
def test_heads_read_what_the_network_says_that_they_read(name: str) -> None:
    """A training pass tells: the very tensor that the named module made goes into the head."""
    network, made, read = build(name, seed=0).train(), {}, {}
    assert HEADS[name] == network.heads
    for reads, path in HEADS[name].items():
        network.get_submodule(reads).register_forward_hook(
            lambda _, __, output, path=path: made.update({path: output})
        )
        network.get_submodule(path).register_forward_hook(
            lambda _, inputs, __, path=path: read.update({path: inputs[0]})
        )
    answer = network(torch.zeros(2, network.in_channels, 64, 64))
    assert len(answer.auxiliary) == len(read) == len(HEADS[name])
    assert all(read[path] is made[path] for path in read)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("style", STYLES)
def test_heads_hang_off_their_modules(name: str, style: Style) -> None:
    scene, trunk = scene_of(name, style), trunk_of(name)
    assert scene.overlaps() == []
    assert scene.texts.count(MARK) == len(HEADS[name])
    lines = [(line.source, line.target) for line in dashed(scene)]
    for reads, path in HEADS[name].items():
        (source,) = [s for s, target in lines if target.startswith(f"{path}/") and "/" not in s]
        step = trunk[int(source)]
        assert step.kind == "concat"
        assert step.module == reads
        ends = [f"{path}/{n}" for n in range(1, 1 + len(boxes_of(scene, path)))]
        assert len(ends) >= 4
        assert {pair for pair in lines if pair[1].startswith(f"{path}/")} == {
            *pairwise([source, *ends])
        }
        assert path in scene.texts


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("name", "count"), [("inception_v1", 3), ("googlenet", 1)])
def test_the_softmaxes_of_figure_3_are_drawn_behind_the_scores(
    name: str, count: int, style: Style
) -> None:
    """They read the last layer of the network and of each head, and nothing reads them."""
    scene, last = scene_of(name, style), trunk_of(name)[-1].index
    heads = {path: max(int(key.partition("/")[2]) for key in boxes_of(scene, path))
             for path in ("aux1", "aux2")[: count - 1]}  # fmt: skip
    expected = {(str(last), str(last + 1))} | {
        (f"{path}/{end - 1}", f"{path}/{end}") for path, end in heads.items()
    }
    lines = {(i.source, i.target) for i in scene.items if isinstance(i, Line)}
    assert expected <= lines
    assert not {end for _, end in expected} & {source for source, _ in lines}
    written = [text for text in scene.texts if text.startswith("softmax") and text[-1].isdigit()]
    assert sorted(written) == ["softmax0", "softmax1", "softmax2"][-count:]


def test_what_is_in_a_head_is_written_on_it() -> None:
    written = Counter(scene_of("googlenet_aux", "full").texts)
    without = Counter(scene_of("googlenet", "full").texts)
    assert written - without >= Counter(
        {"avg to 4×4": 2, "512×4×4": 1, "528×4×4": 1, "128×4×4": 2, "fc · ReLU": 2, "1000": 2}
    )
    assert {"avg 5×5/3", "768×1×1"} <= set(scene_of("inception_v3", "blocks").texts)


@pytest.mark.parametrize("style", STYLES)
def test_the_flow_is_drawn_as_it_is_without_heads(style: Style) -> None:
    """Boxes keep their sizes, colours and order; a head takes room behind what it reads."""

    def boxes(name: str) -> list[Cuboid | Plate]:
        found = [i for i in scene_of(name, style).items if isinstance(i, Cuboid | Plate)]
        return [replace(i, x=0.0, y=0.0) for i in found if i.key and "/" not in i.key]

    assert boxes("inception_v1") == boxes("inception_v1_noaux")
    assert not dashed(scene_of("inception_v1_noaux", style))


@pytest.mark.parametrize("name", ["inception_v1", "inception_v3", "googlenet_tiny"])
def test_heads_leave_no_empty_band(name: str) -> None:
    """They stand beside the way to the next part: a line is hardly higher for them."""
    items = scene_of(name, "blocks").items
    grounds = [i for i in items if isinstance(i, Plate) and i.is_ground]
    heads = [i for i in grounds if i.dashed and any(
        _inside(box, i) for box in items if isinstance(box, Plate) and "/" in box.key)]  # fmt: skip
    assert len(heads) == len(HEADS[name])
    for head in heads:
        beside = [i for i in grounds if i is not head and i.y < head.y < i.y + i.height]
        assert beside
        assert head.y + head.height < max(i.y + i.height for i in beside) + 25.0


def _inside(box: Plate, ground: Plate) -> bool:
    (left, top, right, bottom), (x, y, far, low) = box.area, ground.area
    return x <= left and y <= top and right <= far and bottom <= low


def test_a_head_that_small_images_do_not_reach_is_left_out_and_told() -> None:
    texts = backbones.draw("inception_v3", (3, 160, 160)).scene.texts
    assert MARK not in texts
    assert any("parts that an evaluation does not run, not drawn" in text for text in texts)
    assert any(
        "auxiliary heads, which only training runs" in text
        for text in scene_of("inception_v3", "blocks").texts
    )


class Chain(nn.Module):
    """Six equal layers, which a drawing folds, and a head on the third."""

    def __init__(self) -> None:
        super().__init__()
        self.row = SimpleNamespace(name="chain")
        self.heads = {"layers.2": "side"}
        self.layers = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6)))
        self.side = nn.Conv2d(4, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def test_a_layer_that_a_head_reads_is_not_folded_away() -> None:
    scene = backbones.draw(Chain(), (4, 8, 8)).scene
    assert [(line.source, line.target) for line in dashed(scene)] == [("3", "side/1")]
    assert "× 6" not in scene.texts
    assert scene.overlaps() == []
