"""`predict --out FOLDER`: when parts are meant, what is said, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def archive(photos: Path, tmp_path: Path) -> Path:
    """Three images that can be read, and one that cannot."""
    names = ("cross/00.jpg", "disc/00.jpg", "disc/01.jpg", "disc/broken.jpg")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as file:
        for name in names:
            file.write(photos / name, name)
    return tmp_path / "some.zip"


def test_predict_leaves_parts_and_a_manifest(backbones, trained, archive, tmp_path) -> None:
    other = tmp_path / "other.zip"
    shutil.copy(archive, other)
    out = tmp_path / "parts"
    answer = backbones("predict", trained, tmp_path / "*.zip", "--out", out)  # no / behind
    assert answer.code == 0, answer.err
    assert "8 rows of 2 shards" in answer.err
    assert "2 of 8 images could not be read" in answer.err
    assert sorted(path.name for path in out.glob("part-*")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    said = json.loads((out / "manifest.json").read_text())
    assert (said["shards"], said["rows"], said["errors"]) == (2, 8, 2)
    refused = backbones("predict", trained, tmp_path / "*.zip", "--out", out, "--format", "csv")
    assert refused.code == 2
    assert "its format is parquet, and now csv" in refused.err


def test_a_share_is_a_part_of_the_work(backbones, trained, photos, archive, tmp_path) -> None:
    command = ("predict", trained, archive, photos / "disc", "--format", "csv", "--out")
    out = tmp_path / "parts"
    answer = backbones(*command, f"{out}/", "--share", "2/2")
    assert answer.code == 0, answer.err
    assert [path.name for path in out.glob("*.csv")] == ["part-00001.csv"]
    assert not (out / "manifest.json").exists()
    assert "the worker that ends last writes manifest.json" in answer.err
    assert backbones(*command, out, "--share", "1/2").code == 0
    assert json.loads((out / "manifest.json").read_text())["rows"] == 4 + 41


def test_a_file_is_still_a_file(backbones, trained, photos, archive, tmp_path) -> None:
    for images, name in ((archive, "rows.csv"), (photos / "disc", "rows")):
        out = tmp_path / name
        assert backbones("predict", trained, images, "--out", out, "--format", "csv").code == 0
        assert "probability_1" in next(csv.reader(out.read_text().splitlines()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--share", "1/2"), "--share is for parts in a folder; name it with --out"),
        (("--cluster", "ray"), "--cluster is for parts in a folder; name it with --out"),
        (("--out", "p/", "--address", "auto"), "--address is of a cluster; say --cluster ray"),
        (("--out", "p/", "--cluster", "ray", "--share", "1/2"), "a cluster divides it by itself"),
        (("--out", "parts/", "--share", "0/2"), "share is 0/2, expected 1/2 to 2/2"),
        (("--out", "parts/", "--share", "two"), "--share is 'two', expected I/N such as 1/8"),
        (("--out", "parts/", "--format", "text"), "parts are parquet, csv or jsonl, not text"),
        (("--out", "parts/", "--pictures", "p"), "--pictures needs one --out file"),
    ],
)
def test_wrong_use_of_parts(
    backbones, trained, archive, tmp_path, monkeypatch, arguments, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = backbones("predict", trained, archive, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.glob("parts/part-*"))


def test_no_image_that_can_be_read_is_a_failure(backbones, trained, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("0.jpg", b"no image")
    answer = backbones("predict", trained, tmp_path / "bad.zip", "--out", tmp_path / "parts")
    assert answer.code == 1
    assert json.loads((tmp_path / "parts" / "manifest.json").read_text())["errors"] == 1
