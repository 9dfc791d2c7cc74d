"""Names of files and classes as other systems write them: encodings, normal forms, separators."""

from __future__ import annotations

import io
import os
import struct
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.classifier.inputs import find_inputs
from backbones.classifier.template import read_template
from backbones.data.sets import open_data
from backbones.errors import BadData
from backbones.protocols.classes import match_classes

COMPOSED, SPLIT = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
IMAGE = io.BytesIO()
Image.new("RGB", (20, 20), "red").save(IMAGE, "PNG")

needs_any_bytes = pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")


def zipped(path: Path, *names: bytes, extra: bytes = b"") -> Path:
    """A zip file whose members are called by these bytes, whatever they mean."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, _ in enumerate(names):
            info = zipfile.ZipInfo(f"{number:08d}")
            info.extra = extra
            archive.writestr(info, IMAGE.getvalue())
    data = path.read_bytes()
    for number, name in enumerate(names):
        assert len(name) == 8
        data = data.replace(f"{number:08d}".encode(), name)
    path.write_bytes(data)
    return path


def called(path: Path) -> list[str]:
    found = find_inputs([path])
    return [each.path.removeprefix(f"{path}/") for each in found]


def test_a_zip_of_macos_is_utf8_without_saying_so(tmp_path: Path) -> None:
    assert called(zipped(tmp_path / "a.zip", "é12.png".encode())) == ["é12.png"]


def test_a_zip_of_a_chinese_system_asks_for_its_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "猫1.png".encode("gbk")
    path = zipped(tmp_path / "a.zip", b"a" + name)
    assert called(path) == [os.fsdecode(b"a" + name)]  # as bytes; nothing is made up
    monkeypatch.setenv("BACKBONES_ENCODING", "gbk")
    assert called(path) == ["a猫1.png"]


def test_info_zip_says_the_name_beside(tmp_path: Path) -> None:
    name = "猫12.png".encode("gbk")
    field = b"\1" + struct.pack("<I", zlib.crc32(name)) + "猫12.png".encode()
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    assert called(zipped(tmp_path / "a.zip", name, extra=extra)) == ["猫12.png"]


def test_a_zip_with_backslashes_has_folders(tmp_path: Path) -> None:
    assert called(zipped(tmp_path / "a.zip", b"a\\1\\.png", b"a\\12.png")) == ["a/12.png"]


def test_a_tar_in_another_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    for kind, format in names.items():
        with tarfile.open(tmp_path / f"{kind}.tar", "w", format=format, encoding="gbk") as archive:
            info = tarfile.TarInfo("猫.png")
            info.size = len(IMAGE.getvalue())
            archive.addfile(info, io.BytesIO(IMAGE.getvalue()))
    assert called(tmp_path / "pax.tar") == ["猫.png"]
    assert called(tmp_path / "gnu.tar") == [os.fsdecode("猫.png".encode("gbk"))]
    monkeypatch.setenv("BACKBONES_ENCODING", "gbk")
    assert called(tmp_path / "pax.tar") == ["猫.png"]
    assert called(tmp_path / "gnu.tar") == ["猫.png"]


def images(folder: Path, *names: str) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / name)
    return folder


@pytest.mark.skipif(sys.platform == "darwin", reason="one name to this system")
def test_a_table_and_a_disk_of_another_normal_form(tmp_path: Path) -> None:
    images(tmp_path, *(f"caf{SPLIT}{i}.png" for i in range(4)))
    rows = "".join(f"caf{COMPOSED}{i}.png,{'a' if i < 2 else 'b'}\n" for i in range(4))
    (tmp_path / "labels.csv").write_text("path,label\n" + rows, encoding="utf-8")
    source = open_data(tmp_path / "labels.csv", val_fraction=0)
    paths = source.splits["train"].images.paths  # type: ignore[union-attr]
    assert all((tmp_path / path).is_file() for path in paths)


@pytest.mark.skipif(sys.platform == "darwin", reason="one name to this system")
def test_a_class_is_one_whichever_system_wrote_its_folder(tmp_path: Path) -> None:
    images(tmp_path, *(f"train/{name}/{i}.png" for name in (f"b{SPLIT}", "dog") for i in "12"))
    images(tmp_path, *(f"val/{name}/{i}.png" for name in (f"b{COMPOSED}", "dog") for i in "12"))
    source = open_data(tmp_path)
    assert source.classes == (f"b{COMPOSED}", "dog")
    matched = match_classes(source.splits["val"], ("dog", f"b{SPLIT}"))
    assert matched.labels.tolist() == [1, 1, 0, 0]


def test_a_table_in_another_encoding_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path, *(f"{i}.png" for i in range(4)))
    rows = "".join(f"{i}.png,{'小猫' if i < 2 else '小狗'}\n" for i in range(4))
    table = tmp_path / "labels.csv"
    for encoding in ("utf-8-sig", "utf-16"):
        table.write_text("path,label\n" + rows, encoding=encoding)
        assert open_data(table, val_fraction=0).classes == ("小狗", "小猫")
    table.write_text("path,label\n" + rows, encoding="gbk")
    with pytest.raises(BadData, match=r"BACKBONES_ENCODING.*gbk reads '2\.png,小狗'"):
        open_data(table)
    with pytest.raises(BadData, match="BACKBONES_ENCODING"):
        read_template(table)
    monkeypatch.setenv("BACKBONES_ENCODING", "gbk")
    assert open_data(table, val_fraction=0).classes == ("小狗", "小猫")
    assert read_template(table).samples[0] == ("小猫",)


@needs_any_bytes
def test_a_list_of_paths_may_hold_any_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (b"caf\xe9.png", b"a.png"):
        Path(os.fsdecode(name)).write_bytes(IMAGE.getvalue())
    for separator in (b"\n", b"\0", b"\r\n"):
        listed = io.BytesIO(b"caf\xe9.png" + separator + b"a.png" + separator)
        found = [each.path for each in find_inputs(["-"], stdin=listed)]
        assert found == [os.fsdecode(b"caf\xe9.png"), "a.png"]
    found = [e.path for e in find_inputs(["-"], stdin=io.BytesIO(b"a.png\0a.png\0"))]
    assert found == ["a.png", "a.png"]
    listed = io.BytesIO("a.png\r\n".encode("utf-16"))  # as PowerShell writes it
    assert [each.path for each in find_inputs(["-"], stdin=listed)] == ["a.png"]
