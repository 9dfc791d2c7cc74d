"""Fetch a file once: with progress, from where it was cut off, checked, and never half there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbones.errors import DownloadFailed
from backbones.files import expanded

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the total, or None where the server doesn't say."""

_CHUNK_BYTES = 256 * 1024
_ATTEMPTS = 4
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Checksum:
    """What a file's content must hash to.

    Args:
        kind: "md5" guards against damage only; "sha256" against malice too.
        digits: in hexadecimal; of a SHA-256 the first eight or more are enough.

    Raises:
        ValueError: digits that are no such checksum.

    Example:
        >>> Checksum("sha256", "397923af").name
        'SHA-256'
    """

    kind: Literal["md5", "sha256"]
    digits: str

    def __post_init__(self) -> None:
        fewest, whole = {"md5": (32, 32), "sha256": (8, 64)}[self.kind]
        hexadecimal = not set(self.digits) - set("0123456789abcdef")
        if not (fewest <= len(self.digits) <= whole and hexadecimal):
            raise ValueError(f"{self.digits!r} is no {self.name}")

    @property
    def name(self) -> str:
        """As people write it."""
        return {"md5": "MD5", "sha256": "SHA-256"}[self.kind]

    def fits(self, found: str) -> bool:
        """Whether a whole checksum is the one that was expected."""
        return found.startswith(self.digits)


def checksum_of(path: Path, kind: Literal["md5", "sha256"] = "sha256") -> str:
    """The whole checksum of a file, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(
            stream, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def is_offline() -> bool:
    """Whether `BACKBONES_OFFLINE` forbids every download; empty, 0, no and false do not."""
    return os.environ.get("BACKBONES_OFFLINE", "").lower() not in ("", "0", "no", "false")


def cache_folder() -> Path:
    """Where downloads are kept: `BACKBONES_CACHE`, else the platform's folder for caches.

    Raises:
        WrongUse: the user has no home folder, or `~NAME` is nobody's.
    """
    if chosen := os.environ.get("BACKBONES_CACHE"):
        return expanded(chosen)
    home = expanded("~")
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "backbones"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "backbones"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "backbones"


def download(
    url: str,
    to: Path,
    *,
    checksum: Checksum | None,
    progress: Progress | None = None,
    wait_s: float = 1.0,
) -> Path:
    """Fetch a file, unless it is there already.

    What arrived before a cut stays in `NAME.part` and is continued, in this call or the next.
    The file gets its name only after its checksum was verified.

    Args:
        url: where from; the schemes http and https.
        to: where to.
        checksum: the publisher's; None where there is none, and only the length is checked.
        progress: called after each chunk.
        wait_s: seconds before the second attempt; doubled for each further one.

    Raises:
        DownloadFailed: no connection, a refusal, `BACKBONES_OFFLINE`, or a wrong checksum; a
            wrong file is removed.
    """
    if to.is_file():
        return to
    if is_offline():
        raise DownloadFailed(
            f"{to.name} is not here, and BACKBONES_OFFLINE forbids to fetch it; unset that, or"
            f" put the file from {url} by hand to {to}"
        )
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _alone(to):
            if not to.is_file():  # another process may have fetched it meanwhile
                _fetch_checked(url, to, checksum, progress, wait_s)
    except OSError as error:
        raise DownloadFailed(f"{to} cannot be written: {error.strerror or error}") from error
    return to


@contextlib.contextmanager
def _alone(to: Path) -> Iterator[None]:
    """Let one process at a time fetch a file, where the platform has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes may both fetch it, and the checksum decides
        yield
        return
    lock = to.with_name(to.name + ".lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _fetch_checked(
    url: str, to: Path, checksum: Checksum | None, progress: Progress | None, wait_s: float
) -> None:
    part = to.with_name(to.name + ".part")
    failure = _fetch_persistently(url, part, progress, wait_s)
    if failure is not None:
        raise DownloadFailed(
            f"{url} cannot be fetched ({failure}); try again later, or put the file by hand to {to}"
        )
    if checksum is not None and not checksum.fits(found := checksum_of(part, checksum.kind)):
        part.unlink()
        raise DownloadFailed(
            f"{url} arrived with the {checksum.name} {found}, expected {checksum.digits}; it was"
            f" removed: try again, or put the right file by hand to {to}"
        )
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())
    os.replace(part, to)


def _fetch_persistently(
    url: str, part: Path, progress: Progress | None, wait_s: float
) -> str | None:
    """Try until the file is whole; the reason of the last failure, or None."""
    failure = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(wait_s * 2 ** (attempt - 1))
        try:
            if _fetch(url, part, progress):
                return None
            failure = "the connection was cut"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file: start again
                part.unlink(missing_ok=True)
            failure = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 416, 429):
                return failure
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            failure = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt and not part.is_file():
                return failure  # nobody answers: most likely this machine is offline
        except ConnectionError as error:
            failure = str(error)
    return failure


def _fetch(url: str, part: Path, progress: Progress | None) -> bool:
    """One request for what is missing; whether the file is whole afterwards."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadFailed(f"{url} is not an http or https address")
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "backbones"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        if have and answer.status != 206:
            have = 0  # a server that cannot continue sends all of it again
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None and length.isdigit() else None
        with part.open("ab" if have else "wb") as out:
            try:
                while chunk := answer.read(_CHUNK_BYTES):
                    out.write(chunk)
                    have += len(chunk)
                    if progress is not None:
                        progress(have, total)
            except http.client.IncompleteRead as error:
                out.write(error.partial)
                return False
    return total is None or have == total
