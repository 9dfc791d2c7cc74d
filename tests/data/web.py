"""A web server on this machine that sends parts of files, and fails when it is told to."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What the server has, and what it will do wrong.

    Args:
        address: of the server.

    Attributes:
        files: contents by path ("/a.tar").
        faults: one is taken by each GET, as long as there are some: "503", "429", "403", "cut",
            "whole"; "" answers well.
        ranges: what was asked for, in order: path, first and last byte.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.always = ""
        self.ranges: list[tuple[str, int, int]] = []


@contextlib.contextmanager
def web_server() -> Iterator[Web]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.web = Web(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.web  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        fault = web.faults.pop(0) if body and web.faults else web.always
        data = web.files.get(self.path.partition("?")[0])
        if fault.isdigit() or data is None:
            self._send(int(fault) if fault.isdigit() else 404, b"", {})
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or fault == "whole":
            self._send(200, data if body else b"", {"Content-Length": str(len(data))})
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        web.ranges.append((self.path, first, last))
        part = data[first : last + 1]
        head = {
            "Content-Length": str(len(part)),
            "Content-Range": f"bytes {first}-{last}/{len(data)}",
        }
        self._send(206, part[: len(part) // 2] if fault == "cut" else part, head)
        self.close_connection = fault == "cut"

    def _send(self, status: int, body: bytes, head: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Accept-Ranges": "bytes", **head}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
