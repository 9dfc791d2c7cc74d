"""A server from its start to its end: address, signals, draining, exit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backbones.errors import WrongUse
from backbones.serving.application import create_app
from backbones.serving.service import Service
from backbones.serving.telemetry import JsonLines

_HEADERS_S = 10.0  # the longest wait for a request's headers
_KEEP_ALIVE_S = 30
_LAST_STEPS_S = 0.5  # of the time to drain, for closing connections
_LOCAL = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger("backbones.serving")


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address, which nobody else has.

    Raises:
        WrongUse: somebody has, or there is no such address.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise WrongUse(f"there is no address {host}: {error.strerror or error}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise WrongUse(
            f"cannot listen on port {port} of {host}: {error.strerror or error}; another --port"
            " may do, and --port 0 takes a free one"
        ) from None
    return found


def address_of(sock: socket.socket) -> str:
    """Where clients find a socket."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Server(uvicorn.Server):
    """Serves until a signal, or `stop`, ends it.

    SIGTERM and SIGINT: readiness says 503 at once, requests in flight end, and after `drain_s`
    what is left is refused; a second one ends at once. SIGHUP loads all models again.

    Args:
        service: what answers.
        sock: where to listen.
        started: called with the address once requests are answered.
    """

    def __init__(
        self, service: Service, sock: socket.socket, started: Callable[[str], None]
    ) -> None:
        config = uvicorn.Config(
            create_app(service),
            http=_TimedProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._service, self._socket, self._say_started = service, sock, started
        self._draining: asyncio.Task[None] | None = None

    def serve_forever(self) -> None:
        """Answer requests; returns when the server was told to end."""
        try:
            self.run([self._socket])
        finally:
            self._service.repository.end(0.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then the signals and the first line."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        self._loop = loop
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends at once
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, self._stop)
                if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                    loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._say_started(address_of(self._socket))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Not uvicorn's own, which end by raising the signal again."""
        yield

    def stop(self) -> None:
        """As SIGTERM, from another thread."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._draining is not None:
            self.should_exit = self.force_exit = True
            return
        log.info("stopping")
        self._service.stopping = True
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        end = time.monotonic() + max(0.0, self._service.options.drain_s - _LAST_STEPS_S)
        while self.server_state.tasks and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for task in list(self.server_state.tasks):
            task.cancel()
        self.should_exit = True

    def _reload(self) -> None:
        asyncio.get_running_loop().run_in_executor(None, self._service.repository.load_all)


class _TimedProtocol(HttpToolsProtocol):
    """uvicorn's, which waits for ever for the headers of a request; this one does not."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        self._wait_no_more()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_HEADERS_S, self._too_late)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()


def log_to_standard_error(host: str, has_token: bool) -> None:
    """One JSON object a line, for this package's server and warnings of uvicorn.

    Args:
        host: that is listened on.
        has_token: whether clients need one; where others can reach the server, the log warns.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name, level in (("backbones.serving", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    if host not in _LOCAL and not has_token:
        fields = {"host": host, "advice": "anybody who reaches this address may ask; see --token"}
        log.warning("open to others", extra={"fields": fields})
