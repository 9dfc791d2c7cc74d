"""Being asked to stop by Ctrl-C, SIGTERM or SIGHUP, and stopping within a second.

The command line answers signals from its first moment on: the main thread gets `Asked`, which
closes what is open and removes half files. Where it does not come to that in time, because a
decoder, a network folder or one long step holds it, a thread that waits beside it ends the
process. What must not be cut short, writing a checkpoint, is `finishing`; a second signal cuts
that short too. In a program that uses the package as a library nothing is ended from outside.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

GRACE_S = 0.7
ECHO_S = 0.25
"""`timeout`, and a terminal with a wrapper in between, send one wish twice."""

Handler = Callable[[int, FrameType | None], object] | int | None


class Asked(KeyboardInterrupt):
    """Somebody asked the process to stop; raised wherever the main thread is."""


def exit_code(number: int) -> int:
    """What shells say of a program that a signal ended: 130, 143, 129."""
    return 128 + number


def is_stop(code: int) -> bool:
    """Whether a program that ends with this code was asked to."""
    return code in map(exit_code, _numbers())


def name_of(number: int) -> str:
    """What messages call a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def handlers() -> dict[int, Handler]:
    """The signals that ask, and who answers them now; not those that `nohup` and others shut off.

    Ctrl-C counts always: shells shut it off for all that a script starts in the background.
    """
    found: dict[int, Handler] = {number: signal.getsignal(number) for number in _numbers()}
    return {
        number: handler
        for number, handler in found.items()
        if handler != signal.SIG_IGN or number == signal.SIGINT
    }


def _numbers() -> list[int]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


class _State:
    """What the watching thread has to know."""

    def __init__(self) -> None:
        self.answering = False
        self.asked: int | None = None
        self.told = False
        self.finishing = 0
        self.last_words: Callable[[], str] = lambda: "interrupted"
        self.may_tell: Callable[[], bool] = lambda: True


_state = _State()


def answer() -> None:
    """From here on signals end this process; for the command line, on its main thread."""
    _state.answering = True
    for number in handlers():
        signal.signal(number, _raise)
    if os.name != "posix":
        return
    here, there = os.pipe()
    os.set_blocking(there, False)
    signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(here,), name="signals", daemon=True).start()


def asked() -> int | None:
    """The signal that `answer` got, where the process should be ending."""
    return _state.asked


def told() -> bool:
    """Whether the end has been told; it is said once."""
    return _state.told


def tell(text: str) -> None:
    """Say on standard error why the process ends, in one line."""
    _state.told = True
    if not _state.may_tell():
        return
    with suppress(OSError):  # the terminal has gone, where it was SIGHUP
        sys.stderr.write(" ".join(text.split()) + "\n")
        sys.stderr.flush()


def tell_if(may_tell: Callable[[], bool]) -> None:
    """Ask before the end is told: of several processes that end together, one tells it."""
    _state.may_tell = may_tell


def leave(code: int) -> NoReturn:
    """End, without the seconds that threads and libraries take to close, where `answer` was called.

    What had to be closed was closed on the way here.
    """
    if not _state.answering:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def finishing() -> Iterator[None]:
    """Inside the block the process is ended by a second signal only."""
    _state.finishing += 1
    try:
        yield
    finally:
        _state.finishing -= 1


def heard() -> None:
    """Whoever catches `Asked` ends the work by itself; the process is ended by a second signal."""
    _state.finishing += 1


def say_at_the_end(last_words: Callable[[], str]) -> None:
    """What is said where the process is ended from outside; asked for at that moment."""
    _state.last_words = last_words


def _raise(number: int, _: FrameType | None) -> None:
    if _state.asked is None:  # what is being closed is not disturbed again
        _state.asked = number
        raise Asked


def _watch(here: int) -> None:
    """Wait for a signal; then give the main thread its time, and end the process."""
    wanted = handlers()
    while (number := _next(here, None)) not in wanted:
        pass
    assert number is not None
    first = idle = time.monotonic()
    while time.monotonic() - idle < GRACE_S:
        if _state.finishing:
            idle = time.monotonic()
        again = _next(here, 0.05)
        if again in wanted and time.monotonic() - first > ECHO_S:
            break
    _end(number)


def _next(here: int, wait_s: float | None) -> int | None:
    ready, _, _ = select.select([here], [], [], wait_s)
    return os.read(here, 1)[0] if ready else None


def _end(number: int) -> None:
    if not _state.told and _state.may_tell():
        # straight to the descriptor: the main thread may hold the stream's lock
        back = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides the cursor
        text = " ".join(_state.last_words().split())
        with suppress(OSError):
            os.write(2, f"{back}{text}\n".encode(errors="backslashreplace"))
    os._exit(exit_code(number))
