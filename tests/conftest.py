"""Fixtures that every test folder shares."""

from __future__ import annotations

import gc
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
NO_DATA = "no real test data: set BACKBONES_TEST_DATA to its folder"


def imported(name: str, file: Path) -> ModuleType:
    """A file that lies in no package, as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def pytest_configure() -> None:
    """On demand the suite runs as on a processor that rounds otherwise (`make test-rounding`)."""
    if os.environ.get("BACKBONES_OTHER_ROUNDING") == "1":
        imported("other_processor", ROOT / "tests" / "other_processor.py").install()


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


@pytest.fixture(autouse=True)
def log_level_as_it_was() -> Iterator[None]:
    """A command of one test shows the package's log; the next test has it as it was."""
    logger = logging.getLogger("backbones")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def hang_up_counts() -> Iterator[None]:
    """Also where the tests run under `nohup`, which shuts that signal off."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """The folder of real images and weights, where this machine has one."""
    folder = Path(os.environ.get("BACKBONES_TEST_DATA", ROOT.parent / "shared" / "data"))
    if (folder / "nasty" / "manifest.csv").is_file():
        return folder
    if os.environ.get("BACKBONES_REQUIRE_DATA"):
        pytest.fail(NO_DATA)
    return None


@pytest.fixture(scope="session")
def test_data(real_data: Path | None) -> Path:
    """That folder, for what only real files can show: such tests skip on a machine without it."""
    return real_data or pytest.skip(NO_DATA)


@pytest.fixture(scope="session")
def nasty_images(real_data: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of odd and broken images in a subfolder a kind: those of the field, or made."""
    if real_data is not None:
        return real_data / "nasty"
    root = tmp_path_factory.mktemp("nasty")
    files = {**odd_images(), **broken_images()}
    for name, data in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    (root / "manifest.csv").write_text("\n".join(["path", *files]) + "\n", encoding="utf-8")
    return root


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def smooth(seed: int = 0) -> Image.Image:
    """A smooth coloured image without any symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((97, 61), Image.Resampling.BICUBIC)


def odd_images() -> dict[str, bytes]:
    """Files that every viewer shows, each unlike the usual JPEG: path to content."""
    colour, clear = smooth(), smooth()
    clear.putalpha(smooth(1).convert("L"))
    deep = np.arange(61 * 97, dtype=np.uint16).reshape(61, 97) * 11
    files = {
        "cmyk_jpeg/plain.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "exif_rotated/text.jpg": encoded(colour, "JPEG", xmp=b"<tiff:Orientation>6<"),
        "png16/grey.png": encoded(Image.fromarray(deep), "PNG"),
        "png16/hole.png": encoded(Image.fromarray(deep), "PNG", transparency=0),
        "tiff_odd/grey16.tif": encoded(Image.fromarray(deep), "TIFF"),
        "png_palette_alpha/rgba.png": encoded(clear, "PNG"),
        "png_palette_alpha/grey.png": encoded(clear.convert("LA"), "PNG"),
        "png_palette_alpha/palette.png": encoded(colour.quantize(16), "PNG", bits=4),
        "png_palette_alpha/hole.png": encoded(colour.quantize(), "PNG", transparency=3),
        "other_container/lossy.webp": encoded(colour, "WEBP"),
        "other_container/clear.webp": encoded(clear, "WEBP", lossless=True),
        "wrong_extension/cloudy131.jpg": encoded(colour, "PNG"),
        "wrong_extension/rain136.jpg": encoded(smooth(2), "PNG"),
        "wrong_extension/rain26.jpg": encoded(smooth(2), "PNG"),
        "wrong_extension/Cat1035.png": encoded(colour, "WEBP"),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for format in ("JPEG", "PNG", "TIFF", "WEBP"):
            name = f"exif_rotated/{orientation}.{format.lower()}"
            files[name] = encoded(smooth(orientation), format, exif=exif)
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        more = {"save_all": True, "append_images": [smooth(3), smooth(4)]}
        files[f"animated/three.{format.lower()}"] = encoded(colour, format, **more)
    for format in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF"):
        for mode in ("L", "RGB") if format == "JPEG" else ("1", "L", "RGB"):
            data = encoded(colour.convert(mode), "GIF" if format == "GIF" else format)
            files[f"gray_or_1bit/{mode}.{format.lower()}"] = data
    for subsampling in range(3):
        for mode in ("L", "RGB"):
            options = {"progressive": True, "subsampling": subsampling}
            name = f"progressive/{mode}{subsampling}.jpg"
            files[name] = encoded(colour.convert(mode), "JPEG", **options)
    return files


def broken_images() -> dict[str, bytes]:
    """Files that no viewer shows: path to content."""
    floats = np.linspace(-3.14, 3.14, 61 * 97, dtype=np.float32).reshape(61, 97)
    files = {
        "zero_byte/empty.png": b"",
        "wrong_extension/dummy.jpg": b"not an image at all\n" * 6,
        "tiff_odd/10ct_32bit_128.tiff": encoded(Image.fromarray(floats), "TIFF"),
    }
    noise = np.random.default_rng(5).integers(0, 256, (61, 97, 3), dtype=np.uint8)
    for format in ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP"):
        data = encoded(Image.fromarray(noise), format)
        for percent in (1, 30, 90):
            files[f"truncated/{percent}.{format.lower()}"] = data[: len(data) * percent // 100]
    bmp = bytearray(encoded(smooth(), "BMP"))
    for name, place, value in (
        ("bomb/wide.bmp", 18, 2**30),
        ("bomb/high.bmp", 22, 2**30),
        ("bmp_odd/depth.bmp", 28, 30000),
        ("bmp_odd/header.bmp", 14, 16),
    ):
        files[name] = bytes(bmp[:place] + value.to_bytes(4, "little") + bmp[place + 4 :])
    return files


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
        return imported(f"backbones_{name}", ROOT / "benchmarks" / f"{name}.py")

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


@pytest.fixture(scope="session")
def service_of() -> Callable[..., Any]:
    """`service_of({"digits": "lenet5.digits"}, max_body=100)`: models that are loaded, without an
    address."""
    from backbones.classifier.opening import open_classifier
    from backbones.serving.options import ServerOptions
    from backbones.serving.repository import ModelRepository
    from backbones.serving.service import Service
    from backbones.serving.telemetry import Metrics

    def make(sources: dict[str, Any], **options: Any) -> Service:
        chosen, metrics = ServerOptions(**options), Metrics()
        repository = ModelRepository(
            sources, lambda source: open_classifier(source, device="cpu"), chosen, metrics
        )
        for name in sources:
            repository.load(name)
        return Service(chosen, repository, metrics)

    return make


@pytest.fixture(scope="session")
def address(service_of: Callable[..., Any]) -> Iterator[str]:
    """Where a server in a thread answers, with two small networks that clients may manage."""
    from backbones.serving.server import Server, listen

    sources = {"digits": "lenet5.digits", "fashion": "lenet5.fashion"}
    started = threading.Event()
    found: list[str] = []

    def say(url: str) -> None:
        found.append(url)
        started.set()

    with listen("127.0.0.1", 0) as sock:
        server = Server(service_of(sources, admin=True, workers=1), sock, say)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert started.wait(30)
        yield found[0]
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
