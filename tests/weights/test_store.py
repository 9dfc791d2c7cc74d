"""Published weights are fetched once, and never used where they are not what was published."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.errors import BadWeights, DownloadFailed, NotFound, WrongUse
from backbones.models import build
from backbones.weights import store, table
from backbones.weights.table import WeightsRow

Publish = Callable[..., WeightsRow]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A weight file of a tiny network."""
    torch.save({"state_dict": build("vgg_tiny", seed=0).state_dict()}, tmp_path / "made.pth")
    return (tmp_path / "made.pth").read_bytes()


@pytest.fixture
def publish(site: Any, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a file on the server and a row for it into the table."""
    model = table.find("vgg16.tv_in1k")
    rows: dict[str, WeightsRow] = {}
    monkeypatch.setattr(table, "_table", lambda: rows)

    def publish(data: bytes = content, digits: int = 8, **changes: Any) -> WeightsRow:
        site.files["/tiny.pth"] = data
        row = replace(
            model,
            id="vgg_tiny.test",
            variant="vgg_tiny",
            url=site.base + "/tiny.pth",
            file="tiny.pth",
            sha256=hashlib.sha256(content).hexdigest()[:digits],
            mib=None,
        )
        rows[row.id] = replace(row, **changes)
        return rows[row.id]

    return publish


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.download.time.sleep", lambda seconds: None)


def flip(path: Path, place: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_fetched_once_and_kept_under_its_id(site: Any, publish: Publish, cache: Path) -> None:
    told: list[tuple[int, int | None]] = []
    row = publish()
    for _ in range(2):
        path = store.fetch(row, lambda *now: told.append(now))
        assert path == cache / "vgg_tiny.test.pth"
    assert len(site.asked) == 1
    assert told[-1][0] == told[-1][1] == path.stat().st_size
    assert sorted(file.name for file in cache.iterdir()) == [path.name, path.name + ".sha256"]
    assert store.stored() == (row,)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sha256sum")
def test_the_receipt_is_what_sha256sum_reads(publish: Publish, cache: Path) -> None:
    store.fetch(publish())
    done = subprocess.run(
        ["sha256sum", "--check", "vgg_tiny.test.pth.sha256"], cwd=cache, capture_output=True
    )
    assert done.returncode == 0


def test_cut_at_half_is_continued(site: Any, publish: Publish, content: bytes) -> None:
    half = len(content) // 2
    site.cut_after = [half]
    assert store.fetch(publish()).read_bytes() == content
    assert [wanted for _, wanted in site.asked] == [None, f"bytes={half}-"]


def test_silence_is_outlived(
    site: Any, publish: Publish, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbones.download._TIMEOUT_S", 0.2)
    site.silent_after = [len(content) // 2]
    assert store.fetch(publish()).read_bytes() == content
    assert len(site.asked) == 2


@pytest.mark.parametrize("digits", [8, 64])
def test_other_content_is_refused(
    site: Any, publish: Publish, content: bytes, cache: Path, digits: int
) -> None:
    row = publish(content[:-1] + b"x", digits)
    with pytest.raises(DownloadFailed, match="arrived with the SHA-256") as caught:
        store.fetch(row)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_file_of_another_length_is_refused(
    site: Any, publish: Publish, content: bytes, cache: Path
) -> None:
    for data in (content[:-10], content + b"more"):
        with pytest.raises(DownloadFailed, match="arrived with the SHA-256"):
            store.fetch(publish(data))
    site.announced = len(content) + 10
    with pytest.raises(DownloadFailed, match="cannot be fetched"):
        store.fetch(publish())
    assert not (cache / "vgg_tiny.test.pth").exists()


def test_without_a_published_hash_the_file_has_to_be_whole(
    publish: Publish, content: bytes, cache: Path
) -> None:
    with pytest.raises(BadWeights, match="is cut off"):
        store.fetch(publish(content[:-50], sha256=""))
    assert list(cache.iterdir()) == []
    path = store.fetch(publish(sha256=""))
    flip(path)
    with pytest.raises(BadWeights, match="not what was published"):
        store.fetch(publish(sha256=""))


def test_refusal_and_silence_say_what_to_do(site: Any, publish: Publish, cache: Path) -> None:
    row = publish(url=site.base + "/gone.pth")
    with pytest.raises(DownloadFailed, match="HTTP 404") as caught:
        store.fetch(row)
    assert str(cache / row.stored_as) in str(caught.value)
    with pytest.raises(DownloadFailed, match="put the file by hand to"):
        store.fetch(publish(url="http://127.0.0.1:9/tiny.pth"))


def test_offline_uses_what_is_here(
    site: Any, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKBONES_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="BACKBONES_OFFLINE forbids downloads"):
        store.fetch(publish())
    assert site.asked == []
    monkeypatch.setenv("BACKBONES_OFFLINE", "0")
    store.fetch(publish())
    monkeypatch.setenv("BACKBONES_OFFLINE", "1")
    assert store.fetch(publish()).is_file()


def test_the_mirror_is_asked_first_and_the_publisher_after_it(
    site: Any, publish: Publish, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = publish()
    monkeypatch.setenv("BACKBONES_MIRROR", site.base + "/mirror/")
    store.fetch(row)
    assert [path for path, _ in site.asked] == ["/mirror/weights/vgg_tiny.test.pth", "/tiny.pth"]
    store.path_of(row).unlink()
    site.asked.clear()
    site.files["/mirror/weights/vgg_tiny.test.pth"] = content
    store.fetch(row)
    assert [path for path, _ in site.asked] == ["/mirror/weights/vgg_tiny.test.pth"]
    store.path_of(row).unlink()
    site.files = {}
    with pytest.raises(DownloadFailed, match=r"mirror/weights/.*; .*/tiny\.pth"):
        store.fetch(row)


def test_a_mirror_that_lies_is_noticed(
    site: Any, publish: Publish, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/weights/vgg_tiny.test.pth"] = content[:-1] + b"x"
    monkeypatch.setenv("BACKBONES_MIRROR", site.base)
    assert store.fetch(publish()).read_bytes() == content


@pytest.mark.parametrize("digits", [8, 64])
def test_a_flipped_byte_is_refused_at_every_use(publish: Publish, digits: int) -> None:
    row = publish(digits=digits)
    path = store.fetch(row)
    flip(path)
    for use in (store.fetch, store.check):
        with pytest.raises(BadWeights, match="not what was published") as caught:
            use(row)
        assert str(path) in str(caught.value)
        assert "backbones weights get vgg_tiny.test" in str(caught.value)
        assert "\n" not in str(caught.value)
    flip(path)
    assert store.check(row) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_whose_hash_only_begins_alike_is_refused(publish: Publish, content: bytes) -> None:
    """The receipt knows all 64 digits, even where the publisher printed eight."""
    row = publish()
    path = store.fetch(row)
    receipt = path.with_name(path.name + ".sha256")
    known = receipt.read_text()
    receipt.write_text(known[:8] + "0" * 56 + known[64:])
    with pytest.raises(BadWeights, match=f"expected {known[:8]}0000"):
        store.check(row)


def test_import_puts_a_copy_in_its_place(publish: Publish, tmp_path: Path, content: bytes) -> None:
    row = publish(url="")
    with pytest.raises(NotFound, match=r"no public address.*weights import"):
        store.fetch(row)
    file = tmp_path / "from a friend.pth"
    file.write_bytes(content)
    assert store.recognise(store.sha256_of(file)) == row
    path = store.put(row, file)
    assert path.read_bytes() == content
    assert file.is_file()
    assert store.fetch(row) == path
    file.write_bytes(content + b"x")
    with pytest.raises(BadWeights, match=r"is not vgg_tiny\.test: its SHA-256"):
        store.put(row, file)
    assert store.fetch(row) == path
    assert store.recognise("0" * 64) is None
    with pytest.raises(NotFound):
        store.sha256_of(tmp_path / "none.pth")


def test_what_holds_no_weights_is_not_imported(
    publish: Publish, tmp_path: Path, cache: Path
) -> None:
    row = publish(sha256="")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(BadWeights, match=r"page\.pth"):
        store.put(row, tmp_path / "page.pth")
    with pytest.raises(BadWeights, match=r"ends in \.txt"):
        store.put(row, _renamed(tmp_path / "page.pth", ".txt"))
    assert not cache.exists()


def _renamed(path: Path, suffix: str) -> Path:
    return path.rename(path.with_suffix(suffix))


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("hashed", [True, False])
def test_a_payload_runs_nothing_and_is_refused_by_name(
    publish: Publish, tmp_path: Path, hashed: bool
) -> None:
    """Even where its hash is the published one."""
    from backbones.weights.opening import open_bundle

    trap = tmp_path / "trap"
    data = pickle.dumps({"state_dict": {"evil": Evil(trap)}})
    publish(data, sha256=hashlib.sha256(data).hexdigest() if hashed else "")
    with pytest.raises(
        BadWeights,
        match=r"vgg_tiny\.test\.pth holds \w+\.mkdir beside the weights, which is not run",
    ):
        open_bundle("vgg_tiny.test")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Evil(trap)))  # the trap works where pickles are run
    assert trap.exists()


@pytest.mark.parametrize("announced", [None, 10**15, 10**30])
def test_a_download_stops_at_the_length_that_the_table_knows(
    site: Any, publish: Publish, content: bytes, cache: Path, announced: int | None
) -> None:
    site.announced = announced
    row = publish(content + bytes(1 << 20), num_bytes=len(content))
    with pytest.raises(DownloadFailed, match=f"bytes or more, expected {len(content):,}"):
        store.fetch(row)
    assert len(site.asked) == 1
    part = cache / (row.stored_as + ".part")
    assert not part.exists() or part.stat().st_size <= len(content)


def test_without_a_known_length_the_printed_one_is_the_limit(
    site: Any, publish: Publish, content: bytes
) -> None:
    row = publish(content + bytes(1 << 20), mib=len(content) / 2**20)
    with pytest.raises(DownloadFailed, match="at most"):
        store.fetch(row)
    assert row.at_most_bytes < len(content) * 1.02


def test_a_trickle_ends(
    site: Any, publish: Publish, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute with less than a KiB a second; here the clock runs 100 s at each look."""
    ticks = iter(range(0, 10**6, 100))
    monkeypatch.setattr("backbones.download.time.monotonic", lambda: float(next(ticks)))
    with pytest.raises(DownloadFailed, match="slower than 1024 bytes a second for"):
        store.fetch(publish())
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "address",
    [
        "foo",
        "file:///etc",
        "ftp://host/x",
        "http://[::1",
        "http://host:port",
        "http://",
        "http://127.0.0.1/\u4e2d",
        "http://h\u00f6st/",
        "http://a b/",
        "http://host/?x=1",
        "http://me:secret@host:bad/x",
    ],
)
def test_a_mirror_that_is_no_address_is_refused_and_nobody_else_is_asked(
    site: Any, publish: Publish, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("BACKBONES_MIRROR", address)
    with pytest.raises(WrongUse, match="BACKBONES_MIRROR: expected http://HOST/PATH") as caught:
        store.fetch(publish())
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert site.asked == []


def test_a_password_of_the_mirror_is_sent_and_never_said(
    site: Any, publish: Publish, content: bytes, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    row = publish(url="")
    monkeypatch.setenv("BACKBONES_MIRROR", site.base.replace("://", "://me:secret@"))
    with pytest.raises(DownloadFailed, match="HTTP 404") as caught:
        store.fetch(row)
    assert "secret" not in str(caught.value)
    site.files["/weights/vgg_tiny.test.pth"] = content
    path = store.fetch(row)
    assert b"secret" not in path.with_name(path.name + ".sha256").read_bytes()


@pytest.mark.parametrize(
    "target", ["http://[::1/", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://h\u00f6st/"]
)
def test_a_server_that_sends_on_to_something_else_is_refused(
    publish: Publish, redirecting: Callable[[str], str], target: str
) -> None:
    with pytest.raises(DownloadFailed, match=r"sends on to something|cannot be fetched") as caught:
        store.fetch(publish(url=redirecting(target)))
    assert "passwd" not in str(caught.value)


@pytest.fixture
def redirecting() -> Iterator[Callable[[str], str]]:
    """A server that sends everybody on."""
    servers = []

    def start(target: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.wfile.write(f"HTTP/1.0 302 \x1b[31mBad\r\nLocation: {target}\r\n\r\n".encode())

            def log_message(self, *_: object) -> None: ...

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/tiny.pth"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
@pytest.mark.parametrize("end", [".part", ".lock"])
def test_a_link_in_the_place_of_a_part_is_not_followed(
    publish: Publish, cache: Path, tmp_path: Path, end: str
) -> None:
    row, victim = publish(), tmp_path / "victim"
    victim.write_bytes(b"precious")
    cache.mkdir(parents=True)
    (cache / (row.stored_as + end)).symlink_to(victim)
    with pytest.raises(DownloadFailed, match=r"is a link|cannot be written"):
        store.fetch(row)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("content_of_it", [b"\xff\xfe", b"", b"{}", b"caf\xc3\xa9 x\n", b"0" * 64])
def test_a_receipt_that_is_none_is_one_line(publish: Publish, content_of_it: bytes) -> None:
    row = publish()
    path = store.fetch(row)
    path.with_name(path.name + ".sha256").write_bytes(content_of_it)
    with pytest.raises(BadWeights, match=r"\.sha256 is damaged: .*backbones weights get"):
        store.check(row)
    assert len(store.check(publish(digits=64))) == 64  # the publisher's own is whole
