"""Where labels come from: tables before folders before file names; what is doubtful is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from backbones.data.check import check_data
from backbones.data.pipeline import Pipeline
from backbones.data.sets import open_data
from backbones.data.source import DataSource, EncodedImages
from backbones.errors import BadData, NotFound, WrongUse
from backbones.spec import InputSpec


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def labelled(source: DataSource, *splits: str) -> dict[str, str]:
    found = {}
    for split in splits or tuple(source.splits):
        images = source.splits[split].images
        assert isinstance(images, EncodedImages)
        labels = source.splits[split].labels
        found |= {p: source.classes[x] for p, x in zip(images.names(), labels, strict=True)}
    return found


def sizes(source: DataSource) -> dict[str, int]:
    return {name: len(split) for name, split in source.splits.items()}


NAMES = [f"{i:03}" for i in range(12)]
BY_THREE = {name: ("nv", "mel", "bkl")[i % 3] for i, name in enumerate(NAMES)}


# --- tables -------------------------------------------------------------------------------------


def test_a_table_beside_shard_folders_is_never_passed_over(tmp_path: Path) -> None:
    """Neither the halves of a download are the classes, nor is a table guessed at: a question."""
    touch(tmp_path, *(f"part_{1 + i % 2}/{name}.jpg" for i, name in enumerate(NAMES)))
    rows = [f"L{i},{name},{BY_THREE[name]},50" for i, name in enumerate(NAMES)]
    write(tmp_path / "metadata.csv", "lesion_id,image_id,dx,age", *rows)
    with pytest.raises(
        BadData, match=r"metadata.csv names the images \(image_id, dx: bkl 4, .*--layout manifest"
    ):
        open_data(tmp_path, val_fraction=0)
    source = open_data(tmp_path, val_fraction=0, layout="manifest")
    assert (source.kind, source.classes) == ("manifest", ("bkl", "mel", "nv"))
    assert {Path(path).stem: label for path, label in labelled(source).items()} == BY_THREE
    assert source.notes == ("labels from metadata.csv (image_id, dx)",)


def test_a_table_that_repeats_class_folders_counts_where_it_adds_splits(tmp_path: Path) -> None:
    names = [f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(4)]
    touch(tmp_path, *names)
    write(tmp_path / "list.csv", "path,label", *(f"{n},{n[:3]}" for n in names))
    assert open_data(tmp_path, val_fraction=0).kind == "class folders"
    rows = [f"{n},{n[:3]},{'val' if '3' in n else 'train'}" for n in names]
    write(tmp_path / "list.csv", "path,label,split", *rows)
    source = open_data(tmp_path, val_fraction=0)
    assert source.kind == "manifest"
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "val": 2}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image_id,label", "{n}.jpg,{c}"),
        ("id,breed", "{n},{c}"),
        ("Id;Class", "{n};{c}"),
        ("image_name,patient_id,diagnosis,age", "{n},P{n},{c},50.5"),
        ("file_name,unheard_of", "{n}.jpg,{c}"),
        ("Unnamed: 0,id_code,target", "7{n},{n},{c}"),
        ("label,image", "{c},./x/../{n}.JPG"),
        ("filepath,category", "/somewhere/else/input/set/images/{n}.jpg,{c}"),
        ("id,image,choice,lead_time", "4,/data/upload/1/{n}.jpg,{c},1.5"),
        ("filepath,category", "..\\input\\images\\{n}.jpg,{c}"),
        ("label_id,class_name,image", "{k},{c},{n}.jpg"),
    ],
)
def test_tables_of_competitions_are_read_as_they_come(
    tmp_path: Path, header: str, row: str
) -> None:
    touch(tmp_path, *(f"images/{name}.jpg" for name in NAMES))
    codes = {"nv": 0, "mel": 1, "bkl": 2}
    rows = [row.format(n=name, c=c, k=codes[c]) for name, c in BY_THREE.items()]
    write(tmp_path / "train.csv", header, *rows)
    wanted = {f"images/{name}.jpg": c for name, c in BY_THREE.items()}
    assert labelled(open_data(tmp_path)) == wanted
    assert labelled(open_data(tmp_path / "train.csv")) == wanted


def test_a_table_without_a_header_line(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    write(tmp_path / "list.csv", *(f"{name}.jpg,{c}" for name, c in BY_THREE.items()))
    assert len(labelled(open_data(tmp_path))) == 12


@pytest.mark.parametrize("form", ["list", "lines", "map"])
def test_tables_in_json(tmp_path: Path, form: str) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    rows = [
        {"file_name": f"{name}.jpg", "label": c, "size": [1, 2]} for name, c in BY_THREE.items()
    ]
    if form == "lines":
        write(tmp_path / "metadata.jsonl", *map(json.dumps, rows))
    else:
        plain = {row["file_name"]: row["label"] for row in rows}
        write(tmp_path / "labels.json", json.dumps(rows if form == "list" else plain))
    assert len(labelled(open_data(tmp_path))) == 12


def test_json_that_is_no_table_is_of_no_account(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    write(tmp_path / "package.json", '{"name": "x", "nested": {"a": 1}}')
    assert open_data(tmp_path).kind == "class folders"
    write(tmp_path / "coco.json", '{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(BadData, match="COCO's annotations, which are not read"):
        open_data(tmp_path / "coco.json")


def test_one_hot_tables_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        touch(tmp_path, *(f"{split}/{p}_{i}.rf.0{i}.jpg" for i in range(4) for p in ("IMG", "DSC")))
        rows = [
            f"{p}_{i}.rf.0{i}.jpg,{i % 2},{1 - i % 2}" for i in range(4) for p in ("IMG", "DSC")
        ]
        write(tmp_path / split / "_classes.csv", "filename, ripe, unripe", *rows)
    source = open_data(tmp_path)
    assert (source.classes, sizes(source)) == (
        ("ripe", "unripe"),
        {"train": 8, "val": 8, "test": 8},
    )
    assert labelled(source)["valid/IMG_3.rf.03.jpg"] == "ripe"


def test_one_hot_table_with_fractions_of_one_and_a_split_column(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    rows = [
        f"{name},{c == 'nv':.1f},{c == 'mel':.1f},{c == 'bkl':.1f},{'test' if i > 8 else 'train'}"
        for i, (name, c) in enumerate(BY_THREE.items())
    ]
    write(tmp_path / "truth.csv", "image,NV,MEL,BKL,split", *rows)
    source = open_data(tmp_path)
    assert (source.classes, sizes(source)) == (("BKL", "MEL", "NV"), {"train": 9, "test": 3})


def test_several_classes_set_in_a_row_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    write(tmp_path / "train.csv", "id,scab,rust", "1,1,0", "2,1,1", "3,0,1")
    with pytest.raises(
        BadData, match=r"several classes in 1 row, the first in line 3 \(scab, rust"
    ):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a|b", "a", "b", "a"], "has the label 'a|b', which is several"),
        (["a b", "a", "b", "a"], "has the label 'a b', which is several"),
        (["0.25", "1.5", "3", "3"], "holds numbers (0.25, 1.5, 3), which are no classes"),
        (["Cat", "cat", "dog", "dog"], "the labels 'Cat' and 'cat'; make them one word"),
        (["a", "", "b", "a"], "line 3 has no label"),
        (["a", "nan", "b", "a"], "line 3 has no label"),
    ],
)
def test_doubtful_labels_are_refused(tmp_path: Path, labels: list[str], said: str) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(4)))
    write(tmp_path / "t.csv", "image,label", *(f"{i}.jpg,{x}" for i, x in enumerate(labels)))
    with pytest.raises(BadData) as caught:
        open_data(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_differ_from_row_to_row_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(20)))
    write(tmp_path / "t.csv", "image,target", *(f"{i}.jpg,{7 * i}" for i in range(20)))
    with pytest.raises(BadData, match="20 different labels in 20 rows"):
        open_data(tmp_path)


def test_whole_numbers_written_with_a_point_are_whole_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(4)))
    write(tmp_path / "t.csv", "image,label", *(f"{i}.jpg,{i % 2}.0" for i in range(4)))
    assert open_data(tmp_path).classes == ("0", "1")


def test_columns_that_say_different_things_want_a_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(8)))
    rows = [f"{i}.jpg,{'ab'[i % 2]},{'xy'[i // 4]}" for i in range(8)]
    write(tmp_path / "t.csv", "image,class,category", *rows)
    with pytest.raises(BadData, match="columns class, category, which say different things"):
        open_data(tmp_path)
    write(tmp_path / "t.csv", "image,sort,kind", *rows)
    with pytest.raises(BadData, match=r"cannot be told \(sort, kind\); call that column label"):
        open_data(tmp_path)
    write(tmp_path / "t.csv", "image,label,category", *rows)
    assert open_data(tmp_path).classes == ("a", "b")


def test_one_file_in_two_spellings_is_one_image(tmp_path: Path) -> None:
    touch(tmp_path, "p0.jpg", "in/p1.jpg")
    rows = ["p0.jpg,cat", "in/p1.jpg,dog", "./p0.jpg,cat", "in\\..\\p0.jpg,cat", "P0.JPG,cat"]
    source = open_data(write(tmp_path / "m.csv", "path,label", *rows), val_fraction=0)
    assert labelled(source) == {"p0.jpg": "cat", "in/p1.jpg": "dog"}
    assert "3 repeated lines counted once" in source.notes
    write(tmp_path / "m.csv", "path,label", *rows, "in/../p0.jpg,dog")
    with pytest.raises(BadData, match=r"line 7 calls p0.jpg 'dog', an earlier line 'cat'"):
        open_data(tmp_path / "m.csv")


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    rows = ["1.jpg,a,train", "2.jpg,b,train", "./1.jpg,a,val"]
    with pytest.raises(BadData, match=r"line 4 puts 1.jpg into val, an earlier line into train"):
        open_data(write(tmp_path / "m.csv", "path,label,split", *rows))


def test_ids_that_several_images_answer_to(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.jpg")
    with pytest.raises(BadData, match=r"line 2: 1 may be a/1.jpg, b/1.jpg"):
        open_data(write(tmp_path / "m.csv", "id,label", "1,x", "2,y"))


def test_train_images_come_before_test_images_of_the_same_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{name}.png" for split in ("train", "test") for name in NAMES))
    write(tmp_path / "train_labels.csv", "id,label", *(f"{n},{c}" for n, c in BY_THREE.items()))
    write(tmp_path / "sample_submission.csv", "id,label", *(f"{n},nv" for n in NAMES))
    found = labelled(open_data(tmp_path))
    assert found == {f"train/{name}.png": c for name, c in BY_THREE.items()}


@pytest.mark.parametrize("form", ["is_valid", "files", "folders"])
def test_splits_of_tables(tmp_path: Path, form: str) -> None:
    place = {n: "val" if i > 8 and form == "folders" else "train" for i, n in enumerate(NAMES)}
    touch(tmp_path, *(f"{place[name]}/{name}.jpg" for name in NAMES))
    rows = [f"{place[n]}/{n}.jpg,{BY_THREE[n]}" for n in NAMES]
    if form == "is_valid":
        rows = [f"{row},{i > 8}" for i, row in enumerate(rows)]
        write(tmp_path / "labels.csv", "name,label,is_valid", *rows)
    elif form == "files":
        write(tmp_path / "train.csv", "name,label", *rows[:9])
        write(tmp_path / "val.csv", "name,label", *rows[9:])
    else:
        write(tmp_path / "labels.csv", "name,label", *rows)
    assert sizes(open_data(tmp_path)) == {"train": 9, "val": 3}


def test_two_tables_for_one_split_want_a_choice(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    for file in ("a.csv", "b.csv"):
        write(tmp_path / file, "id,label", *(f"{n},{c}" for n, c in BY_THREE.items()))
    with pytest.raises(BadData, match=r"several tables .*\(a.csv, b.csv\); name the one"):
        open_data(tmp_path)
    assert len(labelled(open_data(tmp_path / "b.csv"))) == 12


@pytest.mark.parametrize("label", ["cat", "0"])
def test_a_table_that_says_what_the_folders_say_only_describes_them(
    tmp_path: Path, label: str
) -> None:
    names = [f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(4)]
    other = {"cat": "dog", "0": "1"}[label]
    rows = [f"{name},{label if name[0] == 'c' else other}" for name in names]
    write(touch(tmp_path, *names) / "labels.csv", "path,label", *rows)
    source = open_data(tmp_path)
    assert (source.kind, source.classes) == ("class folders", ("cat", "dog"))


def test_a_table_that_names_no_image_is_of_no_account(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    write(tmp_path / "prices.csv", "name,category", "bread,food", "soap,home")
    assert open_data(tmp_path).kind == "class folders"


def test_a_table_that_contradicts_some_folders_is_refused(tmp_path: Path) -> None:
    names = [f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(4)]
    rows = [f"{name},{name[:3]}" for name in names[:-1]] + [f"{names[-1]},cat"]
    write(touch(tmp_path, *names) / "labels.csv", "path,label", *rows)
    with pytest.raises(BadData, match="of 7 images what their folders say, and of 1 something"):
        open_data(tmp_path)
    assert labelled(open_data(tmp_path, layout="manifest"))["dog/3.jpg"] == "cat"
    assert labelled(open_data(tmp_path, layout="class folders"))["dog/3.jpg"] == "dog"


def test_lists_with_a_path_and_a_number_a_line(tmp_path: Path) -> None:
    touch(tmp_path, *(f"pool/a b {name}.jpg" for name in NAMES))
    rows = [f"pool/a b {name}.jpg {i % 3}" for i, name in enumerate(NAMES)]
    write(tmp_path / "train.txt", *rows[:9])
    write(tmp_path / "val.txt", *rows[9:])
    source = open_data(tmp_path)
    assert (source.classes, sizes(source)) == (("0", "1", "2"), {"train": 9, "val": 3})
    write(tmp_path / "classes.txt", "nv", "mel", "bkl")
    assert labelled(open_data(tmp_path))["pool/a b 001.jpg"] == "mel"


def test_lists_of_paths_whose_folder_is_the_class(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{c}/{name}.jpg" for name, c in BY_THREE.items()))
    rows = [f"{c}/{name}" for name, c in BY_THREE.items()]
    write(tmp_path / "train.txt", *rows[:9])
    write(tmp_path / "test.txt", *rows[9:])
    source = open_data(tmp_path)
    assert (source.classes, sizes(source)) == (("bkl", "mel", "nv"), {"train": 9, "test": 3})


def test_the_lists_of_cub(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{c}/{name}.jpg" for name, c in BY_THREE.items()))
    write(
        tmp_path / "images.txt", *(f"{i} {c}/{n}.jpg" for i, (n, c) in enumerate(BY_THREE.items()))
    )
    write(tmp_path / "image_class_labels.txt", *(f"{i} {1 + i % 3}" for i in range(12)))
    write(tmp_path / "train_test_split.txt", *(f"{i} {int(i < 8)}" for i in range(12)))
    write(tmp_path / "classes.txt", "1 001.nv", "2 002.mel", "3 003.bkl")
    source = open_data(tmp_path)
    assert source.classes == ("001.nv", "002.mel", "003.bkl")
    assert sizes(source) == {"train": 8, "test": 4}


# --- folders ------------------------------------------------------------------------------------


def test_valid_beside_invalid_is_a_question(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{c}/{m}/{i}.jpg" for c in ("valid", "invalid") for m in "ab" for i in "12"))
    with pytest.raises(BadData, match=r"valid may name a split, .* or a class beside invalid"):
        open_data(tmp_path)
    assert open_data(tmp_path, layout="class-folders").classes == ("invalid", "valid")
    assert open_data(tmp_path, layout="split-folders").classes == ("a", "b")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("2023-01", "2023-02"), "are dates"),
        (("january", "february"), "are dates"),
        (("2021", "2022"), "are dates"),
        (("lesions_part_1", "lesions_part_2"), "parts of one set"),
        (("images_001", "images_002"), "parts of one set"),
        (("00000", "01000", "02000"), "parts of one set"),
        (("images", "masks"), "what belongs to each of them"),
    ],
)
def test_folders_that_name_no_classes(tmp_path: Path, folders: tuple[str, ...], said: str) -> None:
    touch(tmp_path, *(f"{folder}/{i}.jpg" for folder in folders for i in range(3)))
    with pytest.raises(BadData, match=f"{said}; .*--label-pattern REGEX"):
        open_data(tmp_path)
    assert open_data(tmp_path, layout="class folders").classes == tuple(sorted(folders))


@pytest.mark.parametrize(
    "folders", [("s1", "s2"), ("0", "1"), ("class_1", "class_2"), ("May", "Ann")]
)
def test_folders_that_may_be_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{folder}/{i}.jpg" for folder in folders for i in range(3)))
    assert set(open_data(tmp_path).classes) == set(folders)


def test_splits_inside_the_class_folders(tmp_path: Path) -> None:
    names = [f"{c}/{s}/{i}.jpg" for c in ("cat", "dog") for s in ("train", "val") for i in range(3)]
    source = open_data(touch(tmp_path, *names))
    assert (source.classes, sizes(source)) == (("cat", "dog"), {"train": 6, "val": 6})
    assert all(path.startswith(label) for path, label in labelled(source).items())


def test_class_folders_of_files_without_extension_say_so(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1", "cat/2", "dog/1")
    with pytest.raises(BadData, match=r"\(cat, dog\) with 3 files of which none has the extension"):
        open_data(tmp_path)


# --- file names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefixes", "said"),
    [
        (("IMG_", "DSC_"), "cameras and programs"),
        (("PXL_2023", "cat_"), "cameras and programs"),
        (("WhatsApp Image 2023-", "Screenshot 2023-"), "cameras and programs"),
        (("frame_", "scan-"), "cameras and programs"),
        (("image", "Photo "), None),
        (("train_", "test_"), "words for splits"),
        (("COCO_val2014_", "COCO_train2014_"), "words for splits"),
        (("2023-0", "2024-0"), "numbers"),
    ],
)
def test_first_words_that_are_no_classes(
    tmp_path: Path, prefixes: tuple[str, str], said: str | None
) -> None:
    touch(tmp_path, *(f"{prefix}{i}.jpg" for prefix in prefixes for i in range(3)))
    with pytest.raises(BadData, match=said or "no layout that is understood"):
        open_data(tmp_path)
    if said:
        assert len(open_data(tmp_path, layout="flat-folder").classes) == 2


def test_a_flat_folder_says_where_its_classes_come_from(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{c}.{i}.jpg" for c in ("cat", "dog") for i in range(3)))
    assert open_data(tmp_path).notes[0].startswith("classes are the words before the number")


# --- what is said -------------------------------------------------------------------------------


def test_layouts_are_asked_for_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    for name in ("class-folders", "class folders", "Class_Folders"):
        assert open_data(tmp_path, layout=name).kind == "class folders"
    with pytest.raises(NotFound, match=r"no layout 'class-folder'; .*Did you mean class-folders"):
        open_data(tmp_path, layout="class-folder")
    with pytest.raises(BadData, match="no table that names its images"):
        open_data(tmp_path, layout="manifest")
    with pytest.raises(WrongUse, match="digits is no folder"):
        open_data("digits", layout="class-folders")
    with pytest.raises(WrongUse, match="give one"):
        open_data(tmp_path, layout="class-folders", label_pattern="(.)")


def test_label_pattern_takes_its_first_group_from_the_path(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"2023-0{m}/IMG_{i}_{c}.jpg" for m in "12" for i in "123" for c in ("ok", "nok")),
    )
    source = open_data(tmp_path, label_pattern=r"_([a-z]+)\.jpg$", val_fraction=0)
    assert source.kind == "label pattern"
    assert set(source.classes) == {"ok", "nok"}
    assert all(path.endswith(f"_{label}.jpg") for path, label in labelled(source).items())


def test_label_pattern_keeps_the_split_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{s}/{c}{i}.png" for s in ("train", "val") for c in "ab" for i in "12"))
    touch(tmp_path, "test/1.png")
    source = open_data(tmp_path, label_pattern="([ab])[12]")
    assert sizes(source) == {"train": 4, "val": 4}
    assert "test/ is left out: the label pattern fits none of its paths" in source.notes


@pytest.mark.parametrize(
    ("pattern", "error", "said"),
    [
        ("(", WrongUse, "no regular expression"),
        ("cat|dog", WrongUse, "has no group"),
        ("(cow)", BadData, "finds no class in 2 paths of 2"),
        ("(cat)", BadData, "finds no class in 1 path of 2"),
        (".*(.pg)", BadData, "holds 1 class"),
    ],
)
def test_label_patterns_that_find_nothing(
    tmp_path: Path, pattern: str, error: type[Exception], said: str
) -> None:
    touch(tmp_path, "cat_1.jpg", "dog_1.jpg")
    with pytest.raises(error, match=said) as caught:
        open_data(tmp_path, label_pattern=pattern)
    assert "\n" not in str(caught.value)


# --- what only lies beside ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("filename,width", "{w}"),  # sizes count no classes
        ("filename,width,height", "{w},{w}"),
        ("filename,score", "0.{i}"),
        ("path,kind,source", "{c},{w}"),  # one column says what the folders say
    ],
)
def test_facts_about_images_in_class_folders_are_no_labels(
    tmp_path: Path, header: str, cell: str
) -> None:
    names = [f"{c}/{c}{i}.jpg" for c in ("cat", "dog") for i in range(6)]
    cells = [cell.format(i=i, w=(640, 480)[i % 2], c=name[:3]) for i, name in enumerate(names)]
    rows = [f"{name},{said}" for name, said in zip(names, cells, strict=True)]
    write(touch(tmp_path, *names) / "facts.csv", header, *rows)
    source = open_data(tmp_path)
    assert (source.kind, source.classes) == ("class folders", ("cat", "dog"))


def test_a_column_that_may_be_labels_beside_class_folders_is_a_question(tmp_path: Path) -> None:
    names = [f"{c}/{c}{i}.jpg" for c in ("cat", "dog") for i in range(6)]
    rows = [f"{name},{('ann', 'bob')[i % 2]}" for i, name in enumerate(names)]
    write(touch(tmp_path, *names) / "facts.csv", "filename,photographer", *rows)
    with pytest.raises(BadData, match=r"may hold labels .*photographer.* --layout class-folders"):
        open_data(tmp_path)
    assert open_data(tmp_path, layout="class-folders").classes == ("cat", "dog")
    assert open_data(tmp_path, layout="manifest").classes == ("ann", "bob")


def test_text_in_another_encoding_beside_the_images_is_no_table(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "notes.txt").write_bytes("小狗".encode("gb18030"))
    assert open_data(tmp_path).classes == ("cat", "dog")


def test_lists_in_a_folder_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{c}/{name}.jpg" for name, c in BY_THREE.items()))
    rows = [f"{c}/{name}" for name, c in BY_THREE.items()]
    write(tmp_path / "meta" / "train.txt", *rows[:9])
    write(tmp_path / "meta" / "test.txt", *rows[9:])
    assert sizes(open_data(tmp_path)) == {"train": 9, "test": 3}


def test_a_set_in_a_folder_of_its_own_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "data/images/cat/1.jpg", "data/images/dog/1.jpg", "data/readme.md")
    with pytest.raises(BadData, match=r"data[/\\]images is a data set; open that one"):
        open_data(tmp_path)


# --- Parquet tables with images in them -------------------------------------------------------


def parquet_of(path: Path, labels: list[int], *, plain: bool = False) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def encoded(number: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (24, 20), (number, 50 * len(labels), 0)).save(out, "PNG")
        return out.getvalue()

    cells = [
        encoded(i) if plain else {"bytes": encoded(i), "path": None} for i in range(len(labels))
    ]
    table = pyarrow.table({"image": cells, "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"]}}
    meta = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata(meta), path)


@pytest.mark.parametrize("plain", [False, True])
def test_parquet_tables_with_images_in_them(tmp_path: Path, plain: bool) -> None:
    folder = tmp_path / "set"
    parquet_of(folder / "data" / "train-00000-of-00002.parquet", [0, 1, 0, 1], plain=plain)
    parquet_of(folder / "data" / "train-00001-of-00002.parquet", [1, 0], plain=plain)
    parquet_of(folder / "data" / "test-00000-of-00001.parquet", [0, 1, -1], plain=plain)
    source = open_data(folder)
    assert (source.kind, source.classes, sizes(source)) == (
        "parquet",
        ("cat", "dog"),
        {"train": 6, "test": 2},
    )
    assert "1 row without a label left out" in source.notes
    assert labelled(source, "train")["data/train-00001-of-00002.parquet#0"] == "dog"
    spec = InputSpec(size=16, resize=16, channels=3)
    for cache in (None, tmp_path / "cache"):
        pipeline = Pipeline(source.split("train"), spec, batch_size=6, workers=0, cache=cache)
        (batch,) = pipeline.epoch(0)
        assert (len(batch.images), batch.bad) == (6, ())
    found = check_data(folder)
    assert (found.ok, found.readable, found.formats) == (True, 8, {"PNG": 8})
    alone = open_data(folder / "data" / "test-00000-of-00001.parquet", val_fraction=0)
    assert sizes(alone) == {"train": 2}


def test_a_parquet_table_with_images_and_no_label_is_one_short_line(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [{"bytes": bytes(5000), "path": "1.png"}] * 4
    parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "train.parquet")
    with pytest.raises(BadData, match=r"holds images \(column image\) and no label") as caught:
        open_data(tmp_path)
    assert len(str(caught.value)) < 400


def test_a_column_of_words_for_splits_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    rows = [
        f"{n}.jpg,{BY_THREE[n]},{'valid' if i > 8 else 'training'}" for i, n in enumerate(NAMES)
    ]
    write(tmp_path / "t.csv", "image,label,stage", *rows)
    assert sizes(open_data(tmp_path)) == {"train": 9, "val": 3}


@pytest.mark.parametrize("between", ["\t", ";", ","])
def test_a_text_file_may_be_a_table_with_a_header(tmp_path: Path, between: str) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in NAMES))
    rows = [f"{name}.jpg{between}{c}" for name, c in BY_THREE.items()]
    write(tmp_path / "labels.txt", f"path{between}label", *rows)
    assert len(labelled(open_data(tmp_path))) == 12


def test_serial_numbers_in_file_names_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"P{p:03}_{i}.jpg" for p in range(6) for i in range(3)))
    with pytest.raises(BadData, match="serial numbers"):
        open_data(tmp_path)


def test_packed_data_is_to_be_unpacked(tmp_path: Path) -> None:
    touch(tmp_path, "photos.zip")
    with pytest.raises(BadData, match="unpack it, and give the folder"):
        open_data(tmp_path / "photos.zip")


def test_names_in_another_normal_form_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "e\u0301te\u0301.jpg", "\u00e2ge.jpg")
    write(tmp_path / "t.csv", "image,label", "\u00e9t\u00e9.jpg,a", "a\u0302ge,b")
    assert sorted(labelled(open_data(tmp_path)).values()) == ["a", "b"]


def test_long_numbers_in_names_take_no_time(tmp_path: Path) -> None:
    """Two repetitions of digits inside each other took minutes for one name."""
    names = [f"{c}_jpg.rf.{'0' * 60}{i}x.jpg" for c in ("IMG", "DSC") for i in range(4)]
    write(
        tmp_path / "t.csv",
        "file,ripe,raw",
        *(f"{n},{i % 2},{1 - i % 2}" for i, n in enumerate(names)),
    )
    assert open_data(touch(tmp_path, *names)).classes == ("raw", "ripe")
