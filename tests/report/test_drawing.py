"""Drawings: true to the graph, legible, and the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import backbones
from backbones import catalog
from backbones.errors import WrongUse
from backbones.inspection.graph import record
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.report.drawing.drawing import Drawing
from backbones.report.drawing.layered import Room, place
from backbones.report.drawing.lettering import SMALLEST, WIDEST
from backbones.report.drawing.outline import outline
from backbones.report.drawing.scene import ACTIVATION, Cuboid, Line, Plate, Scene, Text
from backbones.report.drawing.steps import DrawingStep, steps_of, with_softmax
from backbones.report.drawing.towers import in_towers

TINY = [name for name in catalog.names() if name.endswith("_tiny")]
POSTERS = ["lenet5", "vgg16", "inception_v1", "resnet50", "densenet121", "efficientnet_b0"]


@cache
def drawn(name: str, style: str = "blocks") -> Drawing:
    return backbones.draw(name, style=style)  # type: ignore[arg-type]


def steps(name: str) -> tuple[DrawingStep, ...]:
    with ShapesOnly():
        network = build(name)
    side = network.row.input_px
    return steps_of(record(network, (network.in_channels, side, side)))


def counts(scene: Scene) -> list[int]:
    """The numbers of repeats, in the order of the flow."""
    return [int(text[2:]) for text in scene.texts if text.startswith("× ")]


def keys(scene: Scene) -> set[str]:
    return {i.key for i in scene.items if isinstance(i, Cuboid | Plate) and i.key}


# These are drawings of another network in the list, with other counts or widths.
REPEATED = re.compile(r"resnet1202_cifar|.*(_same|_nobias|_narrow\w*|_0[257][50]|_140)")


@pytest.mark.parametrize("name", [name for name in catalog.names() if not REPEATED.fullmatch(name)])
def test_every_network_is_drawn_and_nothing_overlaps(name: str) -> None:
    scene = drawn(name).scene
    assert scene.overlaps() == []
    for item in scene.items:
        left, top, right, bottom = item.area
        assert left >= 0, item
        assert top >= 0, item
        assert right <= scene.width, item
        assert bottom <= scene.height, item
    assert str(catalog.facts(name).num_classes) in scene.texts
    assert 0.4 < scene.width / scene.height < 4, "no screen is like that"
    assert scene.width <= WIDEST, "no label under 9 px where it is shown 1280 px wide"
    assert min(item.size for item in scene.items if isinstance(item, Text)) >= SMALLEST


@pytest.mark.parametrize("style", ["blocks", "graph"])
@pytest.mark.parametrize("name", ["inception_v1", "efficientnet_b0", "resnet_tiny"])
def test_every_letter_of_the_file_has_9_px_on_a_slide(name: str, style: str) -> None:
    """Read from the SVG itself: letters are shapes of 100 units, scaled to the size of the font."""
    root = ElementTree.fromstring(drawn(name, style).svg)
    width = float(root.attrib["viewBox"].split()[2])
    sizes = [
        100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -", drawn(name, style).svg)
    ]
    assert len(sizes) >= len(drawn(name, style).scene.texts) > 10
    assert min(sizes) * 1280 / width >= 9.0


@pytest.mark.parametrize("name", [*TINY, *POSTERS])
def test_the_folded_graph_has_no_overlaps(name: str) -> None:
    assert drawn(name, "graph").scene.overlaps() == []


@pytest.mark.parametrize("name", [*TINY, *POSTERS, "inception_resnet_v2", "inception_v3"])
@pytest.mark.parametrize("style", ["blocks", "graph"])
def test_no_line_runs_through_a_text(name: str, style: str) -> None:
    scene = drawn(name, style).scene
    signs = {"+", "×"}  # they lie on their discs
    texts = [i for i in scene.items if isinstance(i, Text) and i.text not in signs]
    lines = [i for i in scene.items if isinstance(i, Line) and not i.smooth]
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(line.points):
            for text in texts:
                left, top, right, bottom = text.area
                beside = max(x0, x1) <= left or min(x0, x1) >= right
                apart = max(y0, y1) <= top or min(y0, y1) >= bottom
                assert beside or apart, (text, line)


@pytest.mark.parametrize("name", [*TINY, "resnet50", "inception_v1", "efficientnet_b0"])
def test_lines_connect_what_the_graph_connects(name: str) -> None:
    """The unfolded graph has a box a step, and a line for each connection and for nothing else.

    What only training runs is tested in `test_heads`.
    """
    with ShapesOnly():
        softmax = getattr(build(name), "figure_softmax", {}).get("", "")
    scene, expected = drawn(name, "full").scene, with_softmax(in_towers(steps(name)), softmax)
    ways = ((i.source, i.target) for i in scene.items if isinstance(i, Line))
    lines = {(source, target) for source, target in ways if "/" not in target}
    assert lines == {(str(s), str(step.index)) for step in expected for s in step.inputs}
    assert {key for key in keys(scene) if "/" not in key} == {str(s.index) for s in expected}
    assert scene.overlaps() == []


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "inception_v1", "densenet_tiny"])
def test_labels_are_the_real_shapes(name: str) -> None:
    """Every convolution and fully connected layer of `inspect` is in the unfolded drawing."""
    written = Counter(drawn(name, "full").scene.texts)
    layers = [layer for layer in backbones.inspect(name).layers if layer.macs]
    shapes = Counter("×".join(map(str, layer.output)) for layer in layers)
    assert layers
    assert not shapes - written


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", [3, 4, 6, 3]),
        ("resnet101", [3, 4, 23, 3]),
        ("densenet121", [6, 12, 24, 16]),
        ("efficientnet_b0", [2, 2, 3, 3, 4]),
        ("mobilenet_v1_100", [2, 2, 6, 2]),
        ("resnet20_cifar", [3, 3, 3]),
        ("inception_v4", [4, 7, 3]),
        ("vgg16", []),
    ],
)
@pytest.mark.parametrize("style", ["blocks", "graph"])
def test_repeats_are_folded_as_in_the_papers_tables(
    name: str, expected: list[int], style: str
) -> None:
    assert counts(drawn(name, style).scene) == expected


def test_a_first_block_that_differs_is_told() -> None:
    texts = drawn("resnet50").scene.texts
    assert texts.count("first: 3×3/2") == texts.count("first: 1×1/2") == 3
    assert texts.count("first: 1×1") == 1
    assert "first: 1×1 96, 3×3/2 96, no shortcut" in drawn("efficientnet_b0").scene.texts


def test_a_stage_that_repeats_as_a_whole_has_one_frame_and_one_count() -> None:
    for style in ("blocks", "graph"):
        texts = drawn("inception_v4", style).scene.texts
        assert {"Inception-A", "× 4"} <= set(texts)
        assert "4 x Inception-A" not in texts


def test_stage_9_of_efficientnet_is_one_panel() -> None:
    """Table 1: "9 Conv1x1 & Pooling & FC"."""
    for style in ("blocks", "graph"):
        items = drawn("efficientnet_b0", style).scene.items
        (title,) = [i for i in items if isinstance(i, Text) and i.text == "9 Conv1x1 & FC"]
        panels = [
            i.area
            for i in items
            if isinstance(i, Plate) and i.is_ground and i.x < title.x < i.x + i.width
        ]
        (panel,) = [area for area in panels if area[1] < title.y < area[3]]
        last = [i for i in items if isinstance(i, Cuboid | Plate) and i.key][-3:]
        assert len(last) == 3
        for box in last:
            assert panel[0] < box.x < panel[2]
            assert panel[1] < box.y < panel[3]


@pytest.mark.parametrize("style", ["blocks", "graph", "full"])
def test_shapes_are_written_as_papers_print_them(style: str) -> None:
    pictures = {
        order: backbones.draw("vgg_tiny", style=style, shape=order).scene.texts  # type: ignore[arg-type]
        for order in ("chw", "hwc")
    }
    first = steps("vgg_tiny")[1].shape
    assert "×".join(map(str, first)) in pictures["chw"]
    assert "×".join(map(str, (*first[1:], first[0]))) in pictures["hwc"]
    assert any(text.startswith("input 32×32×3 ·") for text in pictures["hwc"])


def test_the_legend_calls_layers_by_their_names() -> None:
    """LeNet-5's output was "other"; SE and its number were not explained."""
    assert Counter(drawn("lenet5_1998").scene.texts)["RBF"] == 2  # under the box, and here
    assert "other" not in drawn("lenet5_1998").scene.texts
    (told,) = [t for t in drawn("efficientnet_b0").scene.texts if t.startswith("squeeze-and")]
    assert "SE n" in told


