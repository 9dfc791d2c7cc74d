"""Look at many picture files at once, in processes of their own.

A decoder that crashes or hangs takes down its own worker, which is replaced; the file that it was
looking at is reported, and all others are looked at. Workers are started as plain programs that
read paths and write one JSON line each, so that a caller needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.data.decode import decode, picture_facts
from backbones.data.files import read_bytes
from backbones.errors import BadImage

TIMEOUT_S = 120.0
WORKER_COMMAND = (sys.executable, "-m", "backbones.data.examine")
THUMBNAIL_PX = 16
_DECODE_PX = 64


@dataclass(frozen=True)
class Examined:
    """What one look at a file tells.

    Args:
        reason: why it cannot be decoded; empty where it can.
        format: as its content says: "JPEG", "PNG"; empty where that cannot be told.
        mode: Pillow's pixel mode: "RGB", "L", "CMYK".
        width: upright, in pixels; 0 where it is not known.
        height: likewise.
        sha256: of the file's bytes, in hexadecimal.
        brightness: 64-bit difference hash: whether each of 8 x 8 cells is darker than its
            neighbour on the right.
        thumbnail: 16 x 16 grey values in base64.
    """

    reason: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    brightness: int = 0
    thumbnail: str = ""

    def grey(self) -> npt.NDArray[np.uint8]:
        """The thumbnail as uint8 (16, 16)."""
        flat = np.frombuffer(base64.b64decode(self.thumbnail), dtype=np.uint8)
        return flat.reshape(THUMBNAIL_PX, THUMBNAIL_PX)


def examine(path: Path) -> Examined:
    """Decode one file and note what can be said about it; never raises `BadImage`."""
    try:
        data = read_bytes(path)
    except BadImage as error:
        return Examined(reason=str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    kind, mode, width, height = "", "", 0, 0
    try:
        kind, mode, width, height = picture_facts(data)
        pixels = decode(data, shorter_px=_DECODE_PX)
    except BadImage as error:
        return Examined(str(error), kind, mode, width, height, sha256)
    if (pixels.shape[1] > pixels.shape[0]) != (width > height):
        width, height = height, width  # it was stored on its side
    grey = Image.fromarray(pixels).convert("L")
    thumbnail = grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return Examined(
        "", kind, mode, width, height, sha256,
        _difference_hash(grey), base64.b64encode(thumbnail.tobytes()).decode("ascii"),
    )  # fmt: skip


def _difference_hash(grey: Image.Image) -> int:
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def examine_all(
    paths: Sequence[Path],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[Examined]:
    """Examine files in parallel.

    Args:
        paths: the files.
        workers: how many processes; all cores by default, fewer for few files; 0 does the work
            in this process, where a crash is not survived.
        progress: called with (done, total) after each file, on the calling thread.
        timeout_s: how long one file may take before its worker is stopped.

    Returns:
        One record a path, in their order.
    """
    results: list[Examined] = [Examined()] * len(paths)
    wanted = os.cpu_count() or 1 if workers is None else workers
    wanted = min(wanted, -(-len(paths) // 256))  # a worker starts in the time of some 500 files
    if workers == 0 or not sys.executable:
        for i, path in enumerate(paths):
            results[i] = examine(path)
            if progress is not None:
                progress(i + 1, len(paths))
        return results
    todo: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, Examined] | BaseException] = SimpleQueue()
    for i in range(len(paths)):
        todo.put(i)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_serve, args=(paths, todo, done, stop, timeout_s), daemon=True)
        for _ in range(wanted)
    ]
    for thread in threads:
        thread.start()
    try:
        for count in range(1, len(paths) + 1):
            answer = done.get()
            if isinstance(answer, BaseException):
                raise answer
            results[answer[0]] = answer[1]
            if progress is not None:
                progress(count, len(paths))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return results


def _serve(
    paths: Sequence[Path],
    todo: SimpleQueue[int],
    done: SimpleQueue[tuple[int, Examined] | BaseException],
    stop: threading.Event,
    timeout_s: float,
) -> None:
    """Keep one worker process busy until nothing is left to do."""
    worker: _Worker | None = None
    try:
        while not stop.is_set():
            try:
                index = todo.get_nowait()
            except Empty:
                return
            worker = worker or _Worker()
            result = worker.ask(paths[index], timeout_s)
            if worker.ended:
                worker.close()
                worker = None
            done.put((index, result))
    except BaseException as error:
        done.put(error)
    finally:
        if worker is not None:
            worker.close()


class _Worker:
    """One process that examines the files it is told."""

    def __init__(self) -> None:
        # the child finds this package where the parent did, however the parent was started
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            WORKER_COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff prints its complaints there
            env=environment,
        )
        self.ended = False

    def ask(self, path: Path, timeout_s: float) -> Examined:
        """Have one file examined; a worker that dies over it has `ended` set."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        watch = threading.Timer(timeout_s, end)
        watch.daemon = True
        watch.start()
        try:
            self.process.stdin.write(json.dumps(str(path.absolute())).encode("ascii") + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:  # it died before it read the question
            line = b""
        finally:
            watch.cancel()
        if line:
            return Examined(**json.loads(line))
        self.ended = True
        if late.is_set():
            return Examined(reason=f"decoding takes longer than {timeout_s:g} s")
        return Examined(reason=f"the decoder crashed (exit status {self.process.wait()})")

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):  # a dead worker's pipe
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def _work() -> None:
    for line in sys.stdin.buffer:
        answer = json.dumps(asdict(examine(Path(json.loads(line)))))
        sys.stdout.buffer.write(answer.encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()
