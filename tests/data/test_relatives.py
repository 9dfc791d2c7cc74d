"""Forms of data sets that differ in a small thing from the usual: read rightly, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backbones.data.sets import open_data
from backbones.data.sets.tables import read_table
from backbones.errors import BadData

NAMES = [f"{i:02}.jpg" for i in range(12)]
LABELS = {name: ("cat", "dog")[i % 2] for i, name in enumerate(NAMES)}
LINES = "".join(f"{name},{label}\n" for name, label in LABELS.items())


def images(root: Path) -> Path:
    return touch(root, *NAMES)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def fill(root: Path, *folders: str) -> Path:
    return touch(root, *(f"{folder}/{i}.jpg" for folder in folders for i in range(3)))


# --- tables of other forms ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfile;label\n" + LINES.replace(",", ";"),
        "file|label\n" + LINES.replace(",", "|"),
        "# made by hand, in 2020\nfile,label\n" + LINES,
        "id,label\n" + LINES.replace(".jpg", "").replace("\n0", "\n"),
    ],
    ids=["sep= of spreadsheets", "bars", "a remark first", "zeros that a spreadsheet took away"],
)
def test_a_table_of_another_form_is_read_and_not_passed_over(tmp_path: Path, text: str) -> None:
    (images(tmp_path) / "labels.csv").write_text(text, encoding="utf-8")
    source = open_data(tmp_path)
    assert (source.kind, source.classes) == ("manifest", ("cat", "dog"))


@pytest.mark.parametrize(
    "content",
    [
        {name: {"label": label, "by": "me"} for name, label in LABELS.items()},
        {"cat": NAMES[::2], "dog": NAMES[1::2]},
        {"labels": [[name, label] for name, label in LABELS.items()]},
        {"images": [{"file": name, "label": label} for name, label in LABELS.items()]},
    ],
    ids=["facts by name", "names by class", "pairs with a title", "objects with a title"],
)
def test_the_usual_forms_of_json_are_read_and_not_passed_over(
    tmp_path: Path, content: object
) -> None:
    (images(tmp_path) / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    source = open_data(tmp_path)
    assert (source.kind, source.classes) == ("manifest", ("cat", "dog"))


def test_json_lists_by_split_keep_the_splits(tmp_path: Path) -> None:
    rows = [{"file": name, "label": label} for name, label in LABELS.items()]
    content = {"train": rows[:8], "test": rows[8:]}
    (images(tmp_path) / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    splits = open_data(tmp_path).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "test": 4}


def test_names_of_classes_by_number_are_no_labels_of_images_with_numbers(tmp_path: Path) -> None:
    fill(tmp_path, "0")
    touch(tmp_path, "1/3.jpg", "1/4.jpg")
    (tmp_path / "class_names.json").write_text('{"0": "cat", "1": "dog"}', encoding="utf-8")
    source = open_data(tmp_path, val_fraction=0)
    assert (source.kind, len(source.splits["train"])) == ("class folders", 5)


def test_the_lines_before_a_header_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("sep=;\n# mine\nfile;label\n1.jpg;cat\n", encoding="utf-8")
    assert read_table(path).first == 4


def test_a_form_that_was_once_not_read_is_not_passed_over_beside_shards(tmp_path: Path) -> None:
    touch(tmp_path, *(f"part_{i // 6}/{name}" for i, name in enumerate(NAMES)))
    text = json.dumps({"cat": NAMES[::2], "dog": NAMES[1::2]})
    (tmp_path / "labels.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadData, match=r"cat 6, dog 6.*--layout manifest"):
        open_data(tmp_path)


def test_images_that_no_line_names_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, *NAMES, "more.jpg").joinpath("labels.csv").write_text(
        "file,label\n" + LINES, encoding="utf-8"
    )
    assert "1 image left out that no line names" in open_data(tmp_path).notes


def test_a_spreadsheet_that_is_not_read_is_named(tmp_path: Path) -> None:
    touch(fill(tmp_path, "a", "b"), "labels.xlsx")
    assert "not read as labels: labels.xlsx" in open_data(tmp_path).notes


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.csv", "file,label,label\n00.jpg,a,b\n", "two columns 'label'"),
        ("labels.csv", "<!doctype html><html></html>", "no table but an HTML page"),
        ("labels.csv", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("labels.csv", "file,label\n" + LINES.replace("11.jpg,dog", "11.jpg,null"), "no label"),
        ("labels.json", json.dumps({**LABELS, "11.jpg": None}), "no label"),
        (
            "labels.json",
            json.dumps([{"file": name, "label": ["cat", "dog"]} for name in NAMES]),
            "which is several",
        ),
    ],
)
def test_a_table_that_cannot_be_right_is_told(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (images(tmp_path) / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadData, match=said):
        open_data(tmp_path)


def test_a_label_in_a_list_of_its_own_is_that_label(tmp_path: Path) -> None:
    rows = [{"file": name, "label": [label]} for name, label in LABELS.items()]
    (images(tmp_path) / "labels.json").write_text(json.dumps(rows), encoding="utf-8")
    assert open_data(tmp_path).classes == ("cat", "dog")


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/train", "test/test"),
        ("flowers-train", "flowers-test"),
        ("test flowers", "training flowers"),
        ("训练集", "测试集"),
    ],
)
def test_folders_that_differ_in_a_word_for_splits_are_splits(
    tmp_path: Path, train: str, test: str
) -> None:
    source = open_data(fill(tmp_path, *(f"{s}/{c}" for s in (train, test) for c in ("a", "b"))))
    assert (source.classes, sorted(source.splits)) == (("a", "b"), ["test", "train"])


def test_a_class_that_ends_in_a_word_for_a_split_stays_a_class(tmp_path: Path) -> None:
    assert open_data(fill(tmp_path, "freight_train", "bus")).classes == ("bus", "freight_train")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("cat_train", "cat_test", "dog_train", "dog_test"), "words for splits"),
        (("good", "bad", "ground_truth"), "what belongs to each"),
        (("cat/images", "cat/masks", "dog/images", "dog/masks"), "what belongs to each"),
        (("train/a/images", "train/a/masks", "train/b/images"), "what belongs to each"),
        (("animals/cat", "animals/dog", "plants/fern", "plants/rose"), "may be the classes"),
        (("site A/cat", "site A/dog", "site B/cat", "site B/dog"), "may be the classes"),
        (("40X/benign", "40X/malignant", "100X/benign", "100X/malignant"), "may be the classes"),
        (("cat", "dog", "unlabeled"), "nobody has sorted"),
        (("2023_01_05-morning", "2023_01_06-noon"), "dates"),
        (("100CANON", "101CANON"), "parts of one set"),
        (("Cat", "cat", "dog"), "two spellings"),
        (("cat", "cat ", "dog"), "two spellings"),
        (("01", "1", "2"), "two spellings"),
        (("cat", "New folder"), "file managers"),
        (("cat", "dog", "dog - Copy"), "file managers"),
    ],
)
def test_folders_of_which_two_readings_fit_stop(
    tmp_path: Path, folders: tuple[str, ...], said: str
) -> None:
    with pytest.raises(BadData, match=said) as raised:
        open_data(fill(tmp_path, *folders))
    assert "--layout" in str(raised.value)
    assert "--label-pattern" in str(raised.value)


def test_a_pattern_takes_the_images_and_leaves_what_belongs_to_them(tmp_path: Path) -> None:
    fill(tmp_path, "cat/images", "cat/masks", "dog/images", "dog/masks")
    source = open_data(tmp_path, label_pattern="([^/]+)/images/", val_fraction=0)
    assert (source.classes, len(source.splits["train"])) == (("cat", "dog"), 6)


def test_folders_of_one_set_inside_each_class_are_no_classes(tmp_path: Path) -> None:
    source = open_data(fill(tmp_path, "cat/s1", "cat/s2", "dog/s1", "dog/s2"))
    assert source.classes == ("cat", "dog")
