"""Being asked to stop: SIGTERM and Ctrl-C become a wish that is granted after the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked, and how."""

    def __init__(self) -> None:
        self.reason: str | None = None


@contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """Take note of SIGTERM and Ctrl-C inside the block; a second one acts at once.

    Signals reach the main thread only; in another one the block listens to nothing.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def note(number: int, _: FrameType | None) -> None:
        request.reason = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
