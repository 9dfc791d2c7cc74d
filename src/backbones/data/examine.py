"""Look at many image files at once, in processes of their own.

A decoder that crashes or hangs takes down its own worker, which is replaced; the file that it was
looking at is reported, and all others are looked at. Workers read paths and write one JSON line
each; they are plain programs, so that a caller needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.data.apart import be_worker
from backbones.data.decode import decode, image_facts
from backbones.data.files import read_bytes
from backbones.data.source import EncodedImages
from backbones.data.worker import LIMIT_S, Worker, limited, requests
from backbones.errors import BadImage

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
        blank: whether all pixels have one colour.
        brightest: the largest value of any pixel and channel, 0 to 255.
    """

    reason: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    brightness: int = 0
    thumbnail: str = ""
    blank: bool = False
    brightest: int = 255

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
    return examine_bytes(data)


def examine_bytes(data: bytes) -> Examined:
    """Decode what a file holds and note what can be said about it; never raises `BadImage`."""
    sha256 = hashlib.sha256(data).hexdigest()
    kind, mode, width, height = "", "", 0, 0
    try:
        kind, mode, width, height = image_facts(data)
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
        bool((pixels == pixels[0, 0]).all()), int(pixels.max()),
    )  # fmt: skip


def examine_records(
    images: EncodedImages,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Examined]:
    """Examine images that are no files, in threads; `progress` as of `examine_all`."""
    images.expect(np.arange(len(images)))

    def look(index: int) -> Examined:
        try:
            return examine_bytes(images.data(index))
        except BadImage as error:
            return Examined(reason=str(error))

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for index, found in enumerate(pool.map(look, range(len(images)))):
            yield found
            if progress is not None:
                progress(index + 1, len(images))


def _difference_hash(grey: Image.Image) -> int:
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def examine_all(
    paths: Sequence[Path],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = LIMIT_S,
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
    shift = _Shift(paths, timeout_s)
    threads = [threading.Thread(target=shift.serve, daemon=True) for _ in range(wanted)]
    for thread in threads:
        thread.start()
    try:
        for count in range(1, len(paths) + 1):
            answer = shift.done.get()
            if isinstance(answer, BaseException):
                raise answer
            results[answer[0]] = answer[1]
            if progress is not None:
                progress(count, len(paths))
    finally:
        shift.end()
        for thread in threads:
            thread.join()
    return results


class _Shift:
    """What the threads share, each of which keeps one worker process busy.

    Args:
        paths: to examine.
        limit_s: how long one file may take.
    """

    def __init__(self, paths: Sequence[Path], limit_s: float) -> None:
        self._paths, self._limit_s = paths, limit_s
        self._todo: SimpleQueue[int] = SimpleQueue()
        for i in range(len(paths)):
            self._todo.put(i)
        self.done: SimpleQueue[tuple[int, Examined] | BaseException] = SimpleQueue()
        self._stop = threading.Event()
        self._busy: dict[int, Worker] = {}

    def end(self) -> None:
        """Wait for no file any more."""
        self._stop.set()
        for worker in list(self._busy.values()):
            worker.kill()

    def serve(self) -> None:
        """Ask a worker until nothing is left to do; a new one where it ended."""
        me = threading.get_ident()
        try:
            while not self._stop.is_set():
                try:
                    index = self._todo.get_nowait()
                except Empty:
                    return
                worker = self._busy.get(me) or self._busy.setdefault(me, Worker(WORKER_COMMAND))
                result = _ask(worker, self._paths[index], self._limit_s)
                if worker.why_ended:
                    self._busy.pop(me).close()
                self.done.put((index, result))
        except BaseException as error:
            self.done.put(error)
        finally:
            if me in self._busy:
                self._busy.pop(me).close()


def _ask(worker: Worker, path: Path, timeout_s: float) -> Examined:
    """Have one file examined."""
    question = json.dumps(str(path.absolute())).encode("ascii") + b"\n"
    line = worker.ask(question, lambda stream: stream.readline(), timeout_s)
    return Examined(**json.loads(line)) if line else Examined(reason=worker.why_ended)


def _work() -> None:
    be_worker()
    for line in requests(lambda stream: stream.readline()):
        with limited():
            answer = json.dumps(asdict(examine(Path(json.loads(line)))))
        sys.stdout.buffer.write(answer.encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()