def test_dense_connections_have_arrowheads() -> None:
    arcs = [i for i in drawn("densenet121").scene.items if isinstance(i, Line) and i.smooth]
    assert len(arcs) == 4 * 15  # source, three layers, the last one, and the concatenation
    assert all(arc.head for arc in arcs)


def test_a_dense_block_in_a_graph_is_no_residual_one() -> None:
    """Its first and its last layer are drawn with all ways between them."""
    found = steps("densenet121")
    block = [step for step in found if "denseblock1" in step.module]
    lines = {(i.source, i.target) for i in drawn("densenet121", "graph").scene.items
             if isinstance(i, Line)}  # fmt: skip
    convolutions = [step.index for step in block if step.kind == "convolution"]
    source, join = block[0].index - 1, block[-1].index
    (first_begin, first), (last_begin, last) = convolutions[:2], convolutions[-2:]
    ways = {
        *((source, first_begin), (source, last_begin), (source, join)),
        *((first, last_begin), (first, join), (last, join)),
    }
    assert {(str(a), str(b)) for a, b in ways} <= lines


def test_boxes_grow_with_the_maps() -> None:
    by_shape = {
        step.shape: item
        for step in steps("vgg16")
        for item in drawn("vgg16").scene.items
        if isinstance(item, Cuboid) and item.key == str(step.index)
    }
    high, low = by_shape[(64, 224, 224)], by_shape[(512, 7, 7)]
    assert high.height > by_shape[(128, 112, 112)].height > low.height > 6
    assert high.width < low.width
    fc, logits = by_shape[(4096,)], by_shape[(1000,)]
    assert fc.height > logits.height


