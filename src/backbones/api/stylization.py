"""Give one image the style of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from torch import nn

from backbones.compute import ComputeChoice, choose_compute
from backbones.data.pixels import Pixels
from backbones.errors import WrongUse
from backbones.features.style import StyleSettings, with_layers
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle
from backbones.workflows.stylization import (
    StyleProgress,
    Stylized,
    read_scaled,
    transfer,
    weights_for,
)

__all__ = ["StyleSettings", "Stylized", "stylize"]


def stylize(
    content: str | Path | Pixels,
    style: str | Path | Pixels,
    network: str | Path | Bundle | nn.Module | None = None,
    *,
    settings: StyleSettings | None = None,
    size_px: int = 384,
    spec: InputSpec | None = None,
    progress: StyleProgress | None = None,
    **compute: Unpack[ComputeChoice],
) -> Stylized:
    """Give one image the style of another, by changing its pixels until a network sees both.

    An interrupt (Ctrl-C) ends it early and keeps the best image so far.

    Args:
        content: an image file, or RGB uint8 (H, W, 3).
        style: likewise.
        network: a bundle, its path, a run folder, the id of weights, or a variant with weights on
            this machine; any module, for which `settings` then names the layers; None for the
            best weights on this machine.
        settings: see there.
        size_px: px, longer side of the result, and of the style's image.
        spec: of a module: how it wants its images; ImageNet's usual where None.
        device, precision, threads: as of `choose_compute`.
        progress: called after every step.

    Raises:
        NotFound: no such network or layer, or no weights on this machine.
        BadImage: an image cannot be read.
        WrongUse: a size below 32, settings that cannot be, or a network that is too large for it.
    """
    settings = settings or StyleSettings()
    if size_px < 32:
        raise WrongUse(f"size_px is {size_px}, expected at least 32")
    chosen = choose_compute(**compute)
    wanted, painted = read_scaled(content, size_px), read_scaled(style, size_px)
    called = type(network).__name__
    if not isinstance(network, nn.Module):
        named = weights_for(network)
        bundle = open_bundle(named)
        called = bundle.variant if isinstance(named, Bundle) else str(named)
        network, spec = bundle.build(), bundle.spec
    done = transfer(
        network,
        wanted,
        painted,
        with_layers(network, settings),
        spec=spec,
        compute=chosen,
        progress=progress,
    )
    return replace(done, network=called)
