"""Decoding in a process of its own, for the formats whose decoders can take minutes.

An image that is small for its format, and any JPEG, PNG, GIF, BMP or WebP, is decoded where it is
asked for: that takes a few seconds at most (a JPEG of too many scans is refused unread). The
others get a worker, which is kept for the next one.
"""

from __future__ import annotations

import atexit
import struct
import sys
import threading
from typing import IO

import numpy as np

from backbones.data.pixels import Pixels
from backbones.data.worker import LIMIT_BYTES, LIMIT_S, Worker, limited, requests
from backbones.errors import BadImage

COMMAND = (sys.executable, "-m", "backbones.data.apart")

# Nanoseconds a pixel, at worst, where it is more than 30: measured with Pillow 13 on one core.
_SLOW_NS = {"QOI": 3000, "JPEG2000": 1000, "ICNS": 1000, "DDS": 1000, "PPM plain": 1000, "AVIF": 90}
_IN_PLACE_S = 3.0
_ASK = struct.Struct("<Qq")
_ANSWER = struct.Struct("<?QQ")


def takes_long(kind: str, width: int, height: int) -> bool:
    """Whether decoding may take longer than a few seconds.

    Args:
        kind: Pillow's name of the format, or "PPM plain".
        width, height: px.
    """
    return not _here.worker and _SLOW_NS.get(kind, 0) * 1e-9 * width * height > _IN_PLACE_S


def decode_apart(data: bytes, shorter_px: int | None) -> Pixels:
    """What `decode` gives, or BadImage where it takes too long or too much memory."""
    worker = _here.take()
    try:
        answer = worker.ask(_ASK.pack(len(data), shorter_px or 0) + data, _answer, LIMIT_S)
    except BaseException:  # asked to stop: nobody waits for the answer
        worker.kill()
        worker.close()
        raise
    if not answer:
        worker.close()
        raise BadImage(worker.why_ended)
    _here.give_back(worker)
    good, height, width = _ANSWER.unpack_from(answer)
    if not good:
        raise BadImage(answer[_ANSWER.size :].decode())
    return np.frombuffer(answer, np.uint8, offset=_ANSWER.size).reshape(height, width, 3).copy()


def _answer(stream: IO[bytes]) -> bytes:
    head = stream.read(_ANSWER.size)
    if len(head) < _ANSWER.size:
        return b""
    good, height, width = _ANSWER.unpack(head)
    wanted = height * width * 3 if good else height
    body = stream.read(wanted)
    return head + body if len(body) == wanted else b""


class _Here:
    """The workers of this process that wait for work; `worker` where it is one itself."""

    def __init__(self) -> None:
        self.worker = False
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def take(self) -> Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Worker(COMMAND)

    def give_back(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()


_here = _Here()


def is_worker() -> bool:
    """Whether this process is a worker, and decodes everything itself."""
    return _here.worker


def be_worker() -> None:
    """From here on this process decodes everything itself."""
    _here.worker = True


def _request(stream: IO[bytes]) -> bytes:
    head = stream.read(_ASK.size)
    if len(head) < _ASK.size:
        return b""
    return head + stream.read(_ASK.unpack(head)[0])


def _work() -> None:
    from backbones.data.decode import decode

    out = sys.stdout.buffer
    for request in requests(_request):
        _, shorter_px = _ASK.unpack_from(request)
        try:
            with limited():
                pixels = decode(request[_ASK.size :], shorter_px=shorter_px or None)
        except BadImage as error:
            reason = str(error).encode(errors="backslashreplace")
            if isinstance(error.__cause__, MemoryError):
                reason = f"decoding takes more than {LIMIT_BYTES // 2**30} GB of memory".encode()
            out.write(_ANSWER.pack(False, len(reason), 0) + reason)
        else:
            out.write(_ANSWER.pack(True, *pixels.shape[:2]))
            out.write(np.ascontiguousarray(pixels).data)
        out.flush()


if __name__ == "__main__":
    from backbones.data import apart  # the module that `decode` knows, which this one is not

    apart.be_worker()
    _work()
