"""What a layer of our own must say about itself, so that its connections can be counted."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class CountsConnections(Protocol):
    """A layer whose links do not follow from being a convolution or fully connected."""

    def connections(self, output: tuple[int, ...]) -> int:
        """Links into all units of one image, biases counted, as LeCun et al. count.

        Args:
            output: the output's shape, with the batch.
        """
        ...
