"""Every decode has a limit of time and of memory, and no worker outlives its parent."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data import apart
from backbones.data import decode as decoding
from backbones.data.allowance import Allowance
from backbones.data.decode import decode
from backbones.data.jpeg_header import num_scans, read_jpeg_header
from backbones.errors import BadImage


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def photo(side: int = 64) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def with_scans(data: bytes, number: int) -> bytes:
    """The last scan so many times more."""
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * number + data[-2:]


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once() -> None:
    data = with_scans(encoded(photo(), "JPEG", progressive=True), 2000)
    with pytest.raises(BadImage, match="a JPEG of 64 x 64 pixels in more than 100 scans"):
        decode(data)


def test_the_larger_a_jpeg_the_fewer_its_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_scans(encoded(photo(), "JPEG", progressive=True), 10)
    assert decode(data).shape == (64, 64, 3)
    monkeypatch.setattr(decoding, "MAX_SCANNED_PIXELS", 15 * 64 * 64)
    with pytest.raises(BadImage, match="more than 15 scans"):
        decode(data)


def test_scans_of_thumbnails_and_of_what_follows_the_end_do_not_count() -> None:
    plain = encoded(photo(), "JPEG", progressive=True)
    scans = num_scans(plain, 1)
    assert 2 <= scans <= 12
    thumbnail = b"\xff\xe2" + (2 + 4 * 500).to_bytes(2, "big") + b"\xff\xda\0\2" * 500
    data = plain[:2] + thumbnail + plain[2:] + b"\xff\xda" * 500
    assert np.array_equal(decode(data), decode(plain))
    sequential = read_jpeg_header(encoded(photo(), "JPEG"))
    assert sequential is not None
    assert sequential.one_scan


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG counts as a format that takes long, and no worker of another test is used."""
    monkeypatch.setattr(apart, "_SLOW_NS", {"PNG": 10**9})
    monkeypatch.setattr(apart, "_here", apart._Here())


