"""The confusion matrix and the curves: files, sizes, what they refuse."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from backbones.errors import BadData, NotFound
from backbones.report import confusion, curves, fonts
from backbones.report.charts import label_font
from backbones.report.confusion import confusion_csv, draw_confusion
from backbones.report.curves import draw_curves, read_metrics
from backbones.training.preview import harder_for_training
from backbones.training.recipe import Recipe

RECORDS: list[dict[str, Any]] = [
    {"record": "step", "step": 1, "epoch": 1, "loss": 2.3, "lr": 0.1},
    {"record": "step", "step": 2, "epoch": 1, "loss": None, "lr": 0.1},
    {"record": "epoch", "step": 2, "epoch": 1, "loss": 2.0, "top1_error_percent": 60.0, "lr": 0.1},
    {"record": "evaluation", "step": 2, "epoch": 1, "loss": 1.9, "top1_error_percent": 55.0},
]


@pytest.mark.parametrize("classes", [1, 10, 130])
def test_any_number_of_classes_can_be_drawn(tmp_path: Path, classes: int) -> None:
    counts = np.eye(classes, dtype=np.int64) * 7
    counts[0, -1] += 3
    path = draw_confusion(counts, [f"class {i}" for i in range(classes)], tmp_path / "c.png")
    with Image.open(path) as image:
        assert min(image.size) >= 400
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is drawn, before it becomes a file."""
    found: list[Any] = []
    for module in (confusion, curves):
        monkeypatch.setattr(
            module, "save_figure", lambda figure, path: found.append(figure) or path
        )
    return found


def test_errors_are_seen_and_have_the_percentage_of_their_row(tmp_path, figures) -> None:
    """One error in a hundred was a cell as good as white beside the dark diagonal."""
    draw_confusion([[99, 1], [30, 170]], ["ant", "bee"], tmp_path / "c.png")
    axes = figures[0].axes[0]
    errors, right = axes.images
    written = [text.get_text() for text in axes.texts]
    assert written == ["99", "99 %", "1", "1 %", "30", "15 %", "170", "85 %"]
    few = np.array(errors.cmap(errors.norm(0.01))[:3])
    diagonal = np.array(right.cmap(right.norm(0.99))[:3])
    assert 1 - few.min() > 1 - diagonal.min(), "more colour than what is right"
    assert few[2] < few[0], "and another one"
    assert errors.get_array().mask.tolist() == [[True, False], [False, True]]


def test_an_axis_of_epochs_ends_with_the_last_one(tmp_path, figures) -> None:
    """30 epochs had ticks up to 28."""
    records = [{"record": "epoch", "step": 10 * n, "epoch": n, "loss": 1.0} for n in range(1, 31)]
    draw_curves(records, tmp_path, harder="augmentation and label smoothing")
    ticks = figures[0].axes[-1].get_xticks().tolist()
    assert (ticks[0], ticks[-1]) == (0, 30)
    assert min(np.diff(ticks)) > 1.8
    (legend,) = (text.get_text() for text in figures[0].axes[0].get_legend().get_texts())
    assert legend == "training, with augmentation and label smoothing"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ""),
        ({"augment": {"flip": 0.5}}, "augmentation"),
        ({"augment": {"flip": 0.5}, "label_smoothing": 0.1}, "augmentation and label smoothing"),
        (
            {"augment": {"pad": 4}, "mixup": 0.2, "label_smoothing": 0.1},
            "augmentation, mixed images and label smoothing",
        ),
    ],
)
def test_what_makes_training_harder_is_said(settings: dict[str, Any], words: str) -> None:
    assert harder_for_training(Recipe.model_validate(settings)) == words


def test_classes_without_images_are_no_warning(tmp_path: Path) -> None:
    draw_confusion([[0, 0], [0, 0]], ["a", "b"], tmp_path / "c.svg")
    ElementTree.parse(tmp_path / "c.svg")


def test_confusion_csv_reads_back() -> None:
    rows = list(csv.reader(io.StringIO(confusion_csv([[5, 1], [0, 2]], ["a, b", "虎斑猫"]))))
    assert rows[0][1:] == ["a, b", "虎斑猫"]
    assert rows[1:] == [["a, b", "5", "1"], ["虎斑猫", "0", "2"]]


def test_chart_labels_are_spelled_where_no_font_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fonts, "font_folders", lambda: ())
    rare = "\U00020000"  # not among the characters of our label sets, so not in the shipped font
    font, texts = label_font(["cat", rare])
    assert font is None
    assert texts == ["cat", "<U+20000>"]
    draw_confusion([[1, 0], [0, 1]], ["cat", rare], tmp_path / "c.png")  # no missing-glyph warning


def test_chart_labels_take_a_font_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dejavu: Path
) -> None:
    """A letter that Matplotlib's upright sans lacks, in a font that has it."""
    folder = dejavu.parent
    letter = "𝖆"
    source = folder / "STIXGeneral.ttf"
    shutil.copy(source, tmp_path / "simhei.ttf")
    monkeypatch.setattr(fonts, "font_folders", lambda: (tmp_path,))
    font, texts = label_font([letter])
    assert font is not None
    assert font.get_file() == str(tmp_path / "simhei.ttf")
    assert texts == [letter]


def test_curves_are_two_files_and_the_same_for_equal_runs(tmp_path: Path) -> None:
    png, svg = draw_curves(RECORDS, tmp_path / "out", title="lenet5")
    again = draw_curves(RECORDS, tmp_path / "again", title="lenet5")
    assert [path.read_bytes() for path in (png, svg)] == [path.read_bytes() for path in again]
    with Image.open(png) as image:
        assert image.width > 600
    ElementTree.parse(svg)
    assert sorted(path.name for path in png.parent.iterdir()) == ["curves.png", "curves.svg"]


@pytest.mark.parametrize("kept", [RECORDS[:1], RECORDS[3:]])
def test_a_run_that_has_just_begun_can_be_drawn(tmp_path: Path, kept: list[dict[str, Any]]) -> None:
    assert all(path.stat().st_size for path in draw_curves(kept, tmp_path))


def test_curves_read_a_metrics_file_that_is_still_being_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS) + '{"record": "st')
    assert read_metrics(path) == RECORDS
    draw_curves(path, tmp_path)


def test_curves_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(NotFound, match="no metrics file"):
        draw_curves(path, tmp_path)
    path.write_text('{"record": "step"}\nbroken\n{}\n')
    with pytest.raises(BadData, match="line 2 is not a JSON object"):
        draw_curves(path, tmp_path)
    with pytest.raises(BadData, match="nothing to draw"):
        draw_curves([], tmp_path)


def test_charts_leave_no_global_state(tmp_path: Path) -> None:
    draw_curves(RECORDS, tmp_path)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_dollar_signs_in_class_names_are_not_read_as_formulas(tmp_path):
    names = ["$5", r"$\nonsense{$", "plain"]
    assert draw_confusion(np.eye(3, dtype=np.int64), names, tmp_path / "a.png").is_file()
    record = {"record": "epoch", "step": 1, "epoch": 1, "loss": 1.0, "top1_error_percent": 5.0}
    for path in draw_curves([record], tmp_path, title=names[1]):
        assert path.is_file()
