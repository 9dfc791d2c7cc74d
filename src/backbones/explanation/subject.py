"""A network that can be shown images, of this package or not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from backbones.nn.evaluating import evaluating
from backbones.spec import InputSpec


@dataclass(frozen=True)
class Subject:
    """A network, and how it wants its images.

    Args:
        network: any whose answer is logits (N, classes).
        spec: how an image becomes what it sees.
        classes: names, in the order of the outputs; their numbers where there are none.
    """

    network: nn.Module
    spec: InputSpec
    classes: tuple[str, ...] = ()

    def named(self) -> tuple[str, ...]:
        """The names, or else the numbers of the outputs, which one blank image tells."""
        if self.classes:
            return self.classes
        blank = torch.zeros(1, self.spec.channels, self.spec.size, self.spec.size)
        with evaluating(self.network) as scored:
            return tuple(map(str, range(scored(blank).shape[1])))