def test_what_a_worker_decodes_is_what_this_process_decodes(
    slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = encoded(photo().convert("LA"), "PNG")
    there = [decode(good), decode(good)]
    with pytest.raises(BadImage) as cut:
        decode(good[:-60])
    apart._here.close()
    monkeypatch.setattr(apart, "_SLOW_NS", {})
    assert all(np.array_equal(pixels, decode(good)) for pixels in there)
    with pytest.raises(BadImage) as here:
        decode(good[:-60])
    assert str(cut.value) == str(here.value)


WORKER = """
import sys, time
from backbones.data import apart, decode
def odd(data, *, shorter_px=None):
    if shorter_px == 1:
        time.sleep(60)
    raise decode.BadImage("x") from MemoryError()
decode.decode = odd
apart._work()
"""


def test_a_decoder_that_hangs_is_stopped_and_one_that_wants_too_much_is_told(
    slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", WORKER))
    data = encoded(photo(), "PNG")
    with pytest.raises(BadImage, match="decoding takes more than 2 GB of memory"):
        decode(data)
    monkeypatch.setattr(apart, "LIMIT_S", 0.5)
    with pytest.raises(BadImage, match=r"decoding takes longer than 0\.5 s"):
        decode(data, shorter_px=1)
    apart._here.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the Linux kernel's")
def test_a_worker_gets_no_more_memory_than_the_limit() -> None:
    code = (
        "from backbones.data import worker\n"
        "worker._limit_memory()\n"
        "try:\n    bytearray(3 * 2**30)\nexcept MemoryError:\n    print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and SIGALRM")
@pytest.mark.parametrize("busy", ["time.sleep(600)", "sum(range(10**12))"])
def test_a_worker_does_not_outlive_its_parent(busy: str) -> None:
    """Also where it never comes back to Python, as the sum does not."""
    theirs = (
        "import os, time\nfrom backbones.data import worker\nworker._LATER_S = 0.5\n"
        "for _ in worker.requests(lambda stream: stream.readline()):\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        f"    with worker.limited(0.5): {busy}\n"
    )
    ours = (
        "import sys\nfrom backbones.data.worker import Worker\n"
        f"def tell(stream): print(stream.readline().decode(), flush=True); stream.read()\n"
        f"Worker((sys.executable, '-c', {theirs!r})).ask(b'go\\n', tell, 600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker is still there")


# --- many threads -------------------------------------------------------------------------------


def test_threads_never_hold_more_than_the_allowance_and_nobody_is_passed_over() -> None:
    allowance, lock = Allowance(10), threading.Lock()
    held = most = 0
    begun: list[int] = []

    def hold(number: int, share: int) -> None:
        nonlocal held, most
        with allowance.taken(share):
            with lock:
                begun.append(number)
                held += share
                most = max(most, held)
            time.sleep(0.01)
            with lock:
                held -= share

    with allowance.taken(4):
        large = threading.Thread(target=hold, args=(0, 10))
        large.start()
        while not allowance._next.locked():  # the large one waits for all
            time.sleep(0.001)
        small = [threading.Thread(target=hold, args=(number, 3)) for number in range(1, 8)]
        for thread in small:
            thread.start()
        time.sleep(0.02)
        assert begun == []
    for thread in (large, *small):
        thread.join(10)
    assert begun[0] == 0
    assert sorted(begun) == list(range(8))
    assert most == 10


def test_who_needs_more_than_there_is_gets_it_alone() -> None:
    allowance = Allowance(10)
    with allowance.taken(11):
        assert allowance._left == 0
    assert allowance._left == 10


PEAK = """
import os, sys
from backbones.classifier.inputs import find_inputs
from backbones.classifier.preparing import Preparation, geometry_of
from backbones.classifier.source import input_source
from backbones.data.allowance import DECODING
from backbones.data.pipeline import Pipeline
from backbones.data.sets import open_data
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec
def memory(what):
    status = open("/proc/self/status").read()
    return int(status.split(what + ":")[1].split()[0]) * 1024
def peak(path):
    spec = InputSpec(size=32, resize=32)
    before = memory("VmRSS")
    if os.path.isdir(path):
        pipeline = Pipeline(open_data(path).splits["train"], spec, batch_size=8, workers=8)
        errors = [bad.reason for batch in pipeline.epoch() for bad in batch.bad]
    else:
        preparation = Preparation(find_protocol("single"), (geometry_of(spec),), workers=8)
        stream = preparation.stream(input_source(find_inputs([path])), 64)
        errors = [each.error for each in stream if each.error]
    print(os.path.basename(path), memory("VmHWM") - before, *errors, flush=True)
DECODING._total = DECODING._left = 50_000_000
for path in sys.argv[1:]:
    if not os.fork():
        peak(path)
        os._exit(0)
    os.wait()
"""


def on_its_side() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGBA", (4000, 3000), (90, 60, 30, 99))
    return encoded(image, "PNG", compress_level=1, exif=exif)


MIXES: dict[str, tuple[Callable[[], bytes], int, int]] = {
    "large files": (
        lambda: encoded(Image.new("RGB", (5000, 2300), (90, 60, 30)), "BMP"),
        4,
        290_000_000,
    ),
    "windows of wide images": (
        lambda: encoded(Image.new("RGB", (60_000, 32), (90, 60, 30)), "JPEG"),
        50,
        120_000_000,
    ),
    "turned when Pillow's image is gone": (on_its_side, 2, 140_000_000),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_memory_does_not_depend_on_how_many_large_images_there_are(tmp_path: Path) -> None:
    """The allowance (here 50 MB), what waits, one large file; each mix would take more at once."""
    for mix, (make, count, _) in MIXES.items():
        data = make()
        with tarfile.open(tmp_path / f"{mix}.tar", "w") as archive:
            for number in range(count):
                member = tarfile.TarInfo(f"{number}.jpg")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    for number in range(12):  # training goes another way
        (tmp_path / "train" / "ab"[number % 2]).mkdir(exist_ok=True, parents=True)
        data = encoded(Image.new("RGB", (4000, 2000), (90, 60, number)), "JPEG")
        (tmp_path / "train" / "ab"[number % 2] / f"{number}.jpg").write_bytes(data)
    places = [*(tmp_path / f"{mix}.tar" for mix in MIXES), tmp_path / "train"]
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, places)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    peaks = dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())
    limits = [limit for *_, limit in MIXES.values()] + [140_000_000]
    for place, limit in zip(places, limits, strict=True):
        assert int(peaks[place.name]) < limit, peaks


def test_a_webp_which_takes_more_memory_a_pixel_may_have_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 16 * 64 * 64)
    assert decode(encoded(photo(), "WEBP")).shape == (64, 64, 3)
    assert decode(encoded(photo(90), "PNG")).shape == (90, 90, 3)
    with pytest.raises(BadImage, match="are more than the"):
        decode(encoded(photo(65), "WEBP"))


def test_a_jpeg_of_several_scans_that_pillow_decodes_may_have_fewer_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two bytes a component and pixel are kept until the last scan, besides Pillow's four."""
    monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    monkeypatch.setattr(decoding, "MOST_BYTES", 10 * 64 * 64)
    for mode, side, allowed in (("RGB", 64, True), ("RGB", 65, False), ("CMYK", 64, False)):
        for progressive in (True, False):
            data = encoded(photo(side).convert(mode), "JPEG", progressive=progressive)
            if allowed or not progressive:
                assert decode(data).shape == (side, side, 3)
            else:
                with pytest.raises(BadImage, match="are more than the"):
                    decode(data)


def test_a_jpeg_without_markers_has_a_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_here", apart._Here())
    monkeypatch.setattr(apart, "LIMIT_S", 0.01)
    with pytest.raises(BadImage, match="takes longer than"):
        decode(b"\xff\xd8\xff" + bytes(8 * 2**20))
