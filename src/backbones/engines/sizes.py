"""Programs that are built for one size of image each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

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
