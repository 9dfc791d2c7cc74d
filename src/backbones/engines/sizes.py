"""Building programs, each for one size of image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

SIZES_KEPT = 4


class BySize:
    """The programs of the last few sizes; one more size takes the place of the oldest."""

    def __init__(self) -> None:
        self._programs: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._programs)

    def program_for(self, images: Tensor, make: Callable[[], Any]) -> Any:
        """The program for images (N, C, H, W) of any number, made where there is none yet."""
        size = tuple(images.shape[1:])
        if size not in self._programs:
            while len(self._programs) >= SIZES_KEPT:
                self._programs.popitem(last=False)
            self._programs[size] = make()
        self._programs.move_to_end(size)
        return self._programs[size]


@contextmanager
def own_error(network: nn.Module, images: Tensor) -> Iterator[None]:
    """Where a network can't be recorded, what it says itself to these images, if it does.

    Args:
        network: in evaluation mode.
        images: (N, C, H, W).
    """
    try:
        yield
    except Exception:
        network(images[:1])
        raise
