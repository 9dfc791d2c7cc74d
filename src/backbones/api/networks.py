"""Make networks, look at them, find trained ones."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from backbones.errors import WrongUse
from backbones.labels import Lang, shown
from backbones.models import Row, build
from backbones.progress import Downloading
from backbones.report.cards import BundleCard, WeightsCard
from backbones.report.network_card import NetworkCard, network_card
from backbones.scaling import largest_row
from backbones.weights import store
from backbones.weights.bundle import Bundle, read_bundle
from backbones.weights.opening import find_bundle, header_of, is_id, load_weights

__all__ = ["Bundle", "create", "read_bundle", "show"]


def create(
    name: str | Row,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    max_macs: float | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    downloading: Downloading | None = None,
) -> nn.Module:
    """Make a network.

    Args:
        name: of a variant, such as "vgg16_bn"; `backbones list` shows them. Or a row: a variant's
            with fields changed by `dataclasses.replace`, or one of `backbones.scaling`.
        num_classes: width of the output; the variant's own where None.
        in_channels: of the images; the variant's own where None.
        max_macs: a budget of multiply-accumulates an image: the named EfficientNet is scaled, up
            or down, to the largest that stays within it at its own input size (`row.input_px`).
        weights: an id such as "vgg16.tv_in1k" (`backbones weights list`; fetched once), a bundle,
            a run folder, or a weight file (.safetensors, .npz, .pth). Where its head or first
            convolution has another width, all other weights are kept, and what changed is logged
            as a warning of the logger "backbones".
        seed: of fresh weights; torch's global generator where None.
        downloading: download progress callback.

    Raises:
        NotFound: no such variant, weights or file.
        DownloadFailed: the weights cannot be fetched.
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
        load_weights(network, weights, downloading=downloading)
    return network


def show(name: str | Path, *, lang: Lang = "en") -> NetworkCard | WeightsCard | BundleCard:
    """What a network is, on one card, or what is known of weights, or what a bundle holds.

    Args:
        name: of a variant, the id of weights, or the path of a bundle, a run folder, or a file that
            its hash tells to be published weights.
        lang: of a bundle's class names: "en", "zh" or "both".

    Raises:
        NotFound: neither a variant nor weights nor a file.
        WrongUse: no such language.
        BadWeights: the file is not a bundle.

    Example:
        >>> show("vgg16").facts.params
        138357544
    """
    path = Path(name)
    if not (is_id(name) or path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1):
        return network_card(str(name))
    known = header_of(name)
    if isinstance(known, Bundle):
        path = find_bundle(path)
        return BundleCard(str(path), path.stat().st_size, known, shown(known.classes, lang))
    file = store.path_of(known) if is_id(name) else find_bundle(path)
    return WeightsCard(known, str(file) if file.is_file() else None)
