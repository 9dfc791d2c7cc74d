"""An exported network in a runtime, ready to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


class Session(Protocol):
    """A runtime that has read a file."""

    @property
    def runtime(self) -> str:
        """Its name and version, as reports say it."""

    def run(self, images: Array) -> dict[str, Array]:
        """The outputs of a batch, by name."""

    def values(self, images: Array, names: Sequence[str]) -> dict[str, Array]:
        """Values in the middle of the graph, by name; those that the runtime has left out are
        missing."""
