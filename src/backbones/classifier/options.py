"""How networks are shown images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from backbones.classifier.assembly import Member
from backbones.compute import Compute, choose_compute
from backbones.engines import settled
from backbones.errors import WrongUse
from backbones.protocols.row import Protocol
from backbones.protocols.table import find_protocol

_BATCH_PIXELS = 32 * 224**2


@dataclass(frozen=True)
class InferenceOptions:
    """How networks are shown images.

    Args:
        protocol: the row that is followed.
        batch_size: images at a time, of the size that the network sees; larger views are fewer.
            None takes `default_batch`.
        compute: device, precision and threads.
        workers: threads that decode; one a core where None, none where 0.
        kept_px: hand the images on too, with a longer side of at most this; None for not.
    """

    protocol: Protocol = field(default_factory=lambda: find_protocol("single"))
    batch_size: int | None = None
    compute: Compute = field(default_factory=choose_compute)
    workers: int | None = None
    kept_px: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise WrongUse(f"batch_size is {self.batch_size}, expected at least 1")

    def settled(self, members: Sequence[Member], num_images: int | None = None) -> InferenceOptions:
        """With the engine chosen where it was left open, for so many images or no end of them."""
        size = max(each.spec.size for each in members)
        return replace(self, compute=settled(self.compute, size, num_images))

    def batch_of(self, size: int) -> int:
        """Images at a time for a network that sees squares of a side of so many px."""
        return self.batch_size or default_batch(size)


def default_batch(size: int) -> int:
    """As many images as have the pixels of 32 at 224 px, between 16 and 512.

    One rule for every verb, so that the same images give the same answers to the last bit.

    Args:
        size: side of the square that the network sees, px.

    Example:
        >>> default_batch(224), default_batch(28)
        (32, 512)
    """
    return max(16, min(512, _BATCH_PIXELS // size**2))
