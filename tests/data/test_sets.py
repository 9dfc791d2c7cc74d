"""Each layout is recognised by looking; each misfit says what was seen."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from backbones.data.sets import LAYOUTS, NAMES, named, open_data
from backbones.data.sets.idx import FASHION_CLASSES, read_idx
from backbones.data.sets.splitting import Holdout
from backbones.data.source import ArrayImages, DataSource, FileImages
from backbones.errors import BadData, MissingExtra, NotFound, WrongUse


def touch(root: Path, *names: str) -> Path:
    """Empty files: opening a set decodes nothing."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def paths(source: DataSource, split: str) -> tuple[str, ...]:
    images = source.splits[split].images
    assert isinstance(images, FileImages)
    assert all(images.path(i).exists() for i in range(len(images)))
    return images.paths


def labelled(source: DataSource, split: str) -> dict[str, str]:
    labels = source.splits[split].labels
    return {
        path: source.classes[label]
        for path, label in zip(paths(source, split), labels, strict=True)
    }


def many(label: str, number: int) -> list[str]:
    return [f"{label}/{i}.jpg" for i in range(number)]


# --- class folders ------------------------------------------------------------------------------


def test_class_folders_alone_are_split_by_class(tmp_path: Path) -> None:
    source = open_data(touch(tmp_path, *many("猫", 30), *many("dog", 50), *many("rare", 2)))
    assert source.kind == "class folders"
    assert source.classes == ("dog", "rare", "猫")
    assert Counter(labelled(source, "val").values()) == {"dog": 5, "猫": 3, "rare": 1}
    assert Counter(labelled(source, "train").values()) == {"dog": 45, "猫": 27, "rare": 1}
    assert not set(paths(source, "val")) & set(paths(source, "train"))
    assert source.notes == (
        "split by seed 0: 9 of 82 images held out as val"
        " (11 %: 10 % of each class, but at least one held out and one kept)",
    )


@pytest.mark.parametrize(
    ("sizes", "fraction", "said"),
    [
        ((30, 50), 0.1, "8 of 80 images held out as val (10 % of each class)"),
        ((3, 3), 0.1, "2 of 6 images held out as val (33.3 %: 10 % of each class, but"),
        ((2, 2), 0.9, "2 of 4 images held out as val (50 %: 90 % of each class, but"),
        ((1, 20), 0.1, "2 of 21 images held out as val (10 % of each class; 1 class of one"),
        ((1, 1), 0.1, "nothing held out as val: each class has one image only"),
    ],
)
def test_note_says_what_was_held_out_and_not_what_was_asked_for(
    tmp_path: Path, sizes: tuple[int, int], fraction: float, said: str
) -> None:
    touch(tmp_path, *many("a", sizes[0]), *many("b", sizes[1]))
    assert said in open_data(tmp_path, val_fraction=fraction).notes[0]


SYSTEM_FOLDERS = [
    *("@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"),
    *(".ipynb_checkpoints", "__MACOSX", ".Trash-1000", ".fseventsd", ".Spotlight-V100"),
    *(".snapshot", "$recycle.bin", "@Recycle", "FOUND.000", "RECYCLER"),
]


@pytest.mark.parametrize("folder", SYSTEM_FOLDERS)
def test_folders_of_the_system_are_no_classes_and_hold_no_images(
    tmp_path: Path, folder: str
) -> None:
    touch(tmp_path, *many("cat", 3), *many("dog", 3), f"{folder}/1.jpg", f"cat/{folder}/thumb.jpg")
    touch(tmp_path, "cat/Thumbs.db", "dog/desktop.ini")
    source = open_data(tmp_path, val_fraction=0)
    assert source.classes == ("cat", "dog")
    assert len(paths(source, "train")) == 6
    assert source.notes == ()


