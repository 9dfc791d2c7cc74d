"""Places here and at an address: parts of files, faults that pass, files that one writer gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backbones.data import remote, stores
from backbones.data.ranges import open_ranges
from backbones.errors import BadData, DownloadFailed, NotFound, WrongUse
from tests.data.web import Web, web_server

pytest.importorskip("fsspec")


@pytest.fixture(params=["here", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that is empty, in each kind of store."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return str(tmp_path) if request.param == "here" else f"memory://{tmp_path.name}"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    with web_server() as server:
        yield server


def test_a_file_is_written_looked_at_read_in_parts_listed_and_deleted(folder: str) -> None:
    place = remote.below(folder, "a b.bin")
    assert not remote.exists(place)
    assert remote.listed(folder) == []
    remote.write(place, b"0123456789")
    remote.write(remote.below(folder, "inner/c.bin"), b"c")
    found = remote.look(place)
    assert (found.place, found.name, found.size) == (place, "a b.bin", 10)
    assert remote.listed(folder) == [found]
    assert remote.folders(folder) == ["inner"]
    assert remote.read(place) == b"0123456789"
    assert remote.read(place, 2, 5) == b"234"
    assert remote.read(place, 7) == b"789"
    with open_ranges(found) as file:
        assert file.seek(-3, 2) == 7
        assert file.read(2) == b"78"
        assert file.seek(1) == 1
        assert file.read() == b"123456789"
        assert file.read() == b""
    remote.write(place, b"another")
    assert remote.look(place) != found
    remote.delete(place)
    remote.delete(place)
    assert not remote.exists(place)
    with pytest.raises(NotFound, match=r"there is no .*a b\.bin"):
        remote.read(place)


def test_of_many_that_create_one_file_one_gets_it(folder: str) -> None:
    place = remote.below(folder, "claim")
    got: list[int] = []

    def claim(number: int) -> None:
        if remote.create(place, f"worker {number}".encode()):
            got.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert remote.read(place) == f"worker {got[0]}".encode()
    assert [each.name for each in remote.listed(folder)] == ["claim"]  # no drafts are left


@pytest.mark.parametrize("fault", ["503", "429", "500", "cut"])
def test_what_passes_is_tried_again(web: Web, fault: str) -> None:
    web.files["/a.tar"] = bytes(range(200))
    web.faults = [fault, fault]
    assert remote.read(f"{web.address}/a.tar", 10, 110) == bytes(range(10, 110))
    assert not web.faults


def test_what_does_not_pass_is_given_up_in_one_line_without_credentials(web: Web) -> None:
    web.files["/a.tar"] = b"0123456789"
    secret = web.address.replace("http://", "http://me:secret@") + "/a.tar?signature=secret"
    for fault, said in (("503", "503"), ("cut", "a.tar: ")):
        web.always = fault
        with pytest.raises(DownloadFailed, match=r"/a\.tar: .*\(7 attempts\)$") as caught:
            remote.read(secret, 0, 10)
        assert said in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
    web.always = "503"
    with pytest.raises(DownloadFailed, match=r"503.*attempts"):
        remote.look(secret)


def test_what_is_final_is_not_tried_again(web: Web) -> None:
    web.files["/a.tar"] = b"0123456789"
    web.faults = ["403", "503"]
    with pytest.raises(DownloadFailed, match=r"answered 403 Forbidden$"):
        remote.read(f"{web.address}/a.tar", 0, 10)
    assert web.faults == ["503"]
    web.faults = ["whole"]
    with pytest.raises(BadData, match="sends the whole file"):
        remote.read(f"{web.address}/a.tar", 0, 5)
    with pytest.raises(NotFound, match=r"there is no http://.*/b\.tar"):
        remote.look(f"{web.address}/b.tar")
    with pytest.raises(WrongUse, match="only one writer"):
        remote.create(f"{web.address}/claim", b"mine")


def test_a_claim_whose_answer_was_lost_is_known_by_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    place = f"memory://{tmp_path.name}/claim"
    system, _ = stores.store_of(place)
    pipe: Callable[..., None] = system.pipe_file

    def cut_after(path: str, data: bytes, mode: str) -> None:
        pipe(path, data, mode=mode)
        raise ConnectionResetError("cut")

    monkeypatch.setattr(type(system), "pipe_file", lambda _, *args, **kw: cut_after(*args, **kw))
    assert remote.create(place, b"mine")
    assert not remote.create(place, b"yours")


def test_an_address_of_no_kind_is_one_line() -> None:
    with pytest.raises(WrongUse, match=r"no address that is understood.*expected s3://"):
        remote.read("nowhere://bucket/a.tar")
