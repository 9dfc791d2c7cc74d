"""What functions that take a while call, to say how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all: images, steps, trials."""

Downloading = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are here, and the bytes in all or None."""

Staged = Callable[[str, int, int], None]
"""Called with the stage of the work in words, what is done of it, and what there is in all."""

ByteProgress = Callable[[int, int | None], None]
"""Called with the bytes of one file that are here, and the total or None."""


@dataclass(frozen=True)
class Callbacks:
    """What to call while something is prepared.

    Args:
        progress: as images are decoded once for the cache.
        downloading: as a named set or weights are fetched.
    """

    progress: Progress | None = None
    downloading: Downloading | None = None


def unseen(stage: str, done: int, total: int) -> None:
    """A `Staged` for whoever does not want to know."""
