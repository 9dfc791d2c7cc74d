"""A claim ends with its worker, however that ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from backbones.cluster import claims
from backbones.cluster.claims import Claims
from backbones.cluster.store import Store
from backbones.files import create_atomic

ELSEWHERE = {"machine": "elsewhere", "pid": 1, "began": "1"}


def test_one_of_many_makes_a_file(tmp_path: Path) -> None:
    start, made = threading.Barrier(8), []

    def make(number: int) -> None:
        start.wait()
        if create_atomic(tmp_path / "part", str(number).encode() * 1000):
            made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (winner,) = made
    assert (tmp_path / "part").read_bytes() == str(winner).encode() * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_a_claim_keeps_others_off_and_is_written_again_and_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    mine, theirs = Claims(store, lease_s=0.1), Claims(store)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "a.tmp").write_bytes(b"")  # as of a file that is being written
    with mine.first(["a", "b"]) as key:
        assert key == "a"
        until = time.monotonic() + 60
        while json.loads(store.read("claims/a.0") or b"")["beat"] < 3:
            assert time.monotonic() < until
            time.sleep(0.01)
        with theirs.first(["a"]) as other:
            assert other is None
        with theirs.first(["a", "b"]) as other:
            assert other == "b"
    with theirs.first(["a"]) as key:
        assert key == "a"
    assert store.names("claims") == ["a.tmp"]


def test_a_claim_of_another_machine_ends_after_a_lease_without_a_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of whoever looks, which need not agree with that of whoever writes."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda: clock.now))
    store, looked = Store(str(tmp_path)), []
    mine = Claims(store, lease_s=60)
    for now, beat in ((1000, 0), (1059, 0), (1059, 1), (1100, 1), (1118, 2), (1177, 2), (1179, 2)):
        clock.now = now
        store.replace("claims/a.0", json.dumps({**ELSEWHERE, "beat": beat}).encode())
        with mine.first(["a"]) as key:
            looked.append(key)
    assert looked == [None] * 6 + ["a"]
    assert store.names("claims") == []


def test_a_claim_of_a_process_that_is_gone_ends_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note = {**claims._worker(child.pid), "beat": 0}
    store = Store(str(tmp_path))
    store.create("claims/a.0", json.dumps(note).encode())
    with Claims(store).first(["a"]) as key:
        assert key is None
    child.communicate()
    with Claims(store).first(["a"]) as key:
        assert key == "a"


def test_a_number_that_another_process_has_now_is_no_sign_of_life(tmp_path: Path) -> None:
    note = {**claims._worker(os.getpid()), "began": "1", "beat": 0}
    store = Store(str(tmp_path))
    store.create("claims/a.0", json.dumps(note).encode())
    with Claims(store).first(["a"]) as key:
        assert key == "a"
