"""Class names by `--lang`, and ImageNet's classes as data has them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import backbones as package
from backbones.api.networks import create, read_bundle
from backbones.labels import label_set, label_sets
from backbones.spec import InputSpec
from backbones.weights.bundle import bundle_of, write_bundle

TENCH, CRANE = "n01440764", "n02012849"  # in place of cross and disc


@pytest.fixture(scope="session")
def birds(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained bundle of two shapes, as if these were two of ImageNet's classes."""
    path = tmp_path_factory.mktemp("birds") / "birds.safetensors"
    bundle = read_bundle(trained / "best.safetensors")
    write_bundle(path, replace(bundle, classes=(TENCH, CRANE), recipe=None, trained_on=None))
    return path


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with all of ImageNet's classes."""
    path = tmp_path_factory.mktemp("thousand") / "thousand.safetensors"
    classes = [label.id for label in label_set("imagenet").labels]
    network = create("vgg_tiny", num_classes=1000, seed=3)
    write_bundle(path, bundle_of(network, classes=classes, spec=InputSpec(size=32, resize=36)))
    return path


@pytest.fixture
def samples(photos: Path, tmp_path: Path) -> Path:
    """Ten images of each of the two classes in one folder, named by WordNet id."""
    folder = tmp_path / "samples"
    folder.mkdir()
    for shape, wordnet_id in (("cross", TENCH), ("disc", CRANE)):
        for number in range(10):
            name = f"{number:02d}.jpg"
            shutil.copy(photos / shape / name, folder / f"{wordnet_id}_{name}")
    return folder


# --- list labels --------------------------------------------------------------------------------


def test_list_labels_shows_the_sets(backbones) -> None:
    rows = json.loads(backbones("list", "labels", "--json").out)
    assert {row["name"]: row["classes"] for row in rows} == {
        found.name: len(found) for found in label_sets()
    }
    assert "fashion-mnist" in backbones("list", "labels").out


def test_list_labels_of_a_set_and_a_search_in_it(backbones) -> None:
    answer = backbones("list", "labels", "imagenet", "--find", "鹤")
    assert answer.out.splitlines()[1:] == [
        f"134\t{CRANE}\tcrane (bird)\t鹤",
        "135\tn02013706\tlimpkin\t秧鹤",
    ]
    assert len(backbones("list", "labels", "imagenet").out.splitlines()) == 1001
    document = json.loads(backbones("list", "labels", "mnist", "--find", "七", "--json").out)
    assert document == [{"index": 7, "id": "7", "en": "7", "zh": "七"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("labels", "imagnet"), "Did you mean imagenet"),
        (("labels", "imagenet", "--find", "tenhc"), "Did you mean tench"),
        (("labels", "--find", "tench"), "list labels imagenet --find"),
        (("recipes", "imagenet"), "labels takes one set"),
    ],
)
def test_list_labels_wrong_use(backbones, arguments, said: str) -> None:
    answer = backbones("list", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not answer.out


# --- predict ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "names"),
    [
        ("en", {"tench", "crane (bird)"}),
        ("zh", {"丁鲷", "鹤"}),
        ("both", {"tench 丁鲷", "crane (bird) 鹤"}),
    ],
)
def test_predict_shows_names_and_json_keeps_the_id(
    backbones, birds, photos, tmp_path, lang: str, names: set[str]
) -> None:
    image = photos / "disc" / "00.jpg"
    option = () if lang == "en" else ("--lang", lang)
    answer = backbones("predict", birds, image, *option, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    guesses = json.loads(answer.out)["predictions"]
    assert {guess["name"] for guess in guesses} == names
    assert guesses[0]["id"] == CRANE
    assert all(name in backbones("predict", birds, image, *option).out for name in names)
    rows = list(csv.reader(
        backbones("predict", birds, image, *option, "--format", "csv").out.splitlines()
    ))  # fmt: skip
    assert {rows[1][2], rows[1][4]} == names
    page = tmp_path / "page"
    assert backbones("predict", birds, image, *option, "--pictures", page).code == 0
    assert all(name in (page / "index.html").read_text(encoding="utf-8") for name in names)
    with Image.open(page / "00.jpg") as annotated:
        assert annotated.width > 300


def test_predict_parquet_has_the_ids_beside_the_names(backbones, birds, photos, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    out = tmp_path / "answers.parquet"
    backbones(
        *("predict", birds, photos / "disc" / "00.jpg", "--lang", "zh"),
        *("--format", "parquet", "--out", out),
    )
    [row] = parquet.read_table(out).to_pylist()
    assert {(guess["name"], guess["id"]) for guess in row["predictions"]} == {
        ("鹤", CRANE),
        ("丁鲷", TENCH),
    }


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ((), ["id", "label"]),
        (("--all-probabilities",), ["id", TENCH, CRANE]),
        (("--probability-of", CRANE), ["id", "label"]),
    ],
)
def test_a_submission_has_the_bundle_s_own_names(
    backbones, birds, photos, options, header: list[str]
) -> None:
    image = photos / "disc" / "00.jpg"
    arguments = ("predict", birds, image, "--lang", "zh", "--format", "submission", *options)
    answer = backbones(*arguments)
    rows = list(csv.reader(answer.out.splitlines()))
    assert (answer.code, rows[0]) == (0, header)
    assert rows[1][1] == CRANE if not options else 0 <= float(rows[1][1]) <= 1