def test_label_is_the_folder_of_the_path(tmp_path: Path) -> None:
    source = open_data(touch(tmp_path, *many("b", 9), *many("a", 9)))
    for split in source.splits:
        assert all(path.startswith(label + "/") for path, label in labelled(source, split).items())


def test_class_of_one_stays_in_train(tmp_path: Path) -> None:
    source = open_data(touch(tmp_path, *many("a", 1), *many("b", 20)), val_fraction=0.9)
    assert "a/0.jpg" in paths(source, "train")
    assert Counter(labelled(source, "train").values()) == {"a": 1, "b": 2}


def test_split_depends_on_names_and_seed_alone(tmp_path: Path) -> None:
    names = [*many("a", 40), *many("b", 40)]
    one = touch(tmp_path / "one", *names)
    random.Random(0).shuffle(names)
    two = touch(tmp_path / "two", *names)
    val = paths(open_data(one), "val")
    assert paths(open_data(two), "val") == val
    assert paths(open_data(one, seed=1), "val") != val
    code = (
        "import sys; from backbones.data.sets import open_data;"
        " print(*open_data(sys.argv[1]).splits['val'].images.paths)"
    )
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(two)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert tuple(run.stdout.split()) == val


def test_split_is_the_same_on_every_machine() -> None:
    """Written down once: a change of the rule would move images between train and val."""
    held = Holdout(0.2, seed=7).choose(np.array([0] * 10 + [1] * 5), [f"x/{i}" for i in range(15)])
    assert np.flatnonzero(held).tolist() == [2, 7, 14]


def test_a_new_image_moves_hardly_any_other(tmp_path: Path) -> None:
    before = set(paths(open_data(touch(tmp_path, *many("a", 100), *many("b", 100))), "val"))
    after = set(paths(open_data(touch(tmp_path, "a/new.jpg")), "val"))
    assert len(before ^ after) <= 2


def test_no_holdout_on_request_and_fraction_is_checked(tmp_path: Path) -> None:
    touch(tmp_path, *many("a", 4), *many("b", 4))
    assert list(open_data(tmp_path, val_fraction=0).splits) == ["train"]
    with pytest.raises(WrongUse, match="val_fraction is 1"):
        open_data(tmp_path, val_fraction=1)


@pytest.mark.parametrize(
    ("folder", "split"),
    [("val", "val"), ("valid", "val"), ("Validation", "val"), ("test", "test"), ("dev", "val")],
)
def test_train_with_a_held_out_folder(tmp_path: Path, folder: str, split: str) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.png", f"{folder}/a/2.jpg", f"{folder}/b/2.webp")
    source = open_data(tmp_path)
    assert list(source.splits) == ["train", split]
    assert source.notes == ()
    assert labelled(source, split) == {f"{folder}/a/2.jpg": "a", f"{folder}/b/2.webp": "b"}


def test_train_alone_gives_val(tmp_path: Path) -> None:
    names = [f"train/{name}" for name in (*many("a", 20), *many("b", 20))]
    source = open_data(touch(tmp_path, *names), val_fraction=0.25)
    assert len(source.splits["val"]) == 10
    assert "split by seed 0" in source.notes[-1]


def test_nested_hidden_and_foreign_files(tmp_path: Path) -> None:
    touch(tmp_path, "a/deep/er/1.JPG", "a/1.jpg", "b/1.jpg", "b/2.jpg", "b/notes.txt", "loose.jpg")
    touch(tmp_path, "__MACOSX/a/1.jpg", ".git/x.jpg", "a/.DS_Store", "a/._1.jpg", "empty/readme.md")
    source = open_data(tmp_path, val_fraction=0)
    assert paths(source, "train") == ("a/1.jpg", "a/deep/er/1.JPG", "b/1.jpg", "b/2.jpg")
    assert source.notes == (
        "folders without images: empty",
        "2 files below ./ left out: not an image by its extension",
        "1 image directly in ./ left out: in no class folder",
    )


