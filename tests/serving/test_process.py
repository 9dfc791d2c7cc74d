"""The verb as a process: its first line, its log, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The verb in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "backbones", "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "BACKBONES_TOKEN": ""},
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("serving on http://127.0.0.1:"), process.communicate()[1]
            url = first.split()[-1]
            with httpx.Client(base_url=url, verify=False, timeout=20) as client:
                yield process, client
        finally:
            process.kill()


@contextmanager
def half_sent(url: httpx.URL, image: bytes) -> Iterator[socket.socket]:
    """A connection on which half a request was sent."""
    with socket.create_connection((url.host, url.port or 0), 20) as sender:
        head = f"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: {len(image)}\r\n\r\n"
        sender.sendall(head.encode() + image[:100])
        yield sender


@pytest.mark.usefixtures("hang_up_counts")
def test_sigterm_lets_requests_in_flight_end_and_sighup_loads_again(bundle, images) -> None:
    image = images[0]
    with (
        serving(bundle, "--drain", "3") as (process, client),
        half_sent(client.base_url, image) as sender,
        half_sent(client.base_url, image) as never_ends,
    ):
        assert client.get("/v2/health/ready").status_code == 200
        bundle.write_bytes(b"spoiled")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert '"event": "loaded"' in process.stderr.readline()
        assert '"event": "request"' in process.stderr.readline()
        assert '"event": "not loaded", "model": "tiny"' in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        assert '"event": "stopping"' in process.stderr.readline()
        assert client.get("/v2/health/ready").status_code == 503
        assert client.post("/predict", content=image).status_code == 503
        sender.sendall(image[100:])
        assert sender.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert never_ends.recv(65536).startswith(b"HTTP/1.1 503 Service Unavailable")
        out, log = process.communicate(timeout=20)
        assert time.monotonic() - asked_at < 6
    assert (process.returncode, out) == (0, "")
    lines = [json.loads(line) for line in log.splitlines()]
    (answered,) = [line for line in lines if line["status"] == 200]
    assert (answered["model"], answered["route"]) == ("tiny", "/predict")
    assert answered["bytes"] == len(image)
