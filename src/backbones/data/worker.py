"""Processes that decode apart: stopped when they take too long or too much, gone with their parent.

A decoder that hangs or crashes cannot be stopped inside the process that called it. So whatever
may do so works in a plain program, which is asked through a pipe and answers through another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import IO

LIMIT_S = 20.0
"""Of one image. The largest that are decoded take a tenth of it in usual formats."""
LIMIT_BYTES = 2 * 2**30
"""Of a worker; the largest images take half of it."""
_LATER_S = 5.0


class Worker:
    """One process that is asked, from the parent's side.

    Args:
        command: the program; it finds this package where the parent did.
    """

    def __init__(self, command: Sequence[str]) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENBLAS_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff prints its complaints there
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal is the parent's to answer
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._to, self._from = process, process.stdin, process.stdout
        self.why_ended = ""

    def ask(self, request: bytes, answer: Callable[[IO[bytes]], bytes], limit_s: float) -> bytes:
        """Have something done.

        Args:
            request: what is written.
            answer: reads what comes back; nothing where the worker has ended.
            limit_s: how long it may take.

        Returns:
            The answer; empty where the worker died over it or was stopped, and `why_ended` is set.
        """
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(limit_s, end)
        watch.daemon = True
        watch.start()
        try:
            self._to.write(request)
            self._to.flush()
            found = answer(self._from)
        except OSError:  # it died before it read the question
            found = b""
        finally:
            watch.cancel()
        if not found:
            crash = f"the decoder crashed (exit status {self._process.wait()})"
            self.why_ended = f"decoding takes longer than {limit_s:g} s" if late.is_set() else crash
        return found

    def kill(self) -> None:
        """End it in the middle of its work."""
        self._process.kill()

    def close(self) -> None:
        """End it when its work is done."""
        with contextlib.suppress(OSError):  # a dead worker's pipe
            self._to.close()
        self._from.close()
        self._process.wait()


# --- the worker's side --------------------------------------------------------------------------


def requests(read: Callable[[IO[bytes]], bytes]) -> Iterator[bytes]:
    """What the parent asks; the process ends with it, also in the middle of an answer.

    Args:
        read: reads one request; nothing at the end.
    """
    _limit_memory()
    asked: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        while request := read(sys.stdin.buffer):
            asked.put(request)
        os._exit(0)  # the other end is closed: the parent has ended, or needs no more

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield asked.get()


@contextmanager
def limited(limit_s: float = LIMIT_S) -> Iterator[None]:
    """End this process where the block takes much longer, whatever becomes of the parent's watch.

    The kernel does it: a decoder that never returns to Python cannot hinder it.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, limit_s + _LATER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(hard, LIMIT_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
