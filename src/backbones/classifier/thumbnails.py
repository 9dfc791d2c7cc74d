"""Small copies of images, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from backbones.classifier.preparing import reduced
from backbones.classifier.source import Block, split_source
from backbones.data.decoder_pool import usable_cores
from backbones.data.render import Pixels
from backbones.data.source import Split
from backbones.errors import BadImage


def thumbnails(split: Split, places: Sequence[int], longer_px: int) -> list[Pixels | str]:
    """Images with a longer side of so many px at most; why there is none, where one cannot be read.

    Args:
        split: that holds them.
        places: which ones, in the order of the result.
        longer_px: px.

    Shapes: uint8 (H, W, 1 or 3) each.
    """
    blocks = split_source(split.take(places)).blocks(1)
    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(partial(_thumbnail, longer_px), blocks))


def _thumbnail(longer_px: int, block: Block) -> Pixels | str:
    try:
        made: Pixels = block.apply(lambda pixels: reduced(pixels[0], longer_px))
    except BadImage as error:
        return str(error)
    return made
