"""What the rows of all families have in common, and how a row says where it leaves its paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from backbones.spec import Citation, Claim, Deviation

# Who does it -> (field, value) -> what is built, and what the paper has. A row whose field has the
# value deviates.
Deviations = Mapping[str, Mapping[tuple[str, object], str]]


@dataclass(frozen=True)
class Row:
    """One network of a family. Each family adds the fields in which its networks differ.

    Args:
        name: of the variant.
        summary: one-line description.
        claims: numbers that a test checks.
        citation: of the paper that this network comes from.
        num_classes: width of the output.
        in_channels: of the images.
        input_px: px, side of the images that the network is made for.
    """

    known_deviations: ClassVar[Deviations] = MappingProxyType({})

    name: str
    summary: str
    claims: tuple[Claim, ...] = ()
    citation: Citation = field(kw_only=True)
    num_classes: int = field(default=1000, kw_only=True)
    in_channels: int = field(default=3, kw_only=True)
    input_px: int = field(default=224, kw_only=True)

    @property
    def min_px(self) -> int:
        """px, the smallest height and width that leave a map of one pixel."""
        return 1

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Where this row differs from the paper, from its fields."""
        return tuple(
            Deviation(field, what, source)
            for source, chosen in self.known_deviations.items()
            for (field, value), what in chosen.items()
            if getattr(self, field) == value
        )


def counted(params: int, macs: int, source: str, **more: int) -> tuple[Claim, ...]:
    """Claims about one network that have one source.

    Args:
        params: trainable parameters.
        macs: multiply-accumulates at the row's own size, one image.
        source: who printed or computed them.
        more: other counts, by their names.

    Example:
        >>> [claim.name for claim in counted(7, 9, "by hand", connections=8)]
        ['params', 'connections', 'macs']
    """
    values = {"params": params, **more, "macs": macs}
    return tuple(Claim(name, value, source) for name, value in values.items())
