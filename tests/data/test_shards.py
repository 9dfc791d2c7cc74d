"""Shards: told apart, indexed once, read in an order that the seed alone decides."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data import remote, stores
from backbones.data.augment import Augment
from backbones.data.check import check_data
from backbones.data.pack import pack_data
from backbones.data.pipeline import Pipeline
from backbones.data.random import shuffled_in_windows
from backbones.data.sets import open_data
from backbones.data.shards import blocks, images, tar
from backbones.data.source import DataSource, Split
from backbones.errors import BadData, DownloadFailed, NotFound, WrongUse
from backbones.spec import InputSpec
from tests.data.web import Web, web_server

SPEC = InputSpec(size=16, resize=16, channels=3)
CLASSES = ("cat", "dog", "fox")


def encoded(number: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def members_of(numbers: Sequence[int]) -> dict[str, bytes]:
    files = {}
    for number in numbers:
        files[f"{number:04}.png"] = encoded(number)
        files[f"{number:04}.cls"] = str(number % 3).encode()
    return files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """36 images in 4 shards of train and one of val, with a list of classes."""
    for shard in range(4):
        numbers = range(8 * shard, 8 * shard + 8)
        write_tar(tmp_path / "set" / f"train-{shard:03}.tar", members_of(numbers))
    write_tar(tmp_path / "set" / "val-000.tar", members_of(range(32, 36)))
    (tmp_path / "set" / "classes.txt").write_text("\n".join(CLASSES))
    return tmp_path / "set"


@pytest.fixture
def web(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web server that has the shards."""
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    with web_server() as server:
        server.files = {f"/set/{path.name}": path.read_bytes() for path in folder.iterdir()}
        yield server


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few images and windows of a few blocks, as large sets have them."""
    monkeypatch.setattr(tar, "BLOCK_BYTES", 6000)
    monkeypatch.setattr(images, "WINDOW_BYTES", 15_000)
    monkeypatch.setattr(blocks, "AHEAD_BYTES", 30_000)


def epoch(split: Split, number: int = 0, start: int = 0) -> list[tuple[list[int], str]]:
    """What a training sees: each batch's indices, and a hash of its pixels."""
    augment = Augment(crop="random", resize=20)
    pipeline = Pipeline(split, SPEC, batch_size=5, augment=augment, seed=3, workers=2)
    found = []
    for batch in pipeline.epoch(number, start=start):
        digest = hashlib.sha256(batch.images.contiguous().numpy().tobytes())
        assert not batch.bad
        found.append((batch.indices.tolist(), digest.hexdigest()))
    pipeline.close()
    return found


def labelled(source: DataSource, split: str) -> dict[str, str]:
    part = source.split(split)
    names = part.images.names()  # type: ignore[union-attr]
    return {name: source.classes[label] for name, label in zip(names, part.labels, strict=True)}


# --- what is in them ----------------------------------------------------------------------------


def test_tar_shards_are_told_apart_with_their_splits_and_class_names(folder: Path) -> None:
    source = open_data(folder)
    assert (source.kind, source.classes) == ("tar", CLASSES)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 32, "val": 4}
    assert labelled(source, "val") == {
        f"val-000.tar/{n:04}.png": CLASSES[n % 3] for n in range(32, 36)
    }
    assert source.split("train").images.data(9) == encoded(9)  # type: ignore[union-attr]
    assert [len(open_data(folder / "train-001.tar", val_fraction=0).splits["train"])] == [8]


