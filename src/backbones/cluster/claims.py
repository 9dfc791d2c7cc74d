"""Who works on what: claims that end with their worker, however that ends.

A claim is a file that one worker alone can make. While it works it writes the file anew every
quarter of a lease; a claim that nobody has written for a lease, as the observer's own clock has it,
is dead, and so at once is one of a process of the same machine that is gone. The next worker makes
the claim of the next number. Claims only spare work: where two workers answer a shard after all
(one was stopped for longer than a lease), the part that is made first stays.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from backbones.cluster.store import Store
from backbones.errors import DownloadFailed

LEASE_S = 60.0
"""Seconds without a sign of life after which another machine takes a worker's shard."""

_BEATS, _LOOKS = 4, 12  # in a lease: how often a claim is written, and looked at by who waits


class Claims:
    """The claims in a store, as one worker sees and makes them.

    Args:
        store: that all workers share.
        lease_s: see `LEASE_S`; the same for all workers.
    """

    def __init__(self, store: Store, lease_s: float = LEASE_S) -> None:
        self._store, self._lease_s = store, lease_s
        self._seen: dict[str, tuple[bytes, float]] = {}  # contents, and since when they are so

    @contextmanager
    def first(self, keys: Iterable[str]) -> Iterator[str | None]:
        """Claim the first of these that nobody has, or else one whose owner is dead.

        Yields:
            its key; None where all are taken.
        """
        numbers = self._numbers()
        claimed = []
        for key in keys:
            if key in numbers:
                claimed.append(key)
            elif made := self._claim(key, 0):
                with made:
                    yield key
                return
        for key in claimed:
            last = max(numbers[key])
            if self._is_dead(_file(key, last)) and (made := self._claim(key, last + 1)):
                with made:
                    yield key
                for number in numbers[key]:
                    self._store.remove(_file(key, number))
                return
        yield None

    def _numbers(self) -> dict[str, list[int]]:
        """The numbers of the claims that there are, by their keys."""
        found: dict[str, list[int]] = {}
        for name in self._store.names("claims"):
            key, _, number = name.rpartition(".")
            if number.isdecimal():  # a file that is being written has another kind of name
                found.setdefault(key, []).append(int(number))
        return found

    def _claim(self, key: str, number: int) -> _Claim | None:
        """A claim, if this worker is the one that makes it."""
        claim = _Claim(self._store, _file(key, number), self._lease_s / _BEATS)
        return claim if self._store.create(claim.file, claim.note()) else None

    def clear(self) -> None:
        """Remove what workers have left that were killed when their part was there already."""
        for name in self._store.names("claims"):
            self._store.remove(f"claims/{name}")

    def wait(self) -> None:
        """Until it is worth looking again."""
        time.sleep(self._lease_s / _LOOKS)

    def _is_dead(self, file: str) -> bool:
        note, now = self._store.read(file), time.monotonic()
        if note is None:  # it was given back since
            return True
        if _is_gone(note):
            return True
        before, since = self._seen.get(file, (b"", now))
        if note != before:
            self._seen[file] = (note, now)
            return False
        return now - since > self._lease_s


class _Claim:
    """A claim that was made; inside, a thread shows that its worker lives, and at the end it goes.

    Args:
        store: that it lies in.
        file: its name there.
        every_s: seconds between two signs of life.
    """

    def __init__(self, store: Store, file: str, every_s: float) -> None:
        self.file = file
        self._store, self._every_s = store, every_s
        self._over = threading.Event()
        self._token = secrets.token_hex(8)  # no two claims are alike, whoever makes them
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._store.remove(self.file)

    def note(self, beat: int = 0) -> bytes:
        """What the claim says: whose it is, and that this is another sign of life."""
        return json.dumps({**_worker(os.getpid()), "token": self._token, "beat": beat}).encode()

    def _beat(self) -> None:
        for beat in count(1):
            if self._over.wait(self._every_s):
                return
            # the next one may go through; if none does, the lease ends
            with suppress(OSError, DownloadFailed):
                self._store.replace(self.file, self.note(beat))


def _file(key: str, number: int) -> str:
    return f"claims/{key}.{number}"


def _is_gone(note: bytes) -> bool:
    """Whether a claim is of a process of this machine that does not run any more."""
    try:
        said: dict[str, Any] = json.loads(note)
        pid = int(said["pid"])
    except (ValueError, KeyError, TypeError):
        return False
    return said.get("machine") == _machine() and said.get("began") != _began(pid)


def _worker(pid: int) -> dict[str, Any]:
    return {"machine": _machine(), "pid": pid, "began": _began(pid)}


@cache
def _machine() -> str:
    """Where a process's number says which one it is: a host since its start, a container in it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _began(pid: int) -> str:
    """When a process began, in the system's own unit; empty where it has ended.

    It is the same for all where the system has no /proc: there the lease alone decides.
    """
    if not Path("/proc/self/stat").exists():
        return "unknown"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
