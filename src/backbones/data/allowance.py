"""How much memory decoders may take together, however many threads decode.

One image of the largest size takes nearly a gigabyte while it is decoded; on a machine of sixteen
cores sixteen of them would take sixteen. So large images wait for each other; small ones are never
kept waiting, for many of them fit.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_USUAL = 200  # of which together fill the allowance: such images use the same memory again


class Allowance:
    """Bytes that threads share; who needs more than are left waits, in the order of asking.

    Args:
        total: bytes. Who needs more than this gets it when nobody else holds any.
    """

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._used = 0  # by large images, since freed memory was last given back
        self._next = threading.Lock()  # held by the one who waits for bytes: none is passed over
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, num_bytes: int) -> Iterator[None]:
        """Hold so many bytes inside the block. Blocks are not nested: one could wait for itself."""
        share = min(num_bytes, self._total)
        with self._next, self._changed:
            self._changed.wait_for(lambda: self._left >= share)
            self._left -= share
        try:
            yield
        finally:
            with self._changed:
                if share > self._total // _USUAL:
                    self._used += share
                if self._used >= self._total // 6:
                    self._used = 0
                    give_back()
                self._left += share
                self._changed.notify_all()


def give_back() -> None:
    """Have glibc return what was freed: it keeps hundreds of MB for each thread that decoded."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems' libraries
        ctypes.CDLL(None).malloc_trim(0)


MOST_BYTES = 945_000_000
"""What one image may take while it is decoded, besides its file: 105 megapixels at 9 bytes."""

DECODING = Allowance(MOST_BYTES)
"""And all images together, so that none takes more than it was given."""

READING = Allowance(300_000_000)
"""What files may take that wait to be decoded; taken before `DECODING`, never inside it."""

_LARGE_VALUES = 60_000_000


def give_back_after_large(num_values: int) -> None:
    """The same after one step of several over a large image, before the next takes as much."""
    if num_values >= _LARGE_VALUES:
        give_back()