@pytest.mark.parametrize(
    ("beside", "label"),
    [
        ({"txt": b"dog\n"}, "dog"),
        ({"json": b'{"label": 1, "class_name": "dog"}', "cls": b"1"}, "dog"),
        ({"json": b'{"label": "dog"}', "txt": b"a dog on a lawn"}, "dog"),
        ({"cls": b"1"}, "1"),
        ({}, "folder dog"),
    ],
)
def test_a_label_is_what_the_files_beside_an_image_say(
    tmp_path: Path, beside: dict[str, bytes], label: str
) -> None:
    files: dict[str, bytes] = {}
    for number, name in enumerate(["cat", "dog"] * 3):
        key = f"folder {name}/{number}"
        files[f"{key}.png"] = encoded(number)
        for extension, text in beside.items():
            other = text.replace(b"dog", b"cat").replace(b"1", b"0")
            files[f"{key}.{extension}"] = text if name == "dog" else other
    source = open_data(write_tar(tmp_path / "a.tar", files), val_fraction=0)
    assert labelled(source, "train")["a.tar/folder dog/1.png"] == label
    assert len(source.classes) == 2


def test_captions_and_numbers_without_a_name_are_refused_in_one_line(
    tmp_path: Path, folder: Path
) -> None:
    files = {}
    for number in range(60):
        files |= {f"{number}.png": b"", f"{number}.txt": f"caption {number}".encode()}
    with pytest.raises(BadData, match=r"60 different labels for 60 images"):
        open_data(write_tar(tmp_path / "a.tar", files))
    (folder / "classes.txt").write_text("cat\ndog")
    with pytest.raises(BadData, match=r"has the label 2, and names of 2 classes only"):
        open_data(folder)


def test_a_pattern_and_a_list_in_braces_name_shards(folder: Path) -> None:
    source = open_data(f"{folder}/train-{{001..003}}.tar", val_fraction=0)
    assert source.classes == CLASSES
    assert list(labelled(source, "train"))[:1] == ["train-001.tar/0008.png"]
    assert len(open_data(f"{folder}/*.tar").split("train")) == 32
    with pytest.raises(NotFound, match=r"there is no file .*train-004\.tar"):
        open_data(f"{folder}/train-{{001..004}}.tar")
    with pytest.raises(NotFound, match=r"no shard matches"):
        open_data(f"{folder}/nothing-*.tar")
    with pytest.raises(WrongUse, match=r"a layout or a label pattern is for folders"):
        open_data(f"{folder}/*.tar", layout="class-folders")


def test_a_pattern_may_go_over_folders_which_are_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "training", "val"):
        write_tar(tmp_path / name / "x-0.tar", members_of(range(6)))
    source = open_data("{train,val}/x-{0..0}.tar")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "val": 6}
    assert next(iter(labelled(source, "val"))) == "val/x-0.tar/0000.png"
    source = open_data("{train,training}/x-0.tar", val_fraction=0)
    assert list(labelled(source, "train"))[6] == "training/x-0.tar/0000.png"
    pytest.importorskip("fsspec")
    address = f"memory://{tmp_path.name}"
    for name in ("train", "val"):
        remote.put(tmp_path / name / "x-0.tar", f"{address}/{name}/x-0.tar")
    there = open_data(f"{address}/{{train,val}}/x-0.tar")
    assert next(iter(labelled(there, "val"))) == "val/x-0.tar/0000.png"


# --- order --------------------------------------------------------------------------------------


def test_the_order_reads_each_block_within_a_window_and_depends_on_the_seed_alone() -> None:
    numbers = np.repeat(np.arange(40), 25)
    sizes = np.full(1000, 10)
    first = shuffled_in_windows(1, 0, numbers, sizes, 1000)  # four blocks a window
    assert sorted(first.tolist()) == list(range(1000))
    assert first.tolist() == shuffled_in_windows(1, 0, numbers, sizes, 1000).tolist()
    for other in (
        shuffled_in_windows(2, 0, numbers, sizes, 1000),
        shuffled_in_windows(1, 1, numbers, sizes, 1000),
    ):
        assert other.tolist() != first.tolist()
    for at in range(0, 1000, 100):
        assert len(set(numbers[first[at : at + 100]].tolist())) == 4
    spread = numbers[first[:100]]
    assert (spread != np.sort(spread)).any()  # shuffled within the window
    whole = shuffled_in_windows(1, 0, numbers, sizes, 10_000)
    assert len(set(numbers[whole[:100]].tolist())) > 30


