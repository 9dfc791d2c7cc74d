"""A claim ends with its worker, however that ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

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


def test_a_claim_keeps_others_off_while_it_lives(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    mine, theirs = Claims(store, lease_s=0.2), Claims(store, lease_s=0.2)
    with mine.first(["a", "b"]) as key:
        assert key == "a"
        until = time.monotonic() + 0.6  # three leases
        while time.monotonic() < until:
            with theirs.first(["a"]) as other:
                assert other is None
            theirs.wait()
        with theirs.first(["a", "b"]) as other:
            assert other == "b"
    with theirs.first(["a"]) as key:
        assert key == "a"
    assert store.names("claims") == []


def test_a_claim_of_another_machine_ends_after_a_lease_without_a_sign(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.create("claims/a.0", json.dumps({**ELSEWHERE, "beat": 0}).encode())
    mine, began = Claims(store, lease_s=0.3), time.monotonic()
    while True:
        with mine.first(["a"]) as key:
            if key is not None:
                break
        mine.wait()
    assert time.monotonic() - began >= 0.3
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