def test_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    source = open_data(tmp_path, val_fraction=0)
    assert {"a/1.jpg", "b/1.jpg"} <= set(paths(source, "train"))


def test_classes_that_differ_between_splits_are_shown(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "val/Dog/1.jpg")
    with pytest.raises(BadData, match=r"val lacks dog; val alone has Dog \(train has 2 classes"):
        open_data(tmp_path)


def test_empty_class_folder_in_val_is_no_difference(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg")
    (tmp_path / "val" / "b").mkdir()
    assert len(open_data(tmp_path).splits["val"]) == 1


def test_folder_of_data_sets_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "bees/train/a/1.jpg", "bees/val/a/1.jpg", "cats/cat/1.jpg")
    with pytest.raises(BadData, match="'bees', which holds train, val folders of its own"):
        open_data(tmp_path)


@pytest.mark.parametrize("word", ["train", "valid", "Test", "dev", "holdout", "val2017"])
def test_a_word_for_a_split_is_no_class_unless_told(tmp_path: Path, word: str) -> None:
    touch(tmp_path, *many("car", 3), *many(word, 3))
    with pytest.raises(BadData, match=f"{word} may be a split, .*beside car; .*--layout class-fol"):
        open_data(tmp_path)
    assert open_data(tmp_path, layout="class-folders").classes == tuple(sorted(["car", word]))


def test_set_to_evaluate_on_may_lack_train(tmp_path: Path) -> None:
    touch(tmp_path, "val/a/1.jpg", "val/b/1.jpg", "test/a/1.jpg", "test/b/2.jpg")
    source = open_data(tmp_path)
    assert source.classes == ("a", "b")
    assert list(source.splits) == ["val", "test"]
    assert source.held_out().name == "test"


def test_split_folder_without_classes_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{name}" for name in (*many("a", 9), *many("b", 9))), "test/1.jpg")
    source = open_data(tmp_path)
    assert list(source.splits) == ["train", "val"]
    assert source.notes[0] == "test/ is left out: it has no class folders"


def test_classes_called_by_numbers_are_in_their_order(tmp_path: Path) -> None:
    source = open_data(touch(tmp_path, *(f"{i}/1.png" for i in range(12))))
    assert source.classes == tuple(str(i) for i in range(12))


# --- flat folders -------------------------------------------------------------------------------


def test_flat_folder_takes_the_class_from_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "cat.0.jpg", "cat.1.jpg", "great_dane_07.jpg", "great_dane_8.png", "list.txt")
    source = open_data(tmp_path, val_fraction=0)
    assert source.kind == "flat folder"
    assert labelled(source, "train") == {
        "cat.0.jpg": "cat",
        "cat.1.jpg": "cat",
        "great_dane_07.jpg": "great_dane",
        "great_dane_8.png": "great_dane",
    }


def test_dogs_and_cats_as_the_competition_ships_them(tmp_path: Path) -> None:
    names = [f"train/{label}.{i}.jpg" for label in ("cat", "dog") for i in range(10)]
    source = open_data(touch(tmp_path, *names, "test1/1.jpg", "test1/2.jpg"))
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 18, "val": 2}
    assert source.notes[:2] == (
        "classes are the words before the number in the file names",
        "test1/ is left out: its file names carry no class",
    )