def test_stages_and_layers_have_the_papers_names() -> None:
    assert {"conv3_3", "conv5_1", "pool4", "conv4", "FC-1000"} <= set(drawn("vgg16").scene.texts)
    assert {"C1", "S2", "F6", "OUTPUT"} <= set(drawn("lenet5").scene.texts)
    assert {"inception (3a)", "inception (5b)"} <= set(drawn("inception_v1").scene.texts)
    assert {"Dense Block (3)", "Transition Layer (2)"} <= set(drawn("densenet121").scene.texts)


def test_the_caption_says_whose_network_it_is_and_what_it_costs() -> None:
    caption = " ".join(drawn("vgg16").scene.texts)
    assert "Simonyan & Zisserman (2014)" in caption
    assert "138.4 M parameters" in caption
    assert "15.5 G multiply-accumulates" in caption


def test_parallel_towers_and_shortcuts_are_drawn_as_such() -> None:
    """Inception's four towers lie beside each other; a residual block has a way around it."""
    found = outline(steps("inception_v1"), {}, ())
    section = next(e for stage in found for e in stage.elements if not isinstance(e, DrawingStep))
    firsts = [s.index for s in section.steps if s.inputs == (section.source,)]
    boxes = {i.key: i for i in drawn("inception_v1").scene.items if isinstance(i, Cuboid)}
    assert len(firsts) == 4
    middles = [boxes[str(index)].x + boxes[str(index)].area[2] for index in firsts]
    assert max(middles) - min(middles) < 0.1
    assert len({round(boxes[str(index)].y) for index in firsts}) == 4
    arcs = [i for i in drawn("resnet50").scene.items if isinstance(i, Line) and len(i.points) == 4]
    assert Counter(arc.dashed for arc in arcs) == {False: 4, True: 4}


@pytest.mark.parametrize("style", ["blocks", "graph", "full"])
@pytest.mark.parametrize(
    ("name", "active"), [("resnet50", True), ("resnet_tiny", True), ("mobilenet_v2", False)]
)
def test_the_activation_after_a_sum_is_drawn(name: str, style: str, active: bool) -> None:
    """ResNet has a ReLU after each sum (Figure 2), MobileNet v2 has none."""
    items = drawn(name, style).scene.items
    texts = [i for i in items if isinstance(i, Text)]
    sums = [i for i in texts if i.text == "+"]
    rings = [i for i in items if isinstance(i, Plate) and i.fill == ACTIVATION]
    assert sums
    for sign in sums:
        around = [
            r for r in rings if r.x < sign.x < r.x + r.width and r.y < sign.y < r.y + r.height
        ]
        named = [
            i for i in texts if i.text == "ReLU" and abs(i.x - sign.x) + abs(i.y - sign.y) < 16
        ]
        assert len(around) == len(named) == active


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_projection_shortcuts_are_dashed(name: str) -> None:
    """He et al., Figure 3: "the dotted shortcuts increase dimensions". Where blocks are folded, the
    first one's projection is drawn beside the identity of the others."""
    every = drawn(name, "full")
    found = {i.source: i.target for i in every.scene.items if isinstance(i, Line) and i.dashed}
    with ShapesOnly():
        network = build(name)
    paths = [path for path, _ in network.named_modules() if path.endswith("downsample")]
    layers = {step.module: step for step in steps(name)}
    projections = [layers[f"{path}.0"] for path in paths]
    sums = {str(step.index): step.inputs for step in steps(name) if step.kind == "add"}
    assert len(found) == 2 * len(projections) == 2 * (3 + (name == "resnet50"))
    for step in projections:
        assert found[str(step.inputs[0])] == str(step.index)
        assert step.index in sums[found[str(step.index)]]
    for style in ("blocks", "graph"):
        arcs = [i for i in drawn(name, style).scene.items if isinstance(i, Line) and i.dashed]
        assert len(arcs) == len(projections)
        assert {arc.target for arc in arcs} <= set(sums)


