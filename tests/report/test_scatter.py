"""Charts of accuracy against cost: labels cover nothing, every network is named."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from backbones import compare
from backbones.errors import WrongUse
from backbones.report import scatter
from backbones.report.labelling import LabelBox, is_far, place_labels

FRAME = LabelBox(0, 0, 640, 560)
TWELVE = [
    *("alexnet", "vgg11_bn", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50"),
    *("resnet34", "densenet121", "mobilenet_v2", "efficientnet_b0", "efficientnet_b2"),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("crowd", [1.0, 0.35])
def test_labels_cover_neither_points_nor_each_other(seed: int, crowd: float) -> None:
    rng = np.random.default_rng(seed)
    where = 280 + (rng.random((14, 2)) - 0.5) * 520 * crowd
    points = [(float(x), float(y)) for x, y in where]
    sizes = [(float(rng.integers(40, 110)), 14.0) for _ in points]
    boxes = place_labels(points, sizes, FRAME, radius=9)
    marks = [LabelBox(x - 9, y - 9, x + 9, y + 9) for x, y in points]
    for one, other in combinations(boxes, 2):
        assert one.overlap(other) == 0
    for number, box in enumerate(boxes):
        assert FRAME.holds(box)
        assert box.right - box.left == pytest.approx(sizes[number][0])
        assert sum(box.overlap(m) for i, m in enumerate(marks) if i != number) == 0


def test_a_label_without_neighbours_stands_beside_its_point() -> None:
    (box,) = place_labels([(100, 100)], [(50, 14)], FRAME, radius=9)
    assert (box.left, (box.bottom + box.top) / 2) == (109, 100)
    assert not is_far((100, 100), box, 9)


def test_a_label_at_the_edge_turns_inwards() -> None:
    (box,) = place_labels([(630, 100)], [(50, 14)], FRAME, radius=9)
    assert box.right == 621


def test_every_label_of_a_chart_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve networks, as Matplotlib measures their names."""
    placed: list[tuple[list[LabelBox], LabelBox]] = []

    def keep(points, sizes, frame, radius, lines):
        boxes = place_labels(points, sizes, frame, radius, lines)
        placed.append((boxes, frame))
        return boxes

    monkeypatch.setattr(scatter, "place_labels", keep)
    compare(TWELVE, measure=False).draw(tmp_path / "chart.png")
    assert len(placed) == 2, "MACs and parameters; nothing was measured"
    for boxes, frame in placed:
        assert len(boxes) == 12
        assert all(frame.holds(box) for box in boxes)
        assert not any(one.overlap(other) for one, other in combinations(boxes, 2))


def test_a_chart_a_label_set_and_a_word_on_who_is_missing(tmp_path: Path) -> None:
    """Accuracies on ImageNet and on CIFAR-10 must not share an axis."""
    found = compare(["alexnet", "resnet20_cifar", "lenet5", "efficientnet_b2"], measure=False)
    below = " ".join(scatter._below(found, 1000))
    assert "Not drawn, no such accuracy published: lenet5." in below
    assert "Hollow: printed for images of another size" in below, "B2's, for 288 px"
    assert "Accuracy: of one series of weights (tv_in1k" in below
    path = found.draw(tmp_path / "chart.svg")
    panels = re.findall(r'id="axes_\d+"', path.read_text(encoding="utf-8"))
    assert len(panels) == 4
    ElementTree.parse(path)


def test_a_familys_line_goes_up_and_never_zigzags() -> None:
    """vgg11 costs as much as vgg11_bn, vgg13 more than it, and both are worse."""
    rows = compare(["vgg13", "vgg11", "vgg19_bn", "vgg11_bn", "vgg16"], measure=False).rows
    line = scatter.frontier(rows, scatter.Cost("", "macs"))
    assert [row.name for row in line] == ["vgg11_bn", "vgg16", "vgg19_bn"]


def test_charts_of_many_networks_keep_their_letters_readable(tmp_path: Path) -> None:
    """9 px where a chart is shown 1280 px wide."""
    path = compare(["vgg*", "resnet*", "densenet*"], measure=False).draw(tmp_path / "chart.svg")
    text = path.read_text(encoding="utf-8")
    width = float(ElementTree.fromstring(text).attrib["viewBox"].split()[2])
    smallest = min(100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -", text))
    assert smallest * 1280 / width >= 9.0


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no accuracy is published"):
        compare("lenet5", measure=False).draw(tmp_path / "chart.png")
    assert not list(tmp_path.iterdir())
