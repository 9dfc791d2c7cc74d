"""Give one image the style of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from backbones import signals
from backbones.catalog import resolve
from backbones.compute import Compute
from backbones.data.decode import read_image
from backbones.data.pixels import Pixels
from backbones.errors import BadImage, WrongUse
from backbones.features.style import StyleSettings, StyleStep, resized, restyle
from backbones.files import expanded
from backbones.report.images import save_image
from backbones.spec import InputSpec
from backbones.weights import store, table
from backbones.weights.bundle import Bundle
from backbones.weights.table import WeightsRow

# Best first: VGG-19 is the paper's; its layers see without skipping pixels.
_PREFERRED = ("vgg19", "vgg16", "vgg19_bn", "vgg16_bn", "vgg13", "vgg11")
_SUGGESTED = "vgg19.tv_in1k"

StyleProgress = Callable[[StyleStep], None]


@dataclass(frozen=True)
class Stylized:
    """An image in another one's style.

    Args:
        image: RGB uint8 (H, W, 3).
        loss: of the image, at the size that was reached.
        steps: that were made.
        interrupted: whether someone stopped it before the last.
        settings: with the layers that were read.
        compute: where and how it was computed.
        network: what saw both images, by the name of its weights.
    """

    image: Pixels
    loss: float
    steps: int
    interrupted: bool
    settings: StyleSettings
    compute: Compute
    network: str = ""

    def save(self, path: str | Path) -> Path:
        """Write it in the format of the file's name, in one step or not at all.

        Raises:
            WrongUse: the suffix is no format for images.
        """
        return save_image(Image.fromarray(self.image), Path(path))


def transfer(
    network: nn.Module,
    content: Tensor,
    style: Tensor,
    settings: StyleSettings,
    *,
    spec: InputSpec | None,
    compute: Compute,
    progress: StyleProgress | None,
) -> Stylized:
    """Change an image until a network sees both; an interrupt keeps the best so far.

    Args:
        network: is moved to where it is computed.
        content, style: as of `read_scaled`.
        compute: where and how.
        settings, spec, progress: as of `backbones.stylize`.
    """
    compute.place(network)
    content, style = content.to(compute.device), style.to(compute.device)
    last, interrupted = None, False
    try:
        with compute.running():
            bf16 = compute.precision == "bf16"
            for step in restyle(network, content, style, settings, spec, bf16=bf16):
                last = step
                if progress:
                    progress(step)
    except KeyboardInterrupt:
        interrupted = True
        if last is None:
            raise
        signals.heard()  # what there is by now is kept
    assert last is not None
    image = _to_pixels(resized(last.image, content.shape[2:]))
    return Stylized(image, last.loss, last.step, interrupted, settings, compute)


def weights_for(network: str | Path | Bundle | None) -> str | Path | Bundle:
    """What is named; weights on this machine of a variant, or of the best one where None.

    Raises:
        NotFound: no such variant.
        WrongUse: no weights of it are here; says how to get some.
    """
    if network is None:
        return choose_weights()
    is_word = isinstance(network, str) and not {".", "/", "\\"} & set(network)
    if is_word and not expanded(str(network)).exists():
        return choose_weights(str(network))
    return network


def choose_weights(variant: str | None = None) -> str:
    """The id of weights on this machine that suit style transfer best; nothing is fetched.

    Args:
        variant: the network; the best of all where None.

    Raises:
        NotFound: no such variant.
        WrongUse: no weights of it are here; says how to get some.
    """
    rows = [row for row in store.stored() if row.spec.channels == 3]
    suggested = _SUGGESTED
    if variant is not None:
        _, variant = resolve(variant)
        rows = [row for row in rows if row.variant == variant]
        published = [row.id for row in table.rows() if row.variant == variant]
        suggested = published[0] if published else ""
    if not rows:
        what = f"`backbones weights get {suggested}` fetches some" if suggested else "train it"
        raise WrongUse(
            f"no weights of {variant or 'a network for colour photos'} are on this machine: {what},"
            " or name a bundle or a run as weights"
        )

    def rank(row: WeightsRow) -> int:
        return _PREFERRED.index(row.variant) if row.variant in _PREFERRED else len(_PREFERRED)

    return min(rows, key=rank).id


def read_scaled(where: str | Path | Pixels, size_px: int) -> Tensor:
    """(1, 3, h, w) in 0..1, whose longer side is `size_px`."""
    if isinstance(where, str | Path):
        try:
            pixels = read_image(expanded(where))
        except BadImage as error:
            raise BadImage(f"{where}: {error}") from error
    else:
        pixels = where
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise WrongUse(
                f"got an image of shape {pixels.shape} and type {pixels.dtype}, expected uint8"
                " (H, W, 3)"
            )
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    scale = size_px / max(image.shape[2:])
    return resized(image, [max(round(side * scale), 2) for side in image.shape[2:]])


def _to_pixels(image: Tensor) -> Pixels:
    found: Pixels = (image[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(found)
