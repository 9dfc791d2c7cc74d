"""Fetch a file once: with progress, from where it was cut off, checked, and never half there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import logging
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backbones.errors import DownloadFailed, WrongUse
from backbones.files import expanded
from backbones.progress import ByteProgress
from backbones.units import human_bytes

_CHUNK_BYTES = 256 * 1024
_LARGEST_BYTES = 8 << 30  # of a file whose length nobody knows
_SLOWEST_BYTES_S = 1024
_WINDOW_S = 60.0
_LENGTH = re.compile(r"[0-9]{1,18}")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_log = logging.getLogger(__name__)
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


def checked_address(text: str, what: str = "address") -> str:
    """An address that can be asked, without a slash at its end.

    Args:
        text: as somebody gave it.
        what: to call it in the message; what is wrong is said without the address, which may hold
            a password.

    Raises:
        WrongUse: no http or https, no host, or signs that an address cannot have.

    Example:
        >>> checked_address("https://mirror.example:8000/files/")
        'https://mirror.example:8000/files'
    """
    expected = f"{what}: expected http://HOST/PATH or https://HOST/PATH"
    try:
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise WrongUse(f"{expected}, and its host or port cannot be read") from None
    if not usable:
        what_is_wrong = f"got the scheme {parts.scheme[:20]!a}"
        if parts.scheme in ("http", "https"):
            what_is_wrong = "got no host" if not parts.hostname else "got the port 0"
        raise WrongUse(f"{expected}, {what_is_wrong}")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise WrongUse(f"{expected}, with other signs than ASCII's percent-encoded")
    if parts.query or parts.fragment:
        raise WrongUse(f"{expected}, without ? and #")
    return text.rstrip("/")


def mirror() -> str:
    """The address that `BACKBONES_MIRROR` names, or nothing.

    Raises:
        WrongUse: it is no address; the public ones are not asked instead.
    """
    given = os.environ.get("BACKBONES_MIRROR", "")
    return checked_address(given, "BACKBONES_MIRROR") if given else ""


def shown(url: str) -> str:
    """An address without what may be secret in it: a name, a password, a query.

    Example:
        >>> shown("https://me:secret@mirror.example/a.pth?token=1")
        'https://mirror.example/a.pth'
    """
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(
        (parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")
    )


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
    num_bytes: int | None = None,
    at_most: int = _LARGEST_BYTES,
    progress: ByteProgress | None = None,
    wait_s: float = 1.0,
) -> Path:
    """Fetch a file, unless it is there already.

    What arrived before a cut stays in `NAME.part` and is continued, in this call or the next.
    The file gets its name only after its checksum was verified.

    Args:
        url: where from; the schemes http and https.
        to: where to.
        checksum: the publisher's; None where there is none, and only the length is checked.
        num_bytes: the file's length; None where it is not known.
        at_most: bytes that are taken where the length is not known.
        progress: called after each chunk; where it is left out, the download is logged instead.
        wait_s: seconds before the second attempt; doubled for each further one.

    Raises:
        DownloadFailed: no connection, a refusal, `BACKBONES_OFFLINE`, another length, less than a
            KiB a second for a minute, or a wrong checksum; a wrong file is removed.
    """
    if to.is_file():
        return to
    if is_offline():
        what = os.environ["BACKBONES_OFFLINE"]
        what = what if what.startswith("--") else "BACKBONES_OFFLINE"
        raise DownloadFailed(
            f"{to.name} is not here, and {what} forbids downloads; allow them, or put the file"
            f" from {shown(url)} at {to}"
        )
    wanted = _Wanted(url, to.with_name(to.name + ".part"), num_bytes, at_most, progress)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _alone(to):
            if not to.is_file():  # another process may have fetched it meanwhile
                if progress is None:
                    size = f" ({human_bytes(num_bytes)})" if num_bytes else ""
                    _log.info("downloading %s%s from %s", to.name, size, shown(url))
                _fetch_checked(wanted, to, checksum, wait_s)
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
    while True:
        with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666), "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            # Whoever had it has removed its file: the next ones lock another one by now.
            if not _is_at(lock, os.fstat(held.fileno())):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_at(path: Path, state: os.stat_result) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(state, path.stat())
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class _Wanted:
    """One file to fetch.

    Args:
        url: where from.
        part: where to, until it is whole.
        num_bytes: its length; None where nobody knows.
        at_most: bytes that are taken where its length is not known.
        progress: callback with how far it is.
    """

    url: str
    part: Path
    num_bytes: int | None
    at_most: int
    progress: ByteProgress | None


class _GiveUp(Exception):
    """What another attempt would not change; the message says it."""


def _fetch_checked(wanted: _Wanted, to: Path, checksum: Checksum | None, wait_s: float) -> None:
    url, part = shown(wanted.url), wanted.part
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise DownloadFailed(f"{part} is a link or no regular file; remove it, and try again")
    failure = _fetch_persistently(wanted, wait_s)
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


def _fetch_persistently(wanted: _Wanted, wait_s: float) -> str | None:
    """Try until the file is whole; the reason of the last failure, or None."""
    failure = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(wait_s * 2 ** (attempt - 1))
        try:
            if _fetch(wanted):
                return None
            failure = "the connection was cut"
        except _GiveUp as error:
            return str(error)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file: start again
                wanted.part.unlink(missing_ok=True)
            # in our words: the server's may hold anything
            failure = f"HTTP {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            if error.code < 500 and error.code not in (408, 416, 429):
                return failure
        except (urllib.error.URLError, TimeoutError) as error:
            failure = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt and not wanted.part.is_file():
                return failure  # nobody answers: most likely this machine is offline
        except (http.client.HTTPException, ConnectionError) as error:
            failure = f"the answer broke off or is no HTTP: {type(error).__name__}"
        except ValueError:  # urllib cannot read the address that it was sent on to
            return "the server sends on to something that is no address"
    return failure


def _fetch(wanted: _Wanted) -> bool:
    """One request for what is missing; whether the file is whole afterwards."""
    part = wanted.part
    have = part.stat().st_size if part.is_file() else 0
    with _OPENER.open(_request(wanted.url, have), timeout=_TIMEOUT_S) as answer:
        if have and answer.status != 206:
            have = 0  # a server that cannot continue sends all of it again
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if _LENGTH.fullmatch(length) else None
        _refuse_length(total, wanted)
        flags = os.O_WRONLY | os.O_CREAT | _NO_LINK | (os.O_APPEND if have else os.O_TRUNC)
        with os.fdopen(os.open(part, flags, 0o666), "ab" if have else "wb") as out:
            pace = _Pace(time.monotonic(), have)
            while chunk := answer.read1(_CHUNK_BYTES):
                have += len(chunk)
                if have > (wanted.num_bytes or wanted.at_most):
                    part.unlink()
                    _refuse_length(have, wanted)
                out.write(chunk)
                pace = pace.after(have)
                if wanted.progress is not None:
                    wanted.progress(have, total)
    return have == (total or wanted.num_bytes or have)


def _request(url: str, have: int) -> urllib.request.Request:
    """A request for what lies behind the first bytes; a name and password go into its header."""
    try:
        checked_address(url.partition("?")[0], shown(url))
    except WrongUse as error:
        raise DownloadFailed(f"{shown(url)} is not an http or https address ({error})") from None
    parts = urllib.parse.urlsplit(url)
    who, _, where = parts.netloc.rpartition("@")
    request = urllib.request.Request(
        urllib.parse.urlunsplit(parts._replace(netloc=where)), headers={"User-Agent": "backbones"}
    )
    if have:
        request.add_header("Range", f"bytes={have}-")
    if who:  # not sent to where a server sends on to
        encoded = base64.b64encode(urllib.parse.unquote(who).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _refuse_length(length: int | None, wanted: _Wanted) -> None:
    """End a download that is not as long as its file, or longer than any."""
    if length is None or length == wanted.num_bytes:
        return
    if wanted.num_bytes is not None:
        raise _GiveUp(f"it has {length:,} bytes or more, expected {wanted.num_bytes:,}")
    if length > wanted.at_most:
        raise _GiveUp(f"it has {length:,} bytes or more, expected {wanted.at_most:,} at most")


@dataclass(frozen=True)
class _Pace:
    """How far a download was when the running minute began."""

    since: float
    had: int

    def after(self, have: int) -> _Pace:
        """The pace with what is there now; a minute of almost nothing ends the download."""
        passed = time.monotonic() - self.since
        if passed < _WINDOW_S:
            return self
        if have - self.had < _SLOWEST_BYTES_S * passed:
            raise _GiveUp(f"slower than {_SLOWEST_BYTES_S} bytes a second for {passed:.0f} s")
        return _Pace(time.monotonic(), have)


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Servers may send on to other http and https addresses, and to nothing else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise _GiveUp("the server sends on to something that is no http or https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_OnlyHttp)