def test_predict_from_python_in_chinese(birds: Path, photos: Path) -> None:
    [found] = package.predict(birds, photos / "disc" / "00.jpg", lang="zh", top=1)
    [guess] = found.predictions
    assert (guess.name, guess.id, guess.class_name) == ("鹤", CRANE, CRANE)


def test_classes_in_no_label_set_are_shown_as_they_are(backbones, trained, photos) -> None:
    image = photos / "disc" / "00.jpg"
    plain = backbones("predict", trained, image, "--format", "json")
    answer = backbones("predict", trained, image, "--format", "json", "--lang", "zh")
    assert answer.out == plain.out
    assert plain.err == ""
    assert answer.err.count("\n") == 1
    assert "(cross, disc) are in no label set" in answer.err
    assert '"id"' not in answer.out


def test_an_unknown_language_is_wrong_use(backbones, birds, photos) -> None:
    answer = backbones("predict", birds, photos / "disc" / "00.jpg", "--lang", "fr")
    assert answer.code == 2
    assert "fr" in answer.err


# --- show ---------------------------------------------------------------------------------------


def test_show_bundle_in_chinese(backbones, birds) -> None:
    assert "丁鲷, 鹤" in backbones("show", birds, "--lang", "zh").out
    assert "tench, crane (bird)" in backbones("show", birds).out
    document = json.loads(backbones("show", birds, "--lang", "both", "--json").out)
    assert document["classes"] == [TENCH, CRANE]
    assert document["names"] == ["tench 丁鲷", "crane (bird) 鹤"]
    assert "MACs" in backbones("show", "vgg_tiny", "--lang", "zh").out


def test_show_of_other_classes_has_no_names(backbones, trained) -> None:
    assert "names" not in json.loads(backbones("show", trained, "--json").out)
    assert "no label set" in backbones("show", trained, "--lang", "zh").err


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_by_name(backbones, birds, samples, tmp_path) -> None:
    out = tmp_path / "report"
    answer = backbones("evaluate", birds, samples, "--lang", "zh", "--out", out)
    assert answer.code == 0, answer.err
    assert "鹤 " in answer.out
    assert "classes  " not in answer.out  # the data has both: nothing to say
    document = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert document["top1_error_percent"] <= 20  # the ids were matched to the right outputs
    assert document["classes_in_data"] == 2
    rows = {row["id"]: row for row in document["per_class"]}
    assert {key: rows[key]["name"] for key in rows} == {TENCH: "丁鲷", CRANE: "鹤"}
    assert rows[CRANE]["support"] == 10
    assert (out / "confusion.csv").read_text(encoding="utf-8").startswith("true class,丁鲷,鹤\n")


def test_a_part_of_imagenets_classes_is_measured_and_the_report_says_so(
    backbones, thousand, samples, tmp_path
) -> None:
    out = tmp_path / "report"
    answer = backbones("evaluate", thousand, samples, "--out", out)
    assert answer.code == 0, answer.err
    assert "the data has 2 of the network's 1,000 classes" in answer.out
    table = answer.out.split("images\n", 1)[1].splitlines()
    assert [line.split("  ")[0] for line in table] == ["tench", "crane (bird)"]
    document = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert (document["classes_in_data"], document["num_samples"]) == (2, 20)
    assert sum(each["count"] for each in document["calibration"]) == 20
    # 1000 x 1000 zeros would be ten megabytes.
    assert (out / "evaluation.json").stat().st_size < 500_000
    counts = document["confusion_counts"]
    assert sum(count for _, _, count in counts) == 20
    assert {document["per_class"][true]["id"] for true, _, _ in counts} == {TENCH, CRANE}
    rows = list(csv.reader((out / "confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(rows[0]) <= 23
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 20
    assert (out / "confusion.png").stat().st_size > 5000


def test_a_part_of_other_classes_is_measured_too(backbones, photos, tmp_path) -> None:
    for digit, shape in (("3", "cross"), ("7", "disc")):
        (tmp_path / digit).mkdir()
        for number in range(4):
            name = f"{number:02d}.jpg"
            shutil.copy(photos / shape / name, tmp_path / digit / name)
    answer = backbones("evaluate", "lenet5.digits", tmp_path, "--split", "train")
    assert answer.code == 0, answer.err
    assert "the data has 2 of the network's 10 classes; no images of the other 8" in answer.out
    (tmp_path / "3").rename(tmp_path / "three")
    answer = backbones("evaluate", "lenet5.digits", tmp_path)
    assert answer.code == 1
    assert "only in the data: 'three'" in answer.err


def test_a_class_that_a_wordnet_network_lacks_is_a_mistake(backbones, birds, samples) -> None:
    (samples / f"{TENCH}_00.jpg").rename(samples / "n03126707_00.jpg")
    answer = backbones("evaluate", birds, samples)
    assert answer.code == 1
    assert "only in the data: 'n03126707'" in answer.err


def test_a_hundred_of_a_thousand_classes_fit_on_a_screen(backbones, thousand, tmp_path) -> None:
    for number, label in enumerate(label_set("imagenet").labels[::10]):
        colour = (number, 255 - number, 9 * number % 256)
        Image.new("RGB", (40, 36), colour).save(tmp_path / f"{label.id}_{number}.JPEG")
    answer = backbones("evaluate", thousand, tmp_path, "--lang", "both")
    assert "the data has 100 of the network's 1,000 classes" in answer.out
    assert "the 10 worst classes" in answer.out
    assert len(answer.out.splitlines()) < 30
