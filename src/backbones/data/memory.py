"""Sets that sit decoded in memory: a whole batch is cut at once, without threads.

Handing 28 x 28 images to workers one by one costs more than the work itself.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from backbones.data.augment import Augment, AugmentParams
from backbones.data.geometry import centre_crop_box, random_crop_starts, resized_size
from backbones.data.random import Integers
from backbones.data.render import Pixels, cut_window, resize_batch
from backbones.data.source import ArrayImages
from backbones.spec import InputSpec

_KEEP_RESIZED_BYTES = 512 * 2**20
_CHUNK = 1024


def can_cut_at_once(augment: Augment | None) -> bool:
    """Whether all images of a batch are resized alike and cut at full size."""
    return augment is None or (
        augment.crop != "random_resized" and not isinstance(augment.resize, tuple)
    )


class MemorySquares:
    """Cuts batches of squares out of images in memory.

    Images are resized once, up front, where the resized set stays under 512 MiB, else a batch
    at a time.

    Args:
        images: all of one size.
        spec: what the network sees.
        augment: one that `can_cut_at_once`, or None for the evaluation geometry.
    """

    def __init__(self, images: ArrayImages, spec: InputSpec, augment: Augment | None) -> None:
        array = images.array
        if array.shape[3] == 3 and spec.channels == 1:
            array = _grey(array)
        count, height, width, channels = array.shape
        shorter = spec.resize if augment is None else augment.resize
        assert not isinstance(shorter, tuple)
        self._size: tuple[int, int] = (
            (width, height) if shorter is None else resized_size(width, height, shorter)
        )
        self._spec, self._augment, self._array = spec, augment, array
        if count * self._size[0] * self._size[1] * channels <= _KEEP_RESIZED_BYTES:
            self._array = self._resized(array)

    def squares(self, indices: Integers, params: AugmentParams | None) -> Pixels:
        """The squares of some images, uint8 (N, S, S, 1 or C), as sampled except for the flip."""
        images = self._resized(self._array[indices])
        if self._augment is None or self._augment.crop == "centre" or params is None:
            window = centre_crop_box(*self._size, self._spec.size)
            return cut_window(images, window)
        pad, size = self._augment.pad, self._spec.size
        left = random_crop_starts(self._size[0], size, pad, params.x)
        top = random_crop_starts(self._size[1], size, pad, params.y)
        return _cut_each(images, left, top, size)

    def _resized(self, images: Pixels) -> Pixels:
        width, height = self._size
        if images.shape[1:3] == (height, width):
            return images
        resized = np.empty((len(images), height, width, images.shape[3]), dtype=np.uint8)
        for first in range(0, len(images), _CHUNK):
            chunk = images[first : first + _CHUNK]
            resized[first : first + _CHUNK] = resize_batch(
                chunk, width, height, self._spec.interpolation
            )
        return resized


def _cut_each(images: Pixels, left: Integers, top: Integers, size: int) -> Pixels:
    """A square of each image, at its own place."""
    count, height, width, channels = images.shape
    before_x, before_y = max(0, -int(left.min())), max(0, -int(top.min()))
    after_x = max(0, int(left.max()) + size - width)
    after_y = max(0, int(top.max()) + size - height)
    if before_x or before_y or after_x or after_y:
        shape = (count, height + before_y + after_y, width + before_x + after_x, channels)
        padded = np.zeros(shape, dtype=np.uint8)
        padded[:, before_y : before_y + height, before_x : before_x + width] = images
        images = padded
    places = sliding_window_view(images, (size, size), axis=(1, 2))
    cut = places[np.arange(count), top + before_y, left + before_x]
    return np.ascontiguousarray(cut.transpose(0, 2, 3, 1))


def _grey(array: Pixels) -> Pixels:
    count, height, width, _ = array.shape
    grey = np.empty((count, height, width, 1), dtype=np.uint8)
    for first in range(0, count, _CHUNK):
        tall = np.ascontiguousarray(array[first : first + _CHUNK]).reshape(-1, width, 3)
        part = np.asarray(Image.fromarray(tall).convert("L"))
        grey[first : first + _CHUNK] = part.reshape(-1, height, width, 1)
    return grey