def test_flat_splits_with_a_class_that_train_lacks(tmp_path: Path) -> None:
    names = [f"train/{label}.{i}.jpg" for label in ("cat", "dog") for i in range(3)]
    names += [f"val/{label}.{i}.jpg" for label in ("cat", "cow") for i in range(3)]
    with pytest.raises(BadData, match="val alone has cow"):
        open_data(touch(tmp_path, *names))


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_0001.jpg", "IMG_0002.jpg"],  # one class
        ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg"],  # a class of one
        ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg", "cover.jpg"],  # a name without one
    ],
)
def test_flat_folder_that_tells_no_classes(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(BadData, match=f"holds {len(names)} images .*expected one of: .*cat.0.jpg"):
        open_data(touch(tmp_path, *names))


# --- images named by WordNet id ---------------------------------------------------------------


def test_imagenet_names_in_one_folder_one_image_a_class_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, "n01440764_tench.JPEG", "n02012849-1.jpg", "n02012849-2.jpg", "n03126707.png")
    source = open_data(touch(tmp_path, "README.txt"), val_fraction=0)
    assert source.kind == "imagenet names"
    assert labelled(source, "train") == {
        "n01440764_tench.JPEG": "n01440764",
        "n02012849-1.jpg": "n02012849",
        "n02012849-2.jpg": "n02012849",
        "n03126707.png": "n03126707",
    }
    assert source.notes == ("1 file in ./ left out: not an image by its extension",)


def test_imagenet_names_with_strangers_among_them_say_which(tmp_path: Path) -> None:
    names = [f"n0144076{i}_x.JPEG" for i in range(5)]
    touch(tmp_path, *names, "holiday.jpg", "n014_short.jpg")
    with pytest.raises(
        BadData, match=r"2 images without a WordNet id .*\(holiday.jpg, n014_short.jpg\)"
    ):
        open_data(tmp_path)


def test_imagenet_names_of_one_class_are_no_set(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"holds 1 class \(n01440764\)"):
        open_data(touch(tmp_path, "n01440764_1.JPEG", "n01440764_2.JPEG"))


@pytest.mark.parametrize("label", ["m01440764", "n014407645", "n01440764x", "n0144076"])
def test_what_looks_almost_like_a_wordnet_id_is_a_class_s_name(tmp_path: Path, label: str) -> None:
    touch(tmp_path, f"{label}_1.jpg", f"{label}_2.jpg", "dog_1.jpg", "dog_2.jpg")
    source = open_data(tmp_path)
    assert (source.kind, set(source.classes)) == ("flat folder", {label, "dog"})


# --- manifests ----------------------------------------------------------------------------------


def write(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(rows) + "\n", encoding=encoding)
    return path


def test_manifest_with_splits(tmp_path: Path) -> None:
    touch(tmp_path, "p/1.jpg", "p/2.jpg", "p/3.jpg", "q 4.jpg")
    rows = ("path,label,split", "p/1.jpg,猫,train", "p/2.jpg,dog,Train")
    path = write(tmp_path / "m.csv", *rows, "p\\3.jpg,dog,valid", "q 4.jpg,,test")
    source = open_data(path)
    assert source.kind == "manifest"
    assert source.where == str(path)
    assert source.classes == ("dog", "猫")
    assert labelled(source, "train") == {"p/1.jpg": "猫", "p/2.jpg": "dog"}
    assert labelled(source, "val") == {"p/3.jpg": "dog"}
    assert source.notes == (
        "labels from m.csv (path, label)",
        "1 test line without a label left out",
    )


@pytest.mark.parametrize(
    ("name", "header", "between", "encoding"),
    [
        ("a.csv", "Filename,Class", ",", "utf-8-sig"),
        ("b.tsv", "image\tcategory", "\t", "utf-8"),
        ("c.csv", "id;file;label", ";", "utf-8"),
    ],
)
def test_manifest_columns_by_their_other_names(
    tmp_path: Path, name: str, header: str, between: str, encoding: str
) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(20)))
    rows = [between.join([f"{i}.jpg", str(i % 2)]) for i in range(20)]
    if header.startswith("id"):
        rows = [f"7{between}{row}" for row in rows]
    write(tmp_path / name, header, *rows, encoding=encoding)
    for where in (tmp_path / name, tmp_path):  # a single manifest in a folder is found
        source = open_data(where)
        assert source.kind == "manifest"
        assert labelled(source, "val").keys() < {f"{i}.jpg" for i in range(20)}
        assert len(source.splits["val"]) == 2


