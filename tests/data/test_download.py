"""A download survives cuts, is checked, and is never half there."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbones.data.sets import named, open_data
from backbones.download import Checksum, cache_folder, checked_address, checksum_of, download
from backbones.errors import DownloadFailed, WrongUse

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
MD5 = Checksum("md5", hashlib.md5(CONTENT).hexdigest())
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(site: Any) -> Any:
    """The shared server, with one file on it."""
    site.files["/file.bin"] = CONTENT
    return site


def test_file_arrives_and_is_fetched_once(site: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    to = tmp_path / "deep" / "file.bin"
    for _ in range(2):
        download(site.base + "/file.bin", to, checksum=MD5, progress=lambda *now: told.append(now))
    assert to.read_bytes() == CONTENT
    assert len(site.asked) == 1
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert [path.name for path in to.parent.iterdir()] == ["file.bin"]


def test_cut_connection_is_continued_where_it_broke(site: Any, tmp_path: Path) -> None:
    site.cut_after = [300_000, 200_000]
    to = tmp_path / "file.bin"
    told: list[int] = []
    download(
        site.base + "/file.bin",
        to,
        checksum=MD5,
        wait_s=0,
        progress=lambda done, _: told.append(done),
    )
    assert to.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-", "bytes=500000-"]
    assert told == sorted(told)


def test_two_at_once_fetch_it_once(site: Any, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    to = tmp_path / "file.bin"
    threads = [
        threading.Thread(
            target=download, args=(site.base + "/file.bin", to), kwargs={"checksum": MD5}
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert to.read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_next_call_continues_what_the_last_one_left(site: Any, tmp_path: Path) -> None:
    site.cut_after = [100_000, 0, 0, 0]
    to = tmp_path / "file.bin"
    with pytest.raises(DownloadFailed, match="the connection was cut"):
        download(site.base + "/file.bin", to, checksum=MD5, wait_s=0)
    assert not to.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000
    download(site.base + "/file.bin", to, checksum=MD5)
    assert to.read_bytes() == CONTENT
    assert site.asked[-1][1] == "bytes=100000-"


def test_server_that_cannot_continue_sends_all_again(site: Any, tmp_path: Path) -> None:
    site.cut_after, site.ranges = [300_000], False
    to = download(site.base + "/file.bin", tmp_path / "file.bin", checksum=MD5, wait_s=0)
    assert to.read_bytes() == CONTENT


def test_part_that_is_too_long_is_thrown_away(site: Any, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    to = download(site.base + "/file.bin", tmp_path / "file.bin", checksum=MD5, wait_s=0)
    assert to.read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_removed(site: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DownloadFailed, match=f"arrived with the MD5 {MD5.digits}, expected 0000"
    ) as caught:
        download(site.base + "/file.bin", tmp_path / "file.bin", checksum=Checksum("md5", "0" * 32))
    assert list(tmp_path.iterdir()) == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [8, 12, 64])
def test_the_beginning_of_a_sha256_is_enough(site: Any, tmp_path: Path, length: int) -> None:
    wanted = Checksum("sha256", SHA256[:length])
    to = download(site.base + "/file.bin", tmp_path / "file.bin", checksum=wanted)
    assert checksum_of(to) == SHA256
    other = Checksum("sha256", format(int(SHA256[:length], 16) ^ 1, f"0{length}x"))
    with pytest.raises(DownloadFailed, match=f"arrived with the SHA-256 {SHA256}, expected"):
        download(site.base + "/file.bin", tmp_path / "again.bin", checksum=other)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("kind", "digits"),
    [("md5", "0" * 31), ("sha256", "0" * 7), ("sha256", "0" * 65), ("sha256", "0123456G")],
)
def test_what_is_no_checksum_is_refused(kind: Any, digits: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Checksum(kind, digits)


def test_a_server_that_falls_silent_is_asked_again_for_the_rest(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbones.download._TIMEOUT_S", 0.2)
    site.silent_after = [300_000]
    to = download(site.base + "/file.bin", tmp_path / "file.bin", checksum=MD5, wait_s=0)
    assert to.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-"]  # what came is kept


def test_an_announced_length_that_never_comes_is_a_cut(site: Any, tmp_path: Path) -> None:
    site.announced = len(CONTENT) + 5
    with pytest.raises(DownloadFailed, match="cannot be fetched"):
        download(site.base + "/file.bin", tmp_path / "file.bin", checksum=None, wait_s=0)
    assert not (tmp_path / "file.bin").exists()


@pytest.mark.parametrize("said", ["1", "true", "YES"])
def test_offline_asks_nobody(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("BACKBONES_OFFLINE", said)
    to = tmp_path / "file.bin"
    with pytest.raises(DownloadFailed, match="BACKBONES_OFFLINE") as caught:
        download(site.base + "/file.bin", to, checksum=MD5)
    assert str(to) in str(caught.value)
    assert site.asked == []
    monkeypatch.setenv("BACKBONES_OFFLINE", "0")
    assert download(site.base + "/file.bin", to, checksum=MD5).is_file()
    monkeypatch.setenv("BACKBONES_OFFLINE", said)
    assert download(site.base + "/file.bin", to, checksum=MD5).is_file()


def test_refusal_is_final_and_overload_is_not(site: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="HTTP 404 Not Found"):
        download(site.base + "/gone.bin", tmp_path / "gone.bin", checksum=MD5, wait_s=0)
    assert len(site.asked) == 1
    site.status = 503
    with pytest.raises(DownloadFailed, match="HTTP 503"):
        download(site.base + "/file.bin", tmp_path / "file.bin", checksum=MD5, wait_s=0)
    assert len(site.asked) == 5


def test_offline_says_where_to_put_the_file(tmp_path: Path) -> None:
    to = tmp_path / "file.bin"
    with pytest.raises(DownloadFailed, match="put the file by hand to") as caught:
        download("http://127.0.0.1:9/file.bin", to, checksum=MD5, wait_s=0)
    assert str(to) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_http_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    with pytest.raises(DownloadFailed, match="not an http or https address"):
        download((tmp_path / "secret").as_uri(), tmp_path / "to", checksum=MD5)


def test_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("BACKBONES_CACHE")
    assert cache_folder().name == "backbones"


def test_named_set_comes_from_the_mirror_and_then_from_the_cache(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(20, dtype=np.uint8) % 10
    head = {3: b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (20, 28, 28))}
    head[1] = b"\0\0\x08\x01" + (20).to_bytes(4, "big")
    row = named.SETS[0]
    files = {}
    for name in row.files:
        body = head[3] + bytes(20 * 784) if "images" in name else head[1] + labels.tobytes()
        site.files[f"/mnist/{name}"] = gzip.compress(body, mtime=0)
        files[name] = hashlib.md5(site.files[f"/mnist/{name}"]).hexdigest()
    monkeypatch.setattr("backbones.data.sets.SETS", (replace(row, files=files),))
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path))
    monkeypatch.setenv("BACKBONES_MIRROR", site.base + "/")
    told: list[str] = []
    for _ in range(2):
        source = open_data("mnist", progress=lambda name, done, total: told.append(name))
        assert (source.kind, source.where, len(source.classes)) == ("idx", "mnist", 10)
        assert {name: len(split) for name, split in source.splits.items()} == {
            "train": 20,
            "test": 20,
        }
    assert len(site.asked) == 4
    assert told == list(files)
    assert (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").is_file()


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_who_waited_for_a_removed_lock_does_not_fetch_beside_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lock's file was removed under those who waited for it, and a third came in beside."""
    inside, most, barrier = 0, 0, threading.Lock()

    def fetch(_: str, to: Path, *__: object) -> None:
        nonlocal inside, most
        with barrier:
            inside += 1
            most = max(most, inside)
        time.sleep(0.03)
        with barrier:
            inside -= 1

    monkeypatch.setattr("backbones.download._fetch_checked", fetch)

    def work() -> None:
        for _ in range(3):
            download("http://localhost/file.bin", tmp_path / "file.bin", checksum=None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["http://", "http://:80/", "https://user@/x"])
def test_an_address_without_a_host_is_not_blamed_on_its_scheme(address: str) -> None:
    with pytest.raises(WrongUse, match=r"got no host$"):
        checked_address(address, "HERE")


def test_what_nobody_listens_to_is_logged_with_its_size(
    site: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that every verb tells what it fetches, those without a bar for it too."""
    caplog.set_level("INFO", logger="backbones")
    for _ in range(2):
        to = tmp_path / "file.bin"
        download(site.base + "/file.bin", to, checksum=MD5, num_bytes=len(CONTENT))
    assert caplog.messages == [f"downloading file.bin (683.6 KiB) from {site.base}/file.bin"]
