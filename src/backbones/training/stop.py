"""A training that is asked to stop finishes its step and saves; if that takes too long, it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

from backbones import signals

Given = ParamSpec("Given")
Result = TypeVar("Result")


class StopRequest:
    """Whether somebody asked, and how.

    Args:
        kept: what is on the disk, and how to go on from it; to be set again after every save.
        alone: no other process has to stop at the same step.
    """

    def __init__(self, kept: str = "", *, alone: bool = True) -> None:
        self.kept = kept
        self.number: int | None = None
        self._alone = alone
        self._agreed: int | None = None
        self._since = 0.0
        self._giving_up = False

    @property
    def reason(self) -> str | None:
        """What asked: "Ctrl-C" or the signal's name; None until then, and until all know it."""
        return None if self.asked is None else signals.name_of(self.asked)

    @property
    def asked(self) -> int | None:
        """The signal to stop for."""
        return self.number if self._alone else self._agreed

    def agree(self, number: int) -> None:
        """What all processes know by now: the signal that one of them got, or 0."""
        self._agreed = number or None

    def giving_up(self, work: Callable[Given, Result]) -> Callable[Given, Result]:
        """The same work, which is not waited for because a resume does it again.

        Calling it raises `Asked` where somebody asks, before or while it is done.
        """

        def given_up(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            self._giving_up = True
            try:
                if self.number is not None:
                    raise signals.Asked
                return work(*args, **kwargs)
            finally:
                self._giving_up = False

        return given_up

    def last_words(self) -> str:
        """What is said where the step does not end in time."""
        assert self.number is not None
        return f"stopped by {signals.name_of(self.number)} in the middle of a step; {self.kept}"

    def note(self, number: int) -> bool:
        """Take note of a signal; False for one that repeats the wish a while later."""
        if self.number is not None:
            return time.monotonic() - self._since < signals.ECHO_S
        self.number, self._since = number, time.monotonic()
        if self._giving_up:
            raise signals.Asked
        return True


@contextmanager
def listen_for_stop(request: StopRequest) -> Iterator[StopRequest]:
    """Take note of Ctrl-C, SIGTERM and SIGHUP inside the block; a second one acts at once.

    Signals reach the main thread only; in another one the block listens to nothing. In the
    command line (see `backbones.signals`) a step that does not end soon ends with the process.

    Args:
        request: takes the note.
    """
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signals.handlers()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def note(number: int, _: FrameType | None) -> None:
        if not request.note(number):
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, note)
    signals.say_at_the_end(request.last_words)
    try:
        yield request
    finally:
        restore()
        if request.number is None:
            signals.say_at_the_end(lambda: "interrupted")
