"""Networks side by side, as figures alone."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal

from backbones.weights.table import Published

Accuracy = Literal["torchvision", "paper", "best"]


@dataclass(frozen=True)
class MeasuredSpeed:
    """How fast a network is on this machine.

    Args:
        batch: images in a pass.
        rounds_s: seconds of a forward pass, the median of each round.
    """

    batch: int
    rounds_s: tuple[float, ...]

    @property
    def pass_s(self) -> float:
        """Seconds of a forward pass."""
        return median(self.rounds_s)

    @property
    def images_per_s(self) -> float:
        return self.batch / self.pass_s

    @property
    def spread(self) -> float:
        """The slowest round by the fastest: 1 on a quiet machine."""
        return max(self.rounds_s) / min(self.rounds_s)


@dataclass(frozen=True)
class Compared:
    """One network of a comparison.

    Args:
        name: that it was asked for by.
        family: what people call it; empty for networks of others.
        year: of the paper.
        params: all parameters.
        macs: multiply-accumulates, for the whole batch.
        input: shape of one image.
        num_layers: layers with weights on the longest way through, as papers count; see `depth`.
        field: px (height, width) of the largest receptive field in the last maps; None where it
            is not known.
        sees_all: every unit of the last maps sees the same, as behind squeeze-and-excitation.
        activation_bytes: of all layers' outputs together, for the whole batch.
        published: the accuracy that somebody printed.
        weights: id of the weights that it was printed for; None for a paper's own.
        labels: what is told apart: "imagenet", "cifar10" or "mnist".
        measured: None where that was not asked for.
        elsewhere: another choice of accuracy has one.
    """

    name: str
    family: str
    year: int | None
    params: int
    macs: int
    input: tuple[int, ...]
    num_layers: int
    field: tuple[float, ...] | None
    sees_all: bool
    activation_bytes: int
    published: Published | None = None
    weights: str | None = None
    labels: str | None = None
    measured: MeasuredSpeed | None = None
    elsewhere: bool = False

    @property
    def accuracy_is_for_this_input(self) -> bool:
        """The printed accuracy is for images of the size that the costs are for."""
        return self.published is not None and self.published.size_px == self.input[-1]


@dataclass(frozen=True)
class ComparedNetworks:
    """Networks side by side.

    Args:
        rows: in the order that they were asked for.
        batch: images; MACs, activations and measured times are for all of them.
        accuracy: whose; see `backbones.compare`.
        device: that was measured on; empty where nothing was measured.
        threads: that PyTorch computed with.
        precision: of its arithmetic.
        engine: that computed.
    """

    rows: tuple[Compared, ...]
    batch: int
    accuracy: Accuracy = "torchvision"
    device: str = ""
    threads: int = 0
    precision: str = ""
    engine: str = ""
