"""The one check that every network makes on its input."""

from __future__ import annotations

from torch import Tensor

from backbones.errors import WrongUse


def check_images(
    x: Tensor, name: str, in_channels: int, min_px: int, max_px: int | None = None
) -> None:
    """Refuse a batch that the network cannot see, in words instead of a shape error deep inside.

    Args:
        x: the batch, (N, C, H, W).
        name: of the variant, for the message.
        in_channels: the C that the network was built for.
        min_px: px, the smallest height and width.
        max_px: px, the largest; None where any larger image will do.

    Raises:
        WrongUse: with the shape, what was expected, and what to do.
    """
    if x.dim() != 4:
        raise WrongUse(
            f"{name} got a tensor of shape {tuple(x.shape)}, expected a batch"
            f" (N, {in_channels}, H, W); add the batch dimension with x[None]"
        )
    if x.shape[1] != in_channels:
        raise WrongUse(
            f"{name} got images with {x.shape[1]} channels, but was built for"
            f" {in_channels}; build it with in_channels={x.shape[1]} or convert the images"
        )
    smallest, largest = min(x.shape[2:]), max(x.shape[2:])
    if smallest < min_px or (max_px is not None and largest > max_px):
        wanted = f"at least {min_px}x{min_px}" if max_px is None else f"{min_px}x{min_px}"
        raise WrongUse(
            f"{name} got images of {x.shape[2]}x{x.shape[3]} px, expected {wanted};"
            " resize or pad them"
        )