def test_parquet_manifest(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    touch(tmp_path, *(f"{i}.jpg" for i in range(6)))
    columns = {
        "path": [f"{i}.jpg" for i in range(6)],
        "label": [i % 3 for i in range(6)],
        "split": ["train", "train", "train", "test", "test", "test"],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    source = open_data(tmp_path / "m.parquet")
    assert source.classes == ("0", "1", "2")
    assert labelled(source, "test") == {"3.jpg": "0", "4.jpg": "1", "5.jpg": "2"}
    (tmp_path / "m.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(BadData, match="not a readable Parquet table"):
        open_data(tmp_path / "m.parquet")


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match=r"pip install 'classic-backbones\[parquet\]'"):
        open_data(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b", "one,x"], "has the columns a, b; expected path and label"),
        ([""], "has the columns none"),
        (["path,label", "1.jpg,x", "2.jpg,"], "line 3 has no label"),
        (["path,label", "1.jpg,x", "1.jpg,y"], "line 3 calls 1.jpg 'y', an earlier line 'x'"),
        (["path,label,split", "1.jpg,x,fold3"], "line 2 has the split 'fold3'"),
        (["path,label", "1.jpg,x", "8.jpg,y", "9.jpg,y"], r"2 files of 3 .*\(8.jpg, 9.jpg\)"),
        (["path,label,split", "1.jpg,x,train", "2.jpg,y,val"], "val alone has y"),
        (["path,label,split", "1.jpg,x,val"], r"holds 1 class \(x\)"),
        (["path,label", "1.jpg,x", "2.jpg,x"], r"holds 1 class \(x\)"),
        (["path,label"], r"holds 0 classes \(no images\)"),
    ],
)
def test_manifest_that_cannot_be_used(tmp_path: Path, rows: list[str], message: str) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(BadData, match=message) as caught:
        open_data(write(tmp_path / "m.csv", *rows))
    assert "\n" not in str(caught.value)


def test_manifest_in_another_encoding(tmp_path: Path) -> None:
    write(tmp_path / "m.csv", "path,label", "1.jpg,小狗", encoding="gb18030")
    with pytest.raises(BadData, match="save it as UTF-8"):
        open_data(tmp_path / "m.csv")


# --- IDX ----------------------------------------------------------------------------------------


def idx_bytes(values: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, values.ndim))
    return head + b"".join(side.to_bytes(4, "big") for side in values.shape) + values.tobytes()


def write_idx(folder: Path, part: str, number: int, zipped: bool = False) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (number, 5, 4), dtype=np.uint8)
    labels = np.arange(number, dtype=np.uint8) % 3
    for what, values in (("images-idx3", images), ("labels-idx1", labels)):
        data = idx_bytes(values)
        name = f"{part}-{what}-ubyte" + (".gz" if zipped else "")
        (folder / name).write_bytes(gzip.compress(data) if zipped else data)
    return images


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_idx_folder(tmp_path: Path, zipped: bool, below: str) -> None:
    images = write_idx(tmp_path / below, "train", 30, zipped)
    write_idx(tmp_path / below, "t10k", 9, zipped)
    source = open_data(tmp_path)
    assert source.kind == "idx"
    assert source.classes == ("0", "1", "2")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 30, "test": 9}
    held = source.splits["train"].images
    assert isinstance(held, ArrayImages)
    assert np.array_equal(held.array[..., 0], images)
    assert held.name(7) == "train-images-idx3-ubyte#7"


def test_idx_files_to_measure_by_need_no_training_files(tmp_path: Path) -> None:
    write_idx(tmp_path, "t10k", 9)
    source = open_data(tmp_path)
    assert list(source.splits) == ["test"]
    assert len(source.held_out()) == 9