def test_shortcuts_padded_with_zeros_are_dashed_as_well() -> None:
    """The same figure, and section 4.1: option A increases dimensions without a layer."""
    found = {str(step.index): step for step in steps("resnet18_a")}
    arcs = [i for i in drawn("resnet18_a", "full").scene.items if isinstance(i, Line) and i.dashed]
    grown = {
        (source, target)
        for target, step in found.items()
        if step.kind == "add"
        for source in map(str, step.inputs)
        if found[source].shape != step.shape
    }
    assert {(arc.source, arc.target) for arc in arcs} == grown
    assert len(grown) == 3
    for style in ("blocks", "graph"):
        items = drawn("resnet18_a", style).scene.items
        assert len([i for i in items if isinstance(i, Line) and i.dashed]) == 3
        told = [i.text for i in items if isinstance(i, Text) and "first:" in i.text]
        assert told.count("first: zeros for new maps") == 3


def edges(name: str, style: str) -> set[tuple[str, str]]:
    lines = [i for i in drawn(name, style).scene.items if isinstance(i, Line)]
    # a line without a head goes on into a fork, whose ways have heads
    assert {line.target for line in lines} == {line.target for line in lines if line.head}
    return {(line.source, line.target) for line in lines}


@pytest.mark.parametrize("style", ["blocks", "graph", "full"])
def test_alexnets_towers_are_two_columns_that_cross_where_the_papers_do(style: str) -> None:
    """Figure 2: the third convolution and the fully connected layers see both towers."""
    columns = [(number, number + 1) for number in range(1, 21, 2)]
    crossing = {columns[4], columns[8], columns[9]}  # conv3, fc6, fc7
    expected = {("0", "1"), ("0", "2"), ("19", "21"), ("20", "21"), ("21", "22")}  # and softmax
    for before, here in pairwise(columns):
        ways = (
            [(a, b) for a in before for b in here]
            if here in crossing
            else zip(before, here, strict=True)
        )
        expected |= {(str(a), str(b)) for a, b in ways}
    assert edges("alexnet_2012", style) == expected
    texts = Counter(drawn("alexnet_2012", style).scene.texts)
    for shape in ("48×55×55", "128×27×27", "192×13×13", "128×6×6", "2048"):
        assert texts[shape] >= 2, shape
    assert texts["1000"] == 2  # fc8 and its softmax
    assert not any(" g2" in text for text in texts)
    assert any("LRN" in text for text in texts)
    assert any("g2" in step.title for step in steps("alexnet_2012")), "the network's own graph"


@pytest.mark.parametrize("style", ["blocks", "graph", "full"])
def test_lenets_c3_is_three_parts_side_by_side(style: str) -> None:
    """Table I: 6 maps see 3 of S2, 9 see 4, one sees all 6; none of them sees another."""
    found = {(s, t) for s, t in edges("lenet5_1998", style) if s in "23456" and t in "23456"}
    assert found == {("2", "3"), ("2", "4"), ("2", "5"), ("3", "6"), ("4", "6"), ("5", "6")}
    parts = [(step.kind, step.title, step.shape[0]) for step in steps("lenet5_1998")[3:7]]
    assert parts == [
        ("convolution", "5×5, 3 maps each", 6),
        ("convolution", "5×5, 4 maps each", 9),
        ("convolution", "5×5", 1),
        ("concat", "concat", 16),
    ]


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_equal_drawings_are_equal_files(tmp_path: Path, kind: str) -> None:
    files = [tmp_path / f"{number}.{kind}" for number in (1, 2)]
    for file in files:
        backbones.draw("densenet_tiny").save(file, dots=60)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first[:4] in (b"<?xm", b"\x89PNG", b"%PDF")


def test_another_process_draws_the_same() -> None:
    code = (
        "import sys, hashlib, backbones\n"
        "svg = backbones.draw('googlenet_tiny').svg\n"
        "sys.stdout.write(hashlib.sha256(svg.encode()).hexdigest())"
    )
    here = backbones.draw("googlenet_tiny").svg
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
    )
    assert answer.stdout == hashlib.sha256(here.encode()).hexdigest()


