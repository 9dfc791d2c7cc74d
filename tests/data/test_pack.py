"""Packing: any source as shards, which hold what it holds, whatever is killed in between."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data import remote
from backbones.data.check import check_data
from backbones.data.decode import decode
from backbones.data.pack import pack_data
from backbones.data.sets import open_data
from backbones.data.source import DataSource, EncodedImages
from backbones.errors import BadData, WrongUse
from backbones.report.check import packed_text


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with a train and a val split, of images larger and smaller than 32 px."""
    rng = np.random.default_rng(0)
    for number in range(30):
        side = 24 if number % 3 else 64
        split = "val" if number % 5 == 4 else "train"
        path = tmp_path / "photos" / split / ("cat", "dog")[number % 2] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(rng.integers(0, 255, (8, 10, 3)), np.ones((side // 8, side // 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
    return tmp_path / "photos"


def contents(source: DataSource, split: str) -> list[tuple[str, bytes]]:
    part = source.split(split)
    assert isinstance(part.images, EncodedImages)
    labels = [source.classes[label] for label in part.labels]
    return sorted((label, part.images.data(i)) for i, label in enumerate(labels))


@pytest.mark.parametrize("format", ["tar", "parquet"])
def test_shards_hold_what_the_folder_holds_and_are_checked(
    photos: Path, tmp_path: Path, format: str
) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "shards"
    packed = pack_data(photos, out, format=format, size=8000)  # type: ignore[arg-type]
    assert (packed.images, packed.complete, packed.left_out) == (30, True, ())
    assert len([each for each in packed.shards if each.split == "train"]) > 2
    source, folder = open_data(out), open_data(photos)
    assert (source.kind, source.classes) == (format, ("cat", "dog"))
    for split in ("train", "val"):
        assert contents(source, split) == contents(folder, split)
    labels = source.split("train").labels
    assert (labels != np.sort(labels)).any()  # shuffled
    assert check_data(out).ok
    again = pack_data(out, tmp_path / "again", size=10**6)
    assert again.images == 30  # shards are a source like any other
    changed = out / packed.shards[0].name
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    found = check_data(out)
    assert any(f"{changed.name} was changed" in problem for problem in found.problems)
    (out / packed.shards[1].name).unlink()
    with pytest.raises(BadData, match=rf"lacks {packed.shards[1].name}, which its manifest"):
        open_data(out)


def test_larger_images_are_stored_smaller_and_others_as_they_are(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "train" / "cat" / "bad.jpg").write_bytes(b"\xff\xd8\xff no image")
    packed = pack_data(photos, tmp_path / "shards", resize=32)
    assert packed.left_out == ()
    source = open_data(tmp_path / "shards")
    stored = dict.fromkeys(data for _, data in contents(source, "train"))
    original = {data for _, data in contents(open_data(photos), "train")}
    assert b"\xff\xd8\xff no image" in stored  # whoever reads it is told
    kept = [data for data in stored if data in original]
    smaller = [data for data in stored if data not in original]
    assert (len(kept), len(smaller)) == (17, 8)
    assert {min(decode(data).shape[:2]) for data in smaller} == {32}
    assert {Image.open(io.BytesIO(data)).format for data in smaller} == {"JPEG"}
    found = check_data(tmp_path / "shards")
    assert [each.reason != "" for each in found.unreadable] == [True]


def test_images_in_memory_are_packed_without_loss(tmp_path: Path) -> None:
    packed = pack_data("digits", tmp_path / "shards", size="400KB")
    assert packed.images == 1797
    digits, source = open_data("digits"), open_data(tmp_path / "shards")
    assert source.classes == digits.classes
    images = source.split("train").images
    assert isinstance(images, EncodedImages)
    mine = {decode(images.data(i))[:, :, 0].tobytes() for i in range(200)}
    whole = np.concatenate([split.images.array for split in digits.splits.values()])  # type: ignore[union-attr]
    assert mine <= {array[:, :, 0].tobytes() for array in whole}


def test_what_cannot_be_read_is_left_out_by_name(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    packed = pack_data(photos, tmp_path / "shards")
    assert [name for name, _ in packed.left_out] == ["train/cat/gone.jpg"]
    assert "No such file" in packed.left_out[0][1]
    assert packed.images == 30
    said = packed_text("shards", packed).splitlines()
    assert said[0].startswith("shards: 2 tar shards, ")
    assert said[0].endswith("; 2 classes; train 24, val 6")
    assert said[-1].startswith("  train/cat/gone.jpg: cannot be read: ")
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert manifest["left_out"] == [list(packed.left_out[0])]


SLOW = """
import sys, time
from backbones.data import pack
def slow(file, images, classes, write=pack._WRITERS["tar"]):
    count = write(file, images, classes)
    print("wrote", flush=True)
    time.sleep(0.3)
    return count
pack._WRITERS["tar"] = slow
pack.pack_data(sys.argv[1], sys.argv[2], size=8000)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_pack_goes_on_and_leaves_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    whole = pack_data(photos, tmp_path / "whole", size=8000)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(photos), str(out)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    there = sorted(path.name for path in out.glob("*.tar"))
    assert 0 < len(there) < len(whole.shards)
    with pytest.raises(BadData, match=r"not packed to its end|lacks"):
        open_data(out)
    with pytest.raises(WrongUse, match=r"holds shards of other data, or of other settings"):
        pack_data(photos, out, size=9000)
    before = {name: (out / name).stat().st_mtime_ns for name in there}
    time.sleep(0.01)
    assert pack_data(photos, out, size=8000) == whole
    for each in whole.shards:
        assert (out / each.name).read_bytes() == (tmp_path / "whole" / each.name).read_bytes()
    kept = [name for name in there if (out / name).stat().st_mtime_ns == before[name]]
    assert len(kept) >= len(there) - 1  # the last one may not have been noted yet
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_shards_are_packed_at_an_address(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    address = f"memory://{tmp_path.name}/shards"
    packed = pack_data(photos, address, size=8000)
    assert [each.name for each in remote.listed(address)] == [
        "manifest.json",
        *(each.name for each in packed.shards),
    ]
    assert contents(open_data(address), "val") == contents(open_data(photos), "val")
    assert check_data(address).ok