@pytest.mark.usefixtures("small")
def test_shards_here_and_at_an_address_give_the_same_batches_also_from_the_middle(
    folder: Path, web: Web
) -> None:
    here = open_data(folder).split("train")
    there = open_data(f"{web.address}/set/train-{{000..003}}.tar", val_fraction=0).split("train")
    whole = epoch(here)
    assert sorted(i for batch, _ in whole for i in batch) == list(range(32))
    assert epoch(there) == whole
    assert epoch(here, 1) != whole
    web.ranges.clear()
    assert epoch(there, start=4) == whole[4:]
    wanted = {i for batch, _ in whole[4:] for i in batch}
    before = {i for batch, _ in whole[:4] for i in batch}
    numbers = there.images.shards.blocks  # type: ignore[union-attr]
    passed = {int(numbers[i]) for i in before} - {int(numbers[i]) for i in wanted}
    assert passed
    assert len(web.ranges) == len({int(numbers[i]) for i in wanted})  # nothing that came before


# --- the index ----------------------------------------------------------------------------------


def test_an_index_is_built_once_and_again_where_the_shard_or_the_index_changed(
    folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "own"))
    where = f"{web.address}/set/train-{{000..003}}.tar"
    first = labelled(open_data(where), "train")
    web.ranges.clear()
    assert labelled(open_data(where), "train") == first
    assert web.ranges == []
    kept = sorted((tmp_path / "own" / "shards").iterdir())
    assert len(kept) == 4
    kept[0].write_bytes(kept[0].read_bytes()[:-3] + b"abc")
    assert labelled(open_data(where), "train") == first
    assert len({path for path, _, _ in web.ranges}) == 1
    write_tar(folder / "train-000.tar", members_of(range(100, 103)))
    assert "train-000.tar/0101.png" in labelled(open_data(folder), "train")


# --- damage -------------------------------------------------------------------------------------


def test_damaged_shards_and_records_are_named_with_the_reason(folder: Path) -> None:
    data = bytearray((folder / "train-000.tar").read_bytes())
    second = data.index(b"0002.png")
    data[second : second + 4] = b"XXXX"  # its checksum is wrong now
    (folder / "train-000.tar").write_bytes(data)
    cut = (folder / "train-001.tar").read_bytes()
    (folder / "train-001.tar").write_bytes(cut[: cut.index(b"0013.png") + 900])
    (folder / "train-002.tar").write_bytes(b"no tar at all" * 100)
    with tarfile.open(folder / "train-003.tar") as archive:
        end = archive.getmembers()[-1].offset_data + 512
    (folder / "train-003.tar").write_bytes((folder / "train-003.tar").read_bytes()[:end])
    source = open_data(folder)
    damaged = dict(source.damaged)
    assert "a damaged header at byte" in damaged["train-000.tar"]
    assert damaged["train-001.tar/0013.png"] == "cut off: the shard ends in it"
    assert "no tar" in damaged["train-002.tar"] or "damaged" in damaged["train-002.tar"]
    assert damaged["train-003.tar"] == "cut off: the mark of its end is missing"
    assert len(damaged) == 4
    assert len(source.split("train")) == 7 + 5 + 8
    assert source.summary().endswith("; damaged and left out: 4")
    assert any("4 damaged records left out: train-000.tar (" in note for note in source.notes)
    found = check_data(folder)
    assert not found.ok
    assert {each.path for each in found.unreadable} == damaged.keys()


def test_a_shard_that_changes_while_it_is_read_ends_in_one_line(folder: Path) -> None:
    split = open_data(folder).split("train")
    write_tar(folder / "train-000.tar", members_of(range(3)))
    with pytest.raises(BadData, match=r"train-000\.tar was changed while it was in use"):
        split.images.data(0)  # type: ignore[union-attr]


