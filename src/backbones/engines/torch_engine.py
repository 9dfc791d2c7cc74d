"""PyTorch, operation by operation."""

from __future__ import annotations

from torch import Tensor, nn

from backbones.compute import Compute
from backbones.nn.evaluating import evaluating


class Program:
    """A network as it is; see `Engine.build`."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    def __call__(self, network: nn.Module, images: Tensor) -> Tensor:
        with self._compute.running(), evaluating(network, self._compute.precision) as score:
            return score(images)
