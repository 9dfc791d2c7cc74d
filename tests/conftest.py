"""Fixtures that every test folder shares."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def pytest_collection() -> None:
    """What is imported and collected stays: a million objects, and nothing in them is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """No later search for garbage goes through them again, which took half a second each time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a mirror, or be offline; the tests say for themselves."""
    monkeypatch.setenv("BACKBONES_MIRROR", "")
    monkeypatch.setenv("BACKBONES_OFFLINE", "0")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real pictures and weights; tests that need it skip on a machine without it."""
    folder = Path(os.environ.get("BACKBONES_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "nasty" / "manifest.csv").is_file():
        message = "no real test data: set BACKBONES_TEST_DATA to its folder"
        if os.environ.get("BACKBONES_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@dataclass
class Site:
    """A server on this machine, what it serves, and how badly.

    Args:
        base: its address.
        files: path to content.
        cut_after: for each of the first answers, after how many bytes the connection is cut.
        status: answered instead of the file, where it is not 0.
        ranges: whether it can continue in the middle.
        silent_after: as `cut_after`, but the connection stays open for a second.
        announced: the length that is announced instead of the real one.
        asked: path and range of every request so far.
    """

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    status: int = 0
    ranges: bool = True
    silent_after: list[int] = field(default_factory=list)
    announced: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on this machine that can behave badly."""
    served = Site()
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append((self.path, wanted))
            self.close_connection = True
            if served.status or self.path not in served.files:
                self.send_error(served.status or 404)
                return
            data = served.files[self.path]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if wanted and served.ranges and start >= len(data):
                self.send_error(416)
                return
            partial = bool(wanted) and served.ranges
            data = data[start:] if partial else data
            self.send_response(206 if partial else 200)
            self.send_header("Content-Length", str(served.announced or len(data)))
            self.end_headers()
            if served.silent_after:
                self.wfile.write(data[: served.silent_after.pop(0)])
                self.wfile.flush()
                released.wait(1)
                return
            self.wfile.write(data[: served.cut_after.pop(0)] if served.cut_after else data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], ModuleType]:
    """Import a file of `benchmarks` by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"backbones_{name}", ROOT / "benchmarks" / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look for it there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def peers(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    """`benchmarks/peers.py`, which knows how to import them."""
    return benchmark_module("peers")


@pytest.fixture(scope="session")
def torchvision(peers: ModuleType) -> ModuleType:
    try:
        return peers.import_torchvision()
    except ImportError as error:
        pytest.skip(f"torchvision: {error}")


@pytest.fixture(scope="session")
def timm(peers: ModuleType) -> ModuleType:
    try:
        return peers.import_timm()
    except ImportError as error:
        pytest.skip(f"timm: {error}")
