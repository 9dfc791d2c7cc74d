"""Bodies of requests, counted while they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import Request

from backbones.serving.options import ServerOptions
from backbones.serving.refusals import Refusal

_BODIES = 16  # of the largest size, that may be in memory at once

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Uploads:
    """Reads bodies, none longer or slower than allowed, and not too many at once.

    Args:
        options: names the limits.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._held = 0  # bytes of bodies in memory

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, which counts as held until the block ends.

        Raises:
            Refusal: it is too long (413), too slow (408) or encoded (415), or there is no memory
                for it now (503).
            ClientGone: the connection ended.
        """
        self._check_headers(request)
        data = bytearray()
        try:
            try:
                async with asyncio.timeout(self._options.upload_s):
                    await self._read(request, data)
            except TimeoutError:
                raise self._too_slow(self._options.upload_s) from None
            yield bytes(data)
        finally:
            self._held -= len(data)

    def _check_headers(self, request: Request) -> None:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refusal(
                415, f"the body is encoded as {encoding}; send it as it is", "encoding", close=True
            )
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._options.max_body:
            raise self._too_long()

    async def _read(self, request: Request, data: bytearray) -> None:
        more = True
        while more:
            try:
                async with asyncio.timeout(self._options.idle_s):
                    message = await request.receive()
            except TimeoutError:
                raise self._too_slow(self._options.idle_s) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            if len(data) + len(part) > self._options.max_body:
                raise self._too_long()
            if self._held + len(part) > _BODIES * self._options.max_body:
                raise Refusal(
                    503,
                    "too many uploads at once; ask again later",
                    "memory",
                    retry_after_s=1,
                    close=True,
                )
            data += part
            self._held += len(part)
            more = message.get("more_body", False)

    def _too_long(self) -> Refusal:
        return Refusal(
            413,
            f"the body has more than {self._options.max_body:,} bytes; send fewer or smaller"
            " images",
            "body",
            close=True,
        )

    def _too_slow(self, seconds: float) -> Refusal:
        return Refusal(
            408, f"the body was not there in {seconds:g} s; send it faster", "slow", close=True
        )


async def results(
    work: Sequence[Future[T]], request: Request, deadline_s: float | None = None
) -> list[T | BaseException]:
    """What comes out of work, in order; it is dropped where nobody waits for it any more.

    Args:
        work: that models have taken.
        request: whose body was read.
        deadline_s: from now.

    Returns:
        Results, and exceptions in the place of those that failed.

    Raises:
        Refusal: the deadline passed (504).
        ClientGone: the connection ended.
    """
    waiting: asyncio.Future[list[Any]] = asyncio.gather(
        *map(asyncio.wrap_future, work), return_exceptions=True
    )
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        both: set[asyncio.Future[Any]] = {waiting, gone}
        await asyncio.wait(both, timeout=deadline_s, return_when="FIRST_COMPLETED")
        if waiting.done():
            return waiting.result()
        if gone.done():
            raise ClientGone
        raise Refusal(504, f"no answer in {1000 * (deadline_s or 0):.0f} ms", "deadline")
    finally:
        gone.cancel()
        waiting.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
