"""The verbs. The only place where the parts meet; the command line calls nothing else.

`create` and `show` look at networks, `open_data` and `check_data` at pictures; `train` and
`resume` make a run folder; `evaluate` and `predict` use what is in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from backbones.data.check import Check
from backbones.data.check import check as check_source
from backbones.data.sets import open_data
from backbones.errors import NotFound
from backbones.models import build
from backbones.protocols.run import Evaluation
from backbones.protocols.run import evaluate as evaluate_split
from backbones.report.cards import BundleCard, NetworkCard, network_card
from backbones.weights.adapt import load_adapted
from backbones.weights.bundle import Bundle, read_bundle, read_bundle_header
from backbones.weights.files import read_state

if TYPE_CHECKING:
    from backbones.predict import Prediction

__all__ = [
    "check_data",
    "create",
    "evaluate",
    "find_bundle",
    "open_data",
    "predict",
    "read_bundle",
    "resume",
    "show",
    "train",
]

Progress = Callable[[int, int], None]
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
        >>> create("lenet5", num_classes=47)(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 47])
    """
    network = build(name, num_classes, in_channels, seed)
    if weights is not None:
        for change in load_adapted(network, read_state(find_bundle(weights))):
            logger.warning("%s: %s", weights, change)
    return network


def show(name: str) -> NetworkCard | BundleCard:
    """What a network is, layer by layer, or what a bundle holds.

    Args:
        name: of a variant, or the path of a bundle or run folder.

    Raises:
        NotFound: neither a variant nor a file.
        BadWeights: the file is not a bundle.
    """
    path = Path(name)
    if path.exists() or path.suffix == ".safetensors":
        path = find_bundle(path)
        return BundleCard(str(path), path.stat().st_size, read_bundle_header(path))
    return network_card(name)


def check_data(
    where: str | Path, *, workers: int | None = None, progress: Progress | None = None
) -> Check:
    """Look at every picture of a data set: sizes, classes, broken files, duplicates, leaks.

    Args:
        where: a folder, a manifest or a set name.
        workers: that decode side by side; all cores where None.
        progress: called with (pictures done, pictures in all).

    Raises:
        NotFound: there is nothing of that name.
        BadData: it is no data set.
    """
    return check_source(where, workers=workers, progress=progress)


def find_bundle(where: str | Path) -> Path:
    """A bundle's file: the path itself, or a run folder's best (else last) bundle.

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


def evaluate(
    bundle: str | Path | Bundle,
    data: str | Path,
    *,
    protocol: str = "single",
    split: str | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a trained network on a data set as a paper would.

    Args:
        bundle: a bundle, its path, or a run folder.
        data: a folder, a manifest or a set name. What the run held out for validation is held
            out again: same data, same seed, same pictures.
        protocol: "single" or "ten_crop"; `backbones list protocols` shows all.
        split: "train", "val" or "test"; the held-out one where None.
        batch_size: pictures at a time.
        progress: called with (pictures done, pictures in all).

    Raises:
        NotFound: no such bundle, data or split.
        BadData: the classes of bundle and data differ, or no picture can be read.
        ProtocolError: no such protocol.
    """
    opened = bundle if isinstance(bundle, Bundle) else read_bundle(find_bundle(bundle))
    source = open_for(opened.recipe, data)
    chosen = source.split(split) if split else source.held_out()
    return evaluate_split(
        opened.build(),
        chosen,
        opened.spec,
        protocol,
        classes=opened.classes,
        batch_size=batch_size,
        progress=progress,
    )
