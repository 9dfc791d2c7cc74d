"""What an evaluation leaves of its images: every answer, and the page of the mistakes."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from backbones.classifier.assembly import Member
from backbones.classifier.classifier import Classifier
from backbones.classifier.evaluated import EvaluatedImages
from backbones.classifier.evaluation import evaluate
from backbones.classifier.evaluation_files import answers_csv, write_evaluation
from backbones.classifier.options import InferenceOptions
from backbones.classifier.prediction_files import Output, write_answers
from backbones.compute import choose_compute
from backbones.data.source import ArrayImages, FileImages, Split
from backbones.errors import WrongUse
from backbones.metrics import Skipped
from backbones.models import build
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec

CPU = choose_compute("cpu")


def images_of(shares: list[list[float]], labels: list[int]) -> EvaluatedImages:
    classes = tuple("abcdefgh"[: len(shares[0])])
    pixels = np.zeros((len(labels), 4, 4, 3), np.uint8)
    split = Split("test", classes, np.array(labels), ArrayImages(pixels, "made"))
    return EvaluatedImages(split, np.log(np.array(shares, np.float32)))


SHARES = [
    [0.90, 0.06, 0.04],  # right and sure
    [0.80, 0.15, 0.05],  # wrong by 0.65
    [0.50, 0.01, 0.49],  # wrong by 0.49, undecided
    [0.10, 0.70, 0.20],  # right
    [0.10, 0.85, 0.05],  # wrong by 0.80
]
LABELS = [0, 1, 1, 1, 2]


def test_the_orders_are_those_of_the_numbers() -> None:
    found = images_of(SHARES, LABELS)
    assert found.predicted.tolist() == [0, 0, 0, 1, 1]
    assert found.true_ranks.tolist() == [1, 2, 3, 1, 3]
    assert found.worst(10) == [4, 1, 2]
    assert found.worst(1) == [4]
    assert found.least_certain(2) == [2, 3]
    assert found.hardest_of(1, 5) == [2, 1, 3]
    assert found.hardest_of(0, 5) == [0]
    assert [n for n, _ in found.likeliest(3, 2)] == [1, 2]


def test_every_image_has_a_row_with_its_probabilities() -> None:
    skipped = [Skipped("broken.jpg", "the file is empty")]
    text = answers_csv(images_of(SHARES, LABELS), ("cat", "dog", "cow, red"), skipped)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in rows] == [*(f"made#{n}" for n in range(5)), "broken.jpg"]
    assert [row["correct"] for row in rows] == ["1", "0", "0", "1", "0", ""]
    assert rows[2]["label"] == "dog"
    assert rows[2]["predicted"] == "cat"
    assert rows[2]["true_rank"] == "3"
    assert float(rows[2]["probability_cow, red"]) == pytest.approx(0.49, rel=1e-6)
    assert rows[-1]["error"] == "the file is empty"


def test_of_many_classes_the_likeliest_five_are_told() -> None:
    shares = np.full((1, 121), 1e-3, np.float32)
    shares[0, 7] = 0.5
    pixels = ArrayImages(np.zeros((1, 4, 4, 3), np.uint8), "made")
    names = tuple(f"c{n}" for n in range(121))
    split = Split("test", names, np.array([3]), pixels)
    [row] = csv.DictReader(io.StringIO(answers_csv(EvaluatedImages(split, np.log(shares)), names)))
    assert row["name_1"] == row["predicted"] == "c7"
    assert [row[f"name_{n}"] for n in range(2, 6)] == ["c0", "c1", "c2", "c3"]
    assert "probability_c7" not in row


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of each of three classes, and a broken one."""
    folder = tmp_path_factory.mktemp("classes")
    generator = np.random.default_rng(3)
    for name in ("cat", "dog", "<b>cow</b>".replace("/", "_")):
        (folder / name).mkdir()
        for number in range(3):
            pixels = generator.integers(0, 256, (120, 160, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG broken")
    return folder


@pytest.fixture(scope="module")
def classifier(photos: Path) -> Classifier:
    network: nn.Module = build("vgg_tiny", num_classes=3, seed=1).eval()
    classes = tuple(sorted(path.name for path in photos.iterdir()))
    return Classifier((Member(lambda: network, InputSpec(size=32, resize=40), classes),), CPU)


def split_of(folder: Path) -> Split:
    classes = tuple(sorted(path.name for path in folder.iterdir()))
    names = tuple(p.relative_to(folder).as_posix() for p in sorted(folder.glob("*/*")))
    labels = np.array([classes.index(name.split("/")[0]) for name in names])
    return Split("test", classes, labels, FileImages(folder, names))


def test_the_page_shows_every_mistake_and_every_class(
    photos: Path, classifier: Classifier, tmp_path: Path
) -> None:
    [member] = classifier.members
    found = evaluate(member.build(), split_of(photos), member.spec, compute=CPU)
    write_evaluation(found, tmp_path, explainer=classifier)
    page = (tmp_path / "mistakes.html").read_text(encoding="utf-8")
    wrong = len(found.report.misnamed)
    assert 0 < wrong < 9
    assert f"<h1>{wrong} of 9 images are classified wrongly</h1>" in page
    assert page.count("<summary>heat maps</summary>") == wrong
    assert (
        page.count('<div class="over"') == 2 * wrong
    )  # the class that was named, and the true one
    assert len(re.findall(r'<th scope="row">', page)) == 3
    assert page.count('<figure class="wrong">') == wrong
    assert page.count('<figure class="right">') == 9 - wrong
    assert "<b>cow" not in page
    text = (tmp_path / "answers.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10
    assert [row["correct"] for row in rows].count("0") == wrong
    assert rows[-1]["path"] == "cat/broken.png"


def test_an_image_that_went_away_is_said_so(
    photos: Path, classifier: Classifier, tmp_path: Path
) -> None:
    [member] = classifier.members
    found = evaluate(member.build(), split_of(photos), member.spec, compute=CPU)
    assert found.images is not None
    gone = replace(found.images.split.images, root=tmp_path / "gone")
    images = replace(found.images, split=replace(found.images.split, images=gone))
    write_evaluation(replace(found, images=images), tmp_path)
    page = (tmp_path / "mistakes.html").read_text(encoding="utf-8")
    assert '<div class="error">' in page
    assert "<img" not in page


def test_who_cannot_draw_heat_maps_is_told_before_the_evaluation(classifier: Classifier) -> None:
    from backbones.cli.evaluate import _explainer

    assert _explainer(classifier) is classifier
    two = replace(classifier, members=classifier.members * 2)
    with pytest.raises(WrongUse, match=r"no heat maps: .* leave out --heat-maps"):
        _explainer(two)


def test_annotated_copies_know_the_truth_where_folders_tell_it(
    photos: Path, classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    new = tmp_path / "new" / "0.png"
    new.write_bytes((photos / "cat" / "0.png").read_bytes())
    output = Output("csv", tmp_path / "out.csv", images=tmp_path / "copies")
    options = InferenceOptions(find_protocol("single"))
    write_answers(classifier, [photos / "cat", photos / "dog", new], output, options)
    page = (tmp_path / "copies" / "index.html").read_text(encoding="utf-8")
    cells = re.findall(r"<article.*?</article>", page, re.DOTALL)
    assert len(cells) == 8
    told = [cell for cell in cells if '<div class="truth">' in cell]
    assert len(told) == 7
    assert all("broken" in cell or "right" in cell or "wrong" in cell for cell in told)
    assert "The true class is the name of the folder" in page
