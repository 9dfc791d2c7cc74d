"""Make networks, look at them, find trained ones."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from backbones.errors import NotFound, WrongUse
from backbones.models import Row, build
from backbones.report.cards import BundleCard, NetworkCard, network_card
from backbones.scaling import largest_row
from backbones.weights.adapt import load_adapted
from backbones.weights.bundle import Bundle, read_bundle, read_bundle_header
from backbones.weights.files import read_state

__all__ = ["Bundle", "create", "find_bundle", "read_bundle", "show"]

logger = logging.getLogger("backbones")


def create(
    name: str | Row,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    max_macs: float | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Make a network.

    Args:
        name: of a variant, such as "vgg16_bn"; `backbones list` shows them. Or a row: a variant's
            with fields changed by `dataclasses.replace`, or one of `backbones.scaling`.
        num_classes: width of the output; the variant's own where None.
        in_channels: of the pictures; the variant's own where None.
        max_macs: a budget of multiply-accumulates a picture: the named EfficientNet is scaled, up
            or down, to the largest that stays within it at its own input size (`row.input_px`).
        weights: a bundle, a run folder, or a weight file (.safetensors, .pth). Where its head or
            first convolution has another width, all other weights are kept, and what changed is
            logged as a warning of the logger "backbones".
        seed: of fresh weights; torch's global generator where None.

    Raises:
        NotFound: no such variant or file.
        WrongUse: a budget for a row, or out of reach; a number of classes or channels below 1.
        BadWeights: the file cannot be trusted or does not fit.

    Example:
        >>> create("lenet5", num_classes=47).num_classes
        47
        >>> create("efficientnet_b0", max_macs=100e6).row.input_px
        144
    """
    if max_macs is not None:
        if not isinstance(name, str):
            raise WrongUse(
                f"max_macs scales a variant, but got the row {name.name}; name its variant"
            )
        name = largest_row(max_macs, name, num_classes, in_channels)
    network = build(name, num_classes, in_channels, seed)
    if weights is not None:
        path = find_bundle(weights)
        for change in load_adapted(network, read_state(path)):
            logger.warning("%s: %s", path, change)
    return network


def show(name: str | Path) -> NetworkCard | BundleCard:
    """What a network is, layer by layer, or what a bundle holds.

    Args:
        name: of a variant, or the path of a bundle or run folder.

    Raises:
        NotFound: neither a variant nor a file.
        BadWeights: the file is not a bundle.

    Example:
        >>> show("vgg16").facts.params
        138357544
    """
    path = Path(name)
    if path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1:
        path = find_bundle(path)
        return BundleCard(str(path), path.stat().st_size, read_bundle_header(path))
    return network_card(str(name))


def find_bundle(where: str | Path) -> Path:
    """A weight file: the path itself, or a run folder's best (else last) bundle.

    Raises:
        NotFound: there is no such file, or the folder holds no bundle.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        for name in ("best.safetensors", "last.safetensors"):
            if (path / name).is_file():
                return path / name
        raise NotFound(
            f"{path} holds no bundle (best.safetensors or last.safetensors); expected a run"
            " folder, or the path of a bundle"
        )
    if not path.is_file():
        raise NotFound(
            f"there is no bundle {path}; expected a run folder or a .safetensors file,"
            " as `backbones train` leaves them"
        )
    return path
