"""Make networks, look at them, find trained ones."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from backbones.errors import NotFound
from backbones.labels import Lang, labels_of, shown
from backbones.models import build
from backbones.report.cards import BundleCard, NetworkCard, network_card
from backbones.weights.adapt import load_adapted
from backbones.weights.bundle import Bundle, read_bundle, read_bundle_header
from backbones.weights.files import read_state

__all__ = ["Bundle", "create", "find_bundle", "read_bundle", "show"]

logger = logging.getLogger("backbones")


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Make a network.

    Args:
        name: of a variant, such as "vgg16_bn"; `backbones list` shows them.
        num_classes: width of the output; the variant's own where None.
        in_channels: of the pictures; the variant's own where None.
        weights: a bundle, a run folder, or a weight file (.safetensors, .pth). Where its head or
            first convolution has another width, all other weights are kept, and what changed is
            logged as a warning of the logger "backbones".
        seed: of fresh weights; torch's global generator where None.

    Raises:
        NotFound: no such variant or file.
        BadWeights: the file cannot be trusted or does not fit.

    Example:
        >>> create("lenet5", num_classes=47).num_classes
        47
    """
    network = build(name, num_classes, in_channels, seed)
    if weights is not None:
        path = find_bundle(weights)
        for change in load_adapted(network, read_state(path)):
            logger.warning("%s: %s", path, change)
    return network


def show(name: str | Path, *, lang: Lang = "en") -> NetworkCard | BundleCard:
    """What a network is, layer by layer, or what a bundle holds.

    Args:
        name: of a variant, or the path of a bundle or run folder.
        lang: of a bundle's class names: "en", "zh" or "both".

    Raises:
        NotFound: neither a variant nor a file.
        WrongUse: no such language.
        BadWeights: the file is not a bundle.

    Example:
        >>> show("vgg16").facts.params
        138357544
    """
    if not _is_path(name):
        return network_card(str(name))
    path = find_bundle(name)
    bundle = read_bundle_header(path)
    return BundleCard(str(path), path.stat().st_size, bundle, shown(bundle.classes, lang))


def nameless_note(bundle: str | Path) -> str | None:
    """One line that says why a language changes nothing, where a bundle's classes have no names.

    Args:
        bundle: a path or run folder; anything else has no classes, and no note.

    Raises:
        NotFound, BadWeights: as `show`.
    """
    if not _is_path(bundle):
        return None
    path = find_bundle(bundle)
    classes = read_bundle_header(path).classes
    if labels_of(classes) is not None:
        return None
    return (
        f"the classes of {path} ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}) are"
        " in no label set, see `backbones list labels`; they are shown as they are"
    )


def _is_path(name: str | Path) -> bool:
    path = Path(name)
    return path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1


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