def test_idx_without_a_test_part_is_split(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 30)
    source = open_data(tmp_path)
    assert np.bincount(source.splits["val"].labels).tolist() == [1, 1, 1]
    assert len(source.splits["train"]) == 27


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "claims 600 values .* and holds 599"),
        (lambda data: data + b"x", "and holds more"),
        (lambda data: b"", "starts with nothing"),
        (lambda data: b"\x00\x00\x0d\x03" + data[4:], "starts with 00000d03"),
        (lambda data: data[:4] + b"\xff" * 12, "which cannot be right"),
        (lambda data: gzip.compress(data)[:-20], "cut off or corrupt"),
        (lambda data: gzip.compress(data)[:-8] + b"\x00" * 8, "cut off or corrupt .CRC"),
    ],
)
def test_damaged_idx(tmp_path: Path, damage: object, message: str) -> None:
    write_idx(tmp_path, "train", 30)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadData, match=message):
        open_data(tmp_path)


def test_idx_without_labels_or_with_too_few(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 30)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(29, dtype=np.uint8)))
    with pytest.raises(BadData, match="30 images and train-labels-idx1-ubyte 29 labels"):
        open_data(tmp_path)
    labels.unlink()
    with pytest.raises(BadData, match="has train-images-idx3-ubyte but not the labels"):
        open_data(tmp_path)


