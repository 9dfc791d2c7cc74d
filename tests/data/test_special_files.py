"""Pipes, devices, sockets, links to nowhere and closed folders among the images."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.classifier.inputs import find_inputs
from backbones.data import files
from backbones.data.check import check_data
from backbones.data.files import read_bytes
from backbones.data.pipeline import Pipeline
from backbones.data.sets import open_data
from backbones.errors import BadData, BadImage, WrongUse
from backbones.spec import InputSpec

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs named pipes and links")

SPECIAL = {
    "device.jpg": "a device, not a regular file",
    "loop.jpg": "cannot be read: Too many levels of symbolic links",
    "lost.jpg": "cannot be read: No such file or directory",
    "pipe.jpg": "a named pipe, not a regular file",
    "socket.jpg": "a socket, not a regular file",
    "zeros.png": "a device, not a regular file",
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two classes of four images, and among the cats everything that is no image."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    cats = root / "cat"
    os.mkfifo(cats / "pipe.jpg")
    os.mkfifo(cats / "labels.csv")
    (cats / "loop.jpg").symlink_to("loop.jpg")
    (cats / "lost.jpg").symlink_to("nowhere")
    (cats / "device.jpg").symlink_to("/dev/null")
    (cats / "zeros.png").symlink_to("/dev/zero")
    (cats / "folder.jpg").mkdir()
    monkeypatch.chdir(cats)  # a socket's path may have 100 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        yield root


@pytest.fixture
def closed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with a folder that may not be listed (made up: the super-user may)."""
    inside = photos / "cat" / "private"
    inside.mkdir()
    scandir = os.scandir

    def refusing(path: str | Path) -> object:
        if Path(path).name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return photos


def reasons_of(where: Path) -> dict[str, str]:
    found = {}
    for each in find_inputs([where]):
        try:
            each.read()
        except BadImage as error:
            found[Path(each.path).name] = str(error)
    return found


def test_predict_says_of_each_what_it_is_and_reads_the_rest(photos: Path) -> None:
    assert find_inputs([photos]).num_images == 8 + len(SPECIAL)
    assert reasons_of(photos) == SPECIAL


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_file_that_is_named_or_matched_is_told_as_one_in_a_folder(
    photos: Path, name: str
) -> None:
    path = photos / "cat" / name
    assert reasons_of(path) == {name: SPECIAL[name]}
    assert reasons_of(photos / "*" / f"{name[:-1]}?") == {name: SPECIAL[name]}


def test_training_leaves_them_out_with_the_reason_and_goes_on(photos: Path) -> None:
    source = open_data(photos, val_fraction=0)
    pipeline = Pipeline(source.split("train"), InputSpec(size=16, resize=16), batch_size=64)
    (batch,) = pipeline.epoch()
    pipeline.close()
    assert len(batch.images) == 8
    assert {Path(bad.name).name: bad.reason for bad in batch.bad} == SPECIAL


def test_data_check_lists_them(photos: Path) -> None:
    found = check_data(photos, workers=0)
    assert {Path(bad.path).name: bad.reason for bad in found.unreadable} == SPECIAL
    assert found.readable == 8


def test_a_closed_folder_is_told_and_the_rest_goes_on(closed: Path) -> None:
    expected = {**SPECIAL, "private": "cannot be read: Permission denied"}
    assert reasons_of(closed) == expected
    found = check_data(closed, workers=0)
    assert {Path(bad.path).name: bad.reason for bad in found.unreadable} == expected


def test_a_closed_class_folder_is_left_out_with_a_note(closed: Path) -> None:
    (closed / "private").mkdir()
    source = open_data(closed, val_fraction=0)
    assert source.classes == ("cat", "dog")
    assert any("private/ is left out: Permission denied" in note for note in source.notes)


def test_a_pipe_called_like_a_table_or_an_archive_is_not_opened(photos: Path) -> None:
    os.mkfifo(photos / "train.csv")
    os.mkfifo(photos / "more.zip")
    assert open_data(photos, val_fraction=0).kind == "class folders"
    assert reasons_of(photos / "more.zip") == {"more.zip": "a named pipe, not a regular file"}
    with pytest.raises(BadData, match=r"train\.csv is a pipe or a device"):
        open_data(photos / "train.csv")


def test_a_table_may_name_them(photos: Path) -> None:
    names = [f"cat/{number}.png" for number in range(4)] + [f"cat/{name}" for name in SPECIAL]
    lines = ["path,label", *(f"{name},cat" for name in names), "dog/0.png,dog"]
    table = photos / "all.csv"
    table.write_text("\n".join(lines))
    split = open_data(table, val_fraction=0).split("train")
    assert len(split) == len(lines) - 1


def test_a_file_that_becomes_a_pipe_after_it_was_looked_at_is_still_refused(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = os.stat(photos / "cat" / "0.png")
    monkeypatch.setattr(os, "stat", lambda path: good)
    with pytest.raises(BadImage, match="a named pipe, not a regular file"):
        read_bytes(photos / "cat" / "pipe.jpg")


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadImage, match="1,048,576 MiB are more than the 512 MiB allowed"):
        read_bytes(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_that_says_it_is_empty_is_read_to_its_end_or_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path("/proc/self/maps")
    assert path.stat().st_size == 0
    assert len(read_bytes(path)) > 1000
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    with pytest.raises(BadImage, match="MiB"):
        read_bytes(path)


def test_standard_input_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.classifier.inputs.MAX_FILE_BYTES", 2**20)
    with open("/dev/zero", "rb") as zeros, pytest.raises(WrongUse, match="more than 1 MiB"):
        find_inputs(["-"], stdin=zeros)