def test_a_notebook_gets_well_formed_svg() -> None:
    drawing = drawn("lenet5")
    root = ElementTree.fromstring(drawing._repr_svg_())
    assert root.tag.endswith("svg")
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(drawing.scene.width)
    assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > 50


def test_drawing_leaves_the_network_as_it_was() -> None:
    network = build("resnet_tiny", seed=0).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    backbones.draw(network)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(layer._forward_hooks for layer in network.modules())


class Strange(nn.Module):
    """Branches that cross, a gate, layers in no container: nothing to group."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.c, self.d = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 8, 1, groups=2)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.a(x), self.b(x)
        c = self.c(torch.cat([a, b], 1))
        d = self.d(a) * b
        return self.last((c + d - a).mean((2, 3))), d


@pytest.mark.parametrize("style", ["blocks", "graph", "full"])
def test_any_module_is_drawn_layer_by_layer(style: str) -> None:
    scene = backbones.draw(Strange(), (3, 16, 16), style=style).scene  # type: ignore[arg-type]
    assert "Strange" in scene.texts
    assert Counter(scene.texts)["8×16×16"] >= 4
    assert {"16×16×16", "5"} <= set(scene.texts)
    assert scene.overlaps() == []
    found = steps_of(record(Strange(), (3, 16, 16)))
    lines = {(i.source, i.target) for i in scene.items if isinstance(i, Line)}
    assert lines == {(str(s), str(step.index)) for step in found for s in step.inputs}


def test_many_equal_layers_are_folded_and_few_are_not() -> None:
    def chain(count: int) -> nn.Sequential:
        return nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(count)))

    assert counts(backbones.draw(chain(18), (4, 8, 8)).scene) == [18]
    assert counts(backbones.draw(chain(3), (4, 8, 8)).scene) == []


def test_other_libraries_networks_are_drawn(torchvision) -> None:
    scene = backbones.draw(torchvision.models.mobilenet_v3_small()).scene
    assert counts(scene) == [2, 3, 2, 3]
    assert "SE 64" in scene.texts
    assert scene.overlaps() == []


def test_an_unknown_style_or_suffix_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="blocks, graph or full"):
        backbones.draw("lenet5", style="poster")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="chw or hwc"):
        backbones.draw("lenet5", shape="whc")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match=r"\.gif.*expected one of \.svg, \.png, \.pdf"):
        drawn("lenet5").save(tmp_path / "lenet.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", range(6))
def test_layout_keeps_distances_in_any_graph(seed: int) -> None:
    random = Random(seed)
    count = 14
    edges = sorted({(random.randrange(n), n) for n in range(1, count) for _ in range(2)})
    rooms = [Room(random.uniform(1, 9), random.uniform(1, 9), random.uniform(1, 9)) for _ in edges]
    rooms = (rooms * 2)[:count]
    found = place(rooms, edges, gap_along=3.0, gap_across=2.0)
    for source, target in edges:
        assert found.ranks[source] < found.ranks[target]
        assert len(found.routes[source, target]) == found.ranks[target] - found.ranks[source] - 1
    assert all(b[0] - a[1] >= 3.0 - 1e-9 for a, b in pairwise(found.spans))
    for a in range(count):
        for b in range(a + 1, count):
            if found.ranks[a] == found.ranks[b]:
                low, high = sorted((a, b), key=lambda node: found.across[node])
                distance = found.across[high] - found.across[low]
                assert distance >= rooms[low].after + 2.0 + rooms[high].before - 1e-2


def test_branches_are_straight_and_do_not_cross() -> None:
    """Three towers of different lengths between a fork and a join."""
    edges = [(0, 1), (0, 2), (2, 3), (0, 4), (4, 5), (5, 6), (1, 7), (3, 7), (6, 7)]
    found = place([Room(4, 2, 2)] * 8, edges, gap_along=3, gap_across=2)
    for tower in ((2, 3), (4, 5, 6)):
        assert len({found.across[node] for node in tower}) == 1
    assert {off for _, off in found.routes[1, 7]} == {found.across[1]}
    assert found.across[1] < found.across[2] < found.across[4]


def test_texts_that_lie_on_each_other_are_found() -> None:
    """The test of the tests: overlaps are seen where there are some."""
    one, two = Text(10, 10, "one", 8, 20.0), Text(15, 12, "two", 8, 20.0)
    assert Scene(50, 50, (one, two)).overlaps() == [(one, two)]
    plate = Plate(0, 0, 40, 30, "#ffffff", "#000000")
    assert Scene(50, 50, (plate, one)).overlaps() == []
    box = Cuboid(5, 5, 10, 10, 2, "#aabbcc")
    assert Scene(50, 50, (one, box)).overlaps() == [(one, box)]
