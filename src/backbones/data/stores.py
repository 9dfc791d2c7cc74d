"""Stores that fsspec opens: which one an address means, and what is tried again.

A cut connection, a server's 5xx and its "slow down" pass; a missing file, a refused key or a
wrong request do not. What fails all the same is one error that names the address, without its
credentials.
"""

from __future__ import annotations

import asyncio
import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from backbones.errors import BackbonesError, DownloadFailed, MissingExtra, NotFound, WrongUse

_T = TypeVar("_T")

ATTEMPTS = 7
PAUSE_S = 0.2
"""Before the second attempt; twice as long before each later one: about 13 s in sum."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@|\?.*", re.DOTALL)
_FINAL = (
    *(FileNotFoundError, FileExistsError, PermissionError),
    *(IsADirectoryError, NotADirectoryError),
)
_FINAL_NUMBERS = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENAMETOOLONG)
_BUSY_STATUS = (408, 425, 429, 500, 502, 503, 504)


def is_address(place: str | Path) -> bool:
    """Whether a place is an address, and no path.

    Example:
        >>> is_address("s3://bucket/a.tar"), is_address("photos/a.tar"), is_address("C:/photos")
        (True, False, False)
    """
    return isinstance(place, str) and bool(_ADDRESS.match(place))


def plain(place: str | Path) -> str:
    """A place as messages show it: without user, password and signed query.

    Example:
        >>> plain("https://me:secret@host/a.tar?signature=1")
        'https://host/a.tar'
    """
    return _CREDENTIALS.sub("", place) if is_address(place) else str(place)  # type: ignore[arg-type]


def store_of(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        MissingExtra: without fsspec, or what it needs for S3 and the web.
        WrongUse: an address of no kind that is known.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra("fsspec", "remote", f"opening {plain(address)}") from error
    kind = address.partition(":")[0].lower()
    try:
        system, path = url_to_fs(address, **_options(kind))
    except ImportError as error:
        if kind in ("s3", "s3a", "http", "https"):
            library = "s3fs" if kind.startswith("s3") else "aiohttp"
            raise MissingExtra(library, "remote", f"opening {plain(address)}") from error
        raise WrongUse(f"{plain(address)} cannot be opened: {_one_line(error)}") from error
    except ValueError as error:
        raise WrongUse(
            f"{plain(address)} is no address that is understood: {_one_line(error)}; expected"
            " s3://, gs://, hf:// or http(s)://"
        ) from error
    if kind.startswith("s3"):
        system.retries = 1  # attempts are counted here, for all kinds of stores alike
    return system, str(path)


def _options(kind: str) -> dict[str, Any]:
    """How a store is opened: attempts are ours, listings are fresh, silence ends."""
    if kind in ("s3", "s3a"):
        once = {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 30}
        return {"use_listings_cache": False, "config_kwargs": once}
    if kind in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(sock_connect=10, sock_read=30)
        return {"use_listings_cache": False, "client_kwargs": {"timeout": timeout}}
    return {}


def tried(address: str, act: Callable[[], _T]) -> _T:
    """What `act` returns, at the first attempt or a later one.

    Args:
        address: what it is about.
        act: asks the store; called again after a failure that passes.

    Raises:
        NotFound: the store says that there is none.
        DownloadFailed: it fails for good, or at every attempt.
    """
    for pause_s in _pauses():
        try:
            return act()
        except BackbonesError:
            raise
        except Exception as error:
            reason = _cause(error)
            if isinstance(reason, FileNotFoundError):
                raise NotFound(f"there is no {plain(address)}") from error
            if pause_s is None or not _passes(reason):
                attempts = f" ({ATTEMPTS} attempts)" if _passes(reason) else ""
                raise DownloadFailed(
                    f"{plain(address)}: {_said(reason, address)}{attempts}"
                ) from error
            time.sleep(pause_s)
    raise AssertionError("the last pause is None")


def _pauses() -> Iterator[float | None]:
    for attempt in range(ATTEMPTS - 1):
        yield PAUSE_S * 2**attempt * random.uniform(0.8, 1.2)  # so that many do not come at once
    yield None


def _cause(error: Exception) -> Exception:
    """What happened; fsspec calls every failed look at a web page a missing file."""
    inner = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(inner, Exception):
        return error
    status = _status(inner)
    failed = _passes(inner) if status is None else status not in (404, 410)
    return inner if failed else error


def _passes(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    if (status := _status(error)) is not None:
        return status in _BUSY_STATUS
    if isinstance(error, _FINAL) or getattr(error, "errno", None) in _FINAL_NUMBERS:
        return False
    lost = (OSError, EOFError, TimeoutError, asyncio.TimeoutError)
    return isinstance(error, lost) or type(error).__name__ in (
        *("ClientPayloadError", "ServerDisconnectedError", "FSTimeoutError", "IncompleteRead"),
        *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "HTTPClientError"),
        *("ConnectionClosedError", "ResponseStreamingError", "IncompleteReadError"),
    )


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error is about."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) and status else None


def code_of(error: BaseException) -> str:
    """The store's own word for what happened, where it has one."""
    response = getattr(error.__cause__ or error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _said(error: Exception, address: str) -> str:
    status = _status(error)
    if status is not None:
        return f"the server answered {status} {getattr(error, 'message', '')}".rstrip()
    return _one_line(error).replace(address, plain(address))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    text = re.sub(r"(?<=://)[^/@\s]*@|\?\S*", "", text)
    return text or type(error).__name__
