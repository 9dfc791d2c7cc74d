"""Files, folders, patterns, archives and standard input all give the same images."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from backbones.classifier import archives
from backbones.classifier import inputs as module
from backbones.classifier.inputs import find_inputs
from backbones.errors import BadImage, NotFound, WrongUse

IN_FOLDER = ["a/1.jpg", "a/2.png", "b/c/3.JPG", "empty.jpg"]


def names(found: module.Inputs, folder: Path) -> list[str]:
    return [Path(each.path).relative_to(folder).as_posix() for each in found]


def contents(found: module.Inputs) -> list[bytes | str]:
    read: list[bytes | str] = []
    for each in found:
        try:
            read.append(each.read())
        except BadImage as error:
            read.append(str(error))
    return read


def zipped(photos: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in [*IN_FOLDER, "notes.txt"]:
            archive.write(photos / name, name)
        archive.writestr("__MACOSX/._1.jpg", b"x")
    return path


def test_a_folder_gives_its_tree_in_order(photos: Path) -> None:
    found = find_inputs([photos])
    assert names(found, photos) == IN_FOLDER
    assert found.num_images == 4


def test_files_keep_the_order_in_which_they_were_named(photos: Path) -> None:
    wanted = [photos / "empty.jpg", photos / "a" / "2.png", photos / "notes.txt"]
    assert [each.path for each in find_inputs(wanted)] == [str(path) for path in wanted]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/*", ["a/1.jpg", "a/2.png"]),
        ("**/*", IN_FOLDER),
        ("?", ["a/1.jpg", "a/2.png", "b/c/3.JPG"]),
        ("*.jpg", ["empty.jpg"]),
    ],
)
def test_patterns(photos: Path, pattern: str, expected: list[str]) -> None:
    assert names(find_inputs([str(photos / pattern)]), photos) == expected


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"])
def test_an_archive_gives_the_images_of_the_folder(
    photos: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"photos{suffix}"
    if suffix == ".zip":
        zipped(photos, path)
    else:
        mode = "w:" + {".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.xz": "xz"}[suffix]
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name in [*IN_FOLDER, "notes.txt"]:
                archive.add(photos / name, name)
    found = find_inputs([path])
    assert names(found, path) == IN_FOLDER
    assert contents(found) == contents(find_inputs([photos]))
    assert found.num_images == (4 if suffix == ".zip" else 1)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".TGZ"])
def test_an_archive_without_images_is_told_as_a_folder_without_any_is(
    tmp_path: Path, suffix: str
) -> None:
    def packed(name: str, *members: str) -> Path:
        path = tmp_path / (name + suffix)
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for member in members:
                    archive.writestr(member, b"x")
        else:
            with tarfile.open(path, "w:gz" if "gz" in suffix.lower() else "w") as archive:
                for member in members:
                    info = tarfile.TarInfo(member)
                    info.size = 1
                    archive.addfile(info, io.BytesIO(b"x"))
        return path

    with pytest.raises(NotFound, match=r"empty\.\S+ holds no images \(0 other files\)"):
        find_inputs([packed("empty")])
    hidden = packed("hidden", "__MACOSX/1.jpg", "@eaDir/1.jpg/thumb.jpg", "a/.x/1.jpg", "list.txt")
    with pytest.raises(NotFound, match=r"holds no images \(4 other files\)"):
        find_inputs([hidden])
    with pytest.raises(NotFound, match=r"but the archive in/1\.tar\.gz, in/2\.zip; unpack that"):
        find_inputs([packed("outer", "in/1.tar.gz", "in/2.zip", "readme.txt")])
    good = packed("good", "list.txt", "1.jpg")
    assert contents(find_inputs([good])) == [b"x"]
    assert contents(find_inputs([str(tmp_path / "*")])) == [b"x"]


@pytest.mark.parametrize("folder", ["@eaDir", "$RECYCLE.BIN", "lost+found", ".ipynb_checkpoints"])
def test_images_of_the_system_are_not_answered(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"a/{folder}/1.jpg", b"thumbnail")
        archive.writestr("a/1.jpg", b"real")
        archive.extractall(tmp_path)
    assert contents(find_inputs([path, tmp_path / "a"])) == [b"real", b"real"]


def test_nothing_is_unpacked_and_no_link_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../secret.jpg"
        archive.addfile(link)
        outside = tarfile.TarInfo("../../outside.jpg")
        outside.size = 3
        archive.addfile(outside, io.BytesIO(b"abc"))
    before = sorted(tmp_path.rglob("*"))
    assert contents(find_inputs([path])) == [b"abc"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_a_zip_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../secret.jpg")
        archive.writestr("real.jpg", b"real")
    assert contents(find_inputs([path])) == [b"real"]


def test_a_bomb_in_an_archive_is_one_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(2**22))
        archive.writestr("good.jpg", b"good")
    assert contents(find_inputs([path])) == ["larger than 1 MiB in the archive", b"good"]


def test_a_damaged_member_does_not_hide_the_next_one(photos: Path, tmp_path: Path) -> None:
    path = zipped(photos, tmp_path / "x.zip")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a/1.jpg")
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start + 100 : start + 140] = bytes(40)
    path.write_bytes(data)
    first, second, *_ = contents(find_inputs([path]))
    assert isinstance(first, str)
    assert second == (photos / "a/2.png").read_bytes()


@pytest.mark.parametrize("name", ["broken.zip", "broken.tar.gz", "broken.tar"])
def test_an_archive_that_is_none_is_listed_and_the_rest_goes_on(
    photos: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"this is no archive")
    broken, good = contents(find_inputs([tmp_path / name, photos / "a" / "1.jpg"]))
    assert isinstance(broken, str)
    assert broken.startswith("the archive cannot be read")
    assert good == (photos / "a" / "1.jpg").read_bytes()


def test_an_archive_that_is_called_as_another_kind_is_read_or_named(
    photos: Path, tmp_path: Path
) -> None:
    zipped(photos, tmp_path / "photos.zip")
    (tmp_path / "photos.zip").rename(tmp_path / "photos.tar")
    assert contents(find_inputs([tmp_path / "photos.tar"])) == contents(find_inputs([photos]))
    (tmp_path / "page.zip").write_bytes(b"<!doctype html><html>not found</html>")
    (tmp_path / "empty.tar.gz").touch()
    page, empty = contents(find_inputs([tmp_path / "page.zip", tmp_path / "empty.tar.gz"]))
    assert str(page).startswith("the archive cannot be read: it is an HTML page")
    assert empty == "the archive cannot be read: it is an empty file"


def test_an_encrypted_member_is_called_so(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    zipped(photos, path)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of an encrypted member
        at = data.find(mark)
        while at >= 0:
            data[at + place] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)
    said = set(contents(find_inputs([path])))
    assert said == {"it is encrypted: unpack the archive with its password first"}


def test_a_tar_that_is_cut_off_gives_what_it_still_holds(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(photos / "a" / "1.jpg", "1.jpg")
        archive.add(photos / "a" / "2.png", "2.png")
    with tarfile.open(path) as archive:
        second = archive.getmember("2.png").offset_data
    path.write_bytes(path.read_bytes()[: second + 50])
    first, rest = contents(find_inputs([path]))
    assert first == (photos / "a" / "1.jpg").read_bytes()
    assert rest == "the archive cannot be read: unexpected end of data"


@pytest.mark.parametrize("name", ["a/1.jpg", "a/2.png"])
def test_standard_input_may_be_an_image(photos: Path, name: str) -> None:
    data = (photos / name).read_bytes()
    (only,) = find_inputs(["-"], stdin=io.BytesIO(data))
    assert (only.path, only.read()) == ("-", data)


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_standard_input_may_be_a_list_of_paths(photos: Path, separator: str) -> None:
    listed = separator.join(str(photos / name) for name in ("a/2.png", "a/1.jpg")) + separator
    found = find_inputs(["-"], stdin=io.BytesIO(listed.encode()))
    assert names(found, photos) == ["a/2.png", "a/1.jpg"]


def test_bytes_that_are_neither_are_a_bad_image_and_no_crash() -> None:
    (only,) = find_inputs(["-"], stdin=io.BytesIO(b"\x80\x81 garbage"))
    assert only.path == "-"


def test_what_is_missing_is_said_before_any_work(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file or folder .*emty\.jpg\. Did you mean empty\.jpg"):
        find_inputs([photos, photos / "emty.jpg"])
    with pytest.raises(NotFound, match="no image matches"):
        find_inputs([str(photos / "*.gif")])
    (tmp_path / "bare").mkdir()
    with pytest.raises(NotFound, match="holds no images"):
        find_inputs([tmp_path / "bare"])
    with pytest.raises(NotFound, match=r"gone\.jpg"):
        find_inputs(["-"], stdin=io.BytesIO(b"gone.jpg\n"))


def test_nothing_named_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="no images were named"):
        find_inputs([])
    with pytest.raises(WrongUse, match="standard input is empty"):
        find_inputs(["-"], stdin=io.BytesIO(b""))
    with pytest.raises(WrongUse, match="there is none here"):
        find_inputs(["-"])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_is_cut_between_two_members_is_told(
    photos: Path, tmp_path: Path, mode: str
) -> None:
    """Every member is there that is there, but whoever cut it may have cut off more."""
    path, packed = tmp_path / "plain.tar", tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a/1.jpg", "a/2.png"):
            archive.add(photos / name, name)
    assert all(isinstance(each, bytes) for each in contents(find_inputs([path])))
    with tarfile.open(path) as archive:
        _, second = archive.getmembers()
    data = path.read_bytes()[: second.offset]
    packed.write_bytes(gzip.compress(data) if "gz" in mode else data)
    first, told = contents(find_inputs([packed]))
    assert first == (photos / "a" / "1.jpg").read_bytes()
    assert told == "the archive cannot be read: it was cut off, for the mark of its end is missing"


def test_a_member_that_says_it_is_huge_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", bytes(3 * 2**20))
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was read"))
    assert contents(find_inputs([path])) == ["larger than 1 MiB in the archive"]


def test_a_pattern_passes_over_thumbnails_of_the_system(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/@eaDir/1.jpg/thumb.jpg", "$RECYCLE.BIN/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(find_inputs([str(tmp_path / "**" / "*.jpg")]), tmp_path) == ["a/1.jpg"]