def test_real_fashion_mnist_is_what_was_published(test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "fashion-mnist"
    row = next(row for row in named.SETS if row.name == "fashion-mnist")
    for name, md5 in row.files.items():
        assert hashlib.md5((folder / name).read_bytes()).hexdigest() == md5
    renamed = tmp_path / "renamed"
    renamed.symlink_to(folder, target_is_directory=True)
    source = open_data(renamed)
    assert source.classes == FASHION_CLASSES, "known by its labels"
    sizes = {name: len(split) for name, split in source.splits.items()}
    assert sizes == {"train": 60000, "test": 10000}
    array = read_idx(folder / "train-images-idx3-ubyte.gz", 3)
    assert array.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert array.std() / 255 == pytest.approx(0.3530, abs=5e-5)


# --- CIFAR --------------------------------------------------------------------------------------


def cifar_bytes(number: int, label_bytes: int, classes: int = 10) -> bytes:
    rng = np.random.default_rng(number)
    records = rng.integers(0, 256, (number, label_bytes + 3072), dtype=np.uint8)
    records[:, 0] = 0
    records[:, label_bytes - 1] = np.arange(number) % classes
    return records.tobytes()


def cifar10_files() -> dict[str, bytes]:
    files = {f"data_batch_{i}.bin": cifar_bytes(10 + i, 1) for i in range(1, 6)}
    return {**files, "test_batch.bin": cifar_bytes(10, 1), "readme.html": b"x"}


def tar_of(files: dict[str, bytes], path: Path, folder: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_cifar10_folder_and_archive_agree(tmp_path: Path) -> None:
    inner = tmp_path / "set" / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    for name, data in cifar10_files().items():
        (inner / name).write_bytes(data)
    packed = tmp_path / "packed"
    packed.mkdir()
    archive = tar_of(cifar10_files(), packed / "cifar-10-binary.tar.gz", "cifar-10-batches-bin")
    sources = [open_data(where) for where in (inner, tmp_path / "set", packed, archive)]
    for source in sources:
        assert source.kind == "cifar"
        assert source.classes[:3] == ("airplane", "automobile", "bird")
        assert len(source.splits["train"]) == 65
        assert len(source.splits["test"]) == 10
        images = source.splits["train"].images
        assert isinstance(images, ArrayImages)
        first = np.frombuffer(cifar_bytes(11, 1), dtype=np.uint8)[1:3073]
        # the file holds planes: red first, then green and blue
        assert np.array_equal(images.array[0, :, :, 1].ravel(), first[1024:2048])


def test_cifar100_uses_the_fine_labels(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(cifar_bytes(100, 2, classes=100))
    (tmp_path / "test.bin").write_bytes(cifar_bytes(7, 2, classes=100))
    names = [f"name{i}" for i in range(100)]
    (tmp_path / "fine_label_names.txt").write_text("\n".join(names))
    source = open_data(tmp_path)
    assert source.classes == tuple(names)
    assert source.splits["train"].labels.tolist() == list(range(100))
    (tmp_path / "fine_label_names.txt").unlink()
    assert open_data(tmp_path).classes[99] == "99"


def test_damaged_cifar(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_bytes(5, 1)[:-7])
    with pytest.raises(BadData, match="no whole number of records of 3,073"):
        open_data(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_bytes(12, 1, classes=12))
    with pytest.raises(BadData, match="has the label 11 in train; expected 0 to 9"):
        open_data(tmp_path)
    archive = tar_of(cifar10_files(), tmp_path / "cifar-10-binary.tar.gz", "x")
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(BadData, match="cut off or corrupt"):
        open_data(archive)


@pytest.mark.parametrize("packed", [False, True])
def test_pickled_cifar_is_refused_and_not_run(tmp_path: Path, packed: bool) -> None:
    ran = tmp_path / "ran"
    bomb = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    files = {"data_batch_1": bomb, "batches.meta": bomb, "test_batch": bomb}
    if packed:
        where = tar_of(files, tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py")
    else:
        where = tmp_path / "set"
        (where / "cifar-10-batches-py").mkdir(parents=True)
        for name, data in files.items():
            (where / "cifar-10-batches-py" / name).write_bytes(data)
    with pytest.raises(BadData, match="pickles and is not opened; get the binary version"):
        open_data(where)
    assert not ran.exists()


@pytest.mark.parametrize(("name", "label_bytes"), [("test_batch.bin", 1), ("test.bin", 2)])
def test_cifar_files_to_measure_by_need_no_training_files(
    tmp_path: Path, name: str, label_bytes: int
) -> None:
    (tmp_path / name).write_bytes(cifar_bytes(20, label_bytes))
    source = open_data(tmp_path)
    assert (source.kind, list(source.splits)) == ("cifar", ["test"])


# --- ImageNet -----------------------------------------------------------------------------------

IDS = ("n01440764", "n01443537", "n02102040")


def imagenet(root: Path, val: int = 4) -> Path:
    touch(root, *(f"train/{each}/{each}_{i}.JPEG" for each in IDS for i in range(5)))
    return touch(root, *(f"val/ILSVRC2012_val_{i:08}.JPEG" for i in range(1, val + 1)))


def test_imagenet_in_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{each}/1.JPEG" for split in ("train", "val") for each in IDS))
    source = open_data(tmp_path)
    assert source.kind == "imagenet"
    assert source.classes == IDS
    assert labelled(source, "val")[f"val/{IDS[1]}/1.JPEG"] == IDS[1]


def test_imagenet_flat_with_the_competitions_solution(tmp_path: Path) -> None:
    root = imagenet(tmp_path / "ILSVRC" / "Data" / "CLS-LOC")
    with (tmp_path / "LOC_val_solution.csv").open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["ImageId", "PredictionString"])
        for i in range(1, 5):
            rows.writerow([f"ILSVRC2012_val_{i:08}", f"{IDS[i % 3]} 1 2 3 4 {IDS[0]} 5 6 7 8"])
    source = open_data(root)
    assert labelled(source, "val")["val/ILSVRC2012_val_00000002.JPEG"] == IDS[2]
    assert source.notes == ("validation labels from LOC_val_solution.csv",)


@pytest.mark.parametrize("numbered", [True, False])
def test_imagenet_flat_with_val_txt(tmp_path: Path, numbered: bool) -> None:
    lines = [f"ILSVRC2012_val_{i:08}.JPEG {i % 3 if numbered else IDS[i % 3]}" for i in range(1, 5)]
    write(imagenet(tmp_path) / "val.txt", *lines)
    assert list(labelled(open_data(tmp_path), "val").values()).count(IDS[1]) == 2


def test_imagenet_flat_without_usable_labels(tmp_path: Path) -> None:
    imagenet(tmp_path)
    with pytest.raises(BadData, match=r"without their labels; put LOC_val_solution.csv"):
        open_data(tmp_path)
    write(tmp_path / "ILSVRC2012_validation_ground_truth.txt", "490", "361", "171", "822")
    with pytest.raises(BadData, match="an order of their own"):
        open_data(tmp_path)
    # Kaggle's ImageSets/CLS-LOC/val.txt: line numbers, which only look like classes
    write(tmp_path / "val.txt", *(f"ILSVRC2012_val_{i:08} {i}" for i in range(1, 5)))
    with pytest.raises(BadData, match=r"line 3 is 'ILSVRC2012_val_00000003 3'; expected"):
        open_data(tmp_path)
    write(tmp_path / "val.txt", "ILSVRC2012_val_00000001 n01440764")
    with pytest.raises(BadData, match="no label for 3 images"):
        open_data(tmp_path)
    write(tmp_path / "val.txt", *(f"ILSVRC2012_val_{i:08} n09999999" for i in range(1, 5)))
    with pytest.raises(BadData, match="names 1 class that train does not have"):
        open_data(tmp_path)


# --- names, paths, and what is nothing ----------------------------------------------------------


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    source = open_data("digits")
    values, target = load_digits(return_X_y=True)
    seen = np.zeros(len(values), dtype=int)
    for split in source.splits.values():
        assert isinstance(split.images, ArrayImages)
        numbers = split.images.numbers
        seen[numbers] += 1
        assert np.array_equal(split.labels, target[numbers])
        pixels = split.images.array.reshape(len(split), 64)
        assert np.array_equal(np.rint(pixels.astype(float) * 16 / 255), values[numbers])
    assert (seen == 1).all()
    shares = np.bincount(source.splits["test"].labels) / np.bincount(target)
    assert np.abs(shares - 0.2).max() < 0.005
    assert source.splits["test"].images.array.max() == 255
    other = open_data("digits", seed=1).splits["test"].images
    assert not np.array_equal(other.numbers, source.splits["test"].images.numbers)


def test_opening_a_set_needs_no_torch() -> None:
    code = (
        "import sys; from backbones.data.sets import open_data; open_data('digits');"
        " sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_path_names_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "cats-dogs/cat/1.jpg")
    with pytest.raises(NotFound, match=r"Did you mean .*cats-dogs\?"):
        open_data(tmp_path / "cat-dogs")
    with pytest.raises(NotFound, match="Did you mean fashion-mnist"):
        open_data("fashion_mnist")


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ([], "holds nothing"),
        (["readme.txt"], r"1 other file \(readme.txt\)"),
        (["only/1.jpg"], r"1 folder \(only\)"),
        (["holiday.jpg", "beach.jpg"], r"2 images \(beach.jpg, holiday.jpg\)"),
    ],
)
def test_folder_that_is_no_set_says_what_was_seen(
    tmp_path: Path, names: list[str], seen: str
) -> None:
    with pytest.raises(BadData, match=seen) as caught:
        open_data(touch(tmp_path, *names))
    assert all(layout.looks_like in str(caught.value) for layout in LAYOUTS)


def test_file_that_is_no_set(tmp_path: Path) -> None:
    touch(tmp_path, "a.zip", "train-images-idx3-ubyte")
    with pytest.raises(BadData, match="a file of no kind that is understood"):
        open_data(tmp_path / "a.zip")
    with pytest.raises(BadData, match="give the folder that it is in"):
        open_data(tmp_path / "train-images-idx3-ubyte")


def test_name_is_a_name_even_beside_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "digits/a/1.jpg", "digits/b/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert open_data("digits").kind == "digits"
    assert open_data("./digits").kind == "class folders"
    assert open_data(Path("./digits").absolute()).kind == "class folders"
    assert NAMES == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
