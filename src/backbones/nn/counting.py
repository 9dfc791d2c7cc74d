"""What a layer of our own must say about itself, so that tracing can count it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class CountsItself(Protocol):
    """A layer whose cost does not follow from being a convolution or fully connected."""

    def macs(self, output: Tensor) -> int:
        """Multiply-accumulates of convolutions and fully connected layers for this output."""
        ...

    def connections(self, output: Tensor) -> int:
        """Links into all units of the output, biases counted, as LeCun et al. count them."""
        ...