def test_a_damaged_row_group_is_quarantined_row_by_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells: list[object] = [{"bytes": encoded(n), "path": f"{n}.png"} for n in range(12)]
    table = pyarrow.table({"image": cells, "label": ["cat", "dog"] * 6})
    path = tmp_path / "train.parquet"
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    parquet.write_table(table, path, row_group_size=4, **options)
    data = bytearray(path.read_bytes())
    at = data.index(encoded(5)) + 40
    data[at] ^= 255
    path.write_bytes(data)
    split = open_data(path, val_fraction=0).split("train")
    (batch,) = Pipeline(split, SPEC, batch_size=12, workers=2).epoch()
    assert batch.indices.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [each.name for each in batch.bad] == [f"train.parquet#{row}" for row in range(4, 8)]
    assert all("row group 1 of train.parquet is damaged" in each.reason for each in batch.bad)
    path.write_bytes(bytes(data[:-9]))
    with pytest.raises(BadData, match=r"is not a readable Parquet table"):
        open_data(tmp_path)


def test_a_row_group_far_away_is_fetched_at_once(tmp_path: Path, web: Web) -> None:
    pytest.importorskip("pyarrow")
    packed = pack_data("digits", tmp_path / "packed", format="parquet", size="60KB")
    for each in packed.shards:
        web.files[f"/p/{each.name}"] = (tmp_path / "packed" / each.name).read_bytes()
    (last,) = [each.name for each in packed.shards][-1:]
    split = open_data(f"{web.address}/p/{last}", val_fraction=0).split("train")
    here = open_data(tmp_path / "packed" / last, val_fraction=0).split("train")
    first = epoch(split.take(np.arange(50)))
    assert first == epoch(here.take(np.arange(50)))
    web.ranges.clear()
    assert epoch(split.take(np.arange(50))) == first
    assert len(web.ranges) == 1
    web.files["/p/another.parquet"] = web.files[f"/p/{last}"]
    web.faults = ["", *["503"] * 7]  # a manifest is looked for; then pyarrow reads
    with pytest.raises(DownloadFailed, match=r"/p/another\.parquet: .*503"):
        open_data(f"{web.address}/p/another.parquet")


# --- the network --------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_faults_that_pass_change_nothing_and_others_end_in_one_line(folder: Path, web: Web) -> None:
    where = web.address.replace("//", "//me:secret@") + "/set/train-{000..003}.tar"
    split = open_data(where, val_fraction=0).split("train")
    whole = epoch(open_data(folder).split("train"))
    web.faults = ["503", "", "cut", "429", "", "cut", "500"]
    assert epoch(split) == whole
    assert web.faults == []
    web.always = "503"
    with pytest.raises(DownloadFailed, match=r"/set/train-00\d\.tar: .*503.*\(7 attempts\)$") as e:
        epoch(split)
    assert "secret" not in str(e.value)
    assert "secret" not in json.dumps(list(split.images.names()))  # type: ignore[union-attr]


@pytest.mark.usefixtures("small")
def test_shards_in_an_s3_store_give_the_batches_of_those_here(
    folder: Path, tmp_path: Path, s3: str
) -> None:
    address = f"{s3}/{tmp_path.name}"
    for path in folder.iterdir():
        remote.put(path, f"{address}/{path.name}")
    there = open_data(f"{address}/train-{{000..003}}.tar", val_fraction=0).split("train")
    assert there.classes == CLASSES
    assert epoch(there, start=2) == epoch(open_data(folder).split("train"), start=2)


def test_a_folder_at_an_address_is_read_as_one_here(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    address = f"memory://{tmp_path.name}/set"
    for path in folder.iterdir():
        remote.write(f"{address}/{path.name}", path.read_bytes())
    source = open_data(address)
    assert labelled(source, "train") == labelled(open_data(folder), "train")
    assert check_data(address).readable == 36
    with pytest.raises(BadData, match=r"holds no shards; expected tar shards"):
        open_data(f"memory://{tmp_path.name}/nothing")
