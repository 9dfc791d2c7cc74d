"""The last steps of a batch, the same for every source: distort, mirror, normalise, erase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backbones.data.augment import AugmentParams, erased_box
from backbones.data.distort import distort
from backbones.spec import InputSpec

_LARGE_IMAGE = 2**14  # values


class Finisher:
    """Bytes to `(x / 255 - mean) / std`, with what was sampled for the finished square.

    The factors are laid out for a whole row of pixels, so that the innermost loop is long enough
    for the processor's vector units; a loop over three channels is five times slower.

    Args:
        spec: names size, channels, mean and std.
    """

    def __init__(self, spec: InputSpec) -> None:
        std = torch.tensor(spec.std, dtype=torch.float64, device="cpu")
        mean = torch.tensor(spec.mean, dtype=torch.float64, device="cpu")
        self._step = (1.0 / (255.0 * std)).to(torch.float32)
        self._scale = self._step.repeat(spec.size)
        self._offset = (-mean / std).to(torch.float32).repeat(spec.size)
        self._spec = spec

    def finish(
        self, out: Tensor, squares: Iterable[npt.NDArray[np.uint8]], params: AugmentParams | None
    ) -> None:
        """Write normalised images.

        Large ones are finished one by one, as they come: an image that was just made is still in
        the processor's cache, and each call into PyTorch less is one wait less for the
        interpreter's lock.

        Args:
            out: where they are written.
            squares: in the order of `out`; only the rows of a whole array may be changed.
            params: of each of them, or None in evaluation.

        Shapes:
            out: float32 (N, S, S, C), contiguous. squares: N of uint8 (S, S, 1 or C).
        """
        if out[:1].numel() > _LARGE_IMAGE:
            self._one_by_one(out, squares, params)
        else:
            self._at_once(out, _stacked(squares), params)
        if params is not None and params.erase.any():
            self._erase(out, params)

    def _one_by_one(
        self, out: Tensor, squares: Iterable[npt.NDArray[np.uint8]], params: AugmentParams | None
    ) -> None:
        channels, scale = self._spec.channels, self._scale
        rows = out.view(len(out), self._spec.size, -1).unbind()
        offsets = self._offsets(len(out), params).unbind()
        flips = [False] * len(out) if params is None else params.flip.tolist()
        distorted = params is not None and _is_distorted(params)
        for number, square in enumerate(squares):
            if distorted or not square.flags.writeable:  # PyTorch takes none that is read-only
                square = square.copy()
            if params is not None and distorted:
                one = slice(number, number + 1)
                distort(square[None], params.jitter[one], params.operations[one])
            if square.shape[2] != channels:
                square = np.repeat(square, channels, axis=2)
            if flips[number]:
                square = _mirror(square[None])[0]
            image = torch.from_numpy(square.reshape(len(square), -1))
            torch.addcmul(offsets[number], image, scale, out=rows[number])

    def _at_once(
        self, out: Tensor, squares: npt.NDArray[np.uint8], params: AugmentParams | None
    ) -> None:
        if params is not None and _is_distorted(params):
            distort(squares, params.jitter, params.operations)
        if params is not None and params.flip.any():
            squares = _mirrored(squares, params.flip)
        images = torch.from_numpy(squares)
        if images.shape[3] != self._spec.channels:
            images = images.expand(out.shape)
        rows = out.view(len(out), self._spec.size, -1)
        offset = self._offsets(len(out), params)[:, None]
        rows.copy_(images.reshape(rows.shape))
        torch.addcmul(offset, rows, self._scale, out=rows)

    def _offsets(self, count: int, params: AugmentParams | None) -> Tensor:
        """What is added to a row of pixels of each image, (count, S * C)."""
        if params is None or not params.colour.any():
            return self._offset.expand(count, -1)
        shift = torch.from_numpy(params.colour.astype(np.float32)) * self._step
        return shift.repeat(1, self._spec.size) + self._offset

    def _erase(self, out: Tensor, params: AugmentParams) -> None:
        for row in np.flatnonzero(params.erase[:, 0]).tolist():
            box = erased_box(params, row, self._spec.size)
            out[row, box.top : box.top + box.height, box.left : box.left + box.width] = 0.0


def stacked(arrays: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Several (n, h, w, C) as one; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def normalised(pixels: npt.NDArray[np.uint8], spec: InputSpec, device: str = "cpu") -> Tensor:
    """What a network sees in an evaluation, in the one place where bytes become its input.

    A GPU is sent the bytes, a quarter of what it computes with, from memory that it reads by
    itself.

    Args:
        pixels: of any size; not changed.
        spec: names channels, mean and std.
        device: where the network is.

    Shapes: uint8 (N, h, w, C) -> float32 (N, C, h, w), channels_last.
    """
    images = torch.from_numpy(_owned(pixels))
    if device.startswith("cuda"):
        images = images.pin_memory()
    scale, offset = _row_factors(spec, images.shape[2], device)
    rows = torch.addcmul(offset, images.to(device, non_blocking=True).flatten(2), scale)
    return rows.view(images.shape).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _row_factors(spec: InputSpec, width: int, device: str) -> tuple[Tensor, Tensor]:
    """Scale and offset of a whole row of pixels, so that the innermost loop is long enough."""
    std = torch.tensor(spec.std, dtype=torch.float64, device="cpu")
    mean = torch.tensor(spec.mean, dtype=torch.float64, device="cpu")
    scale, offset = (1.0 / (255.0 * std)).float(), (-mean / std).float()
    return scale.repeat(width).to(device), offset.repeat(width).to(device)


def _is_distorted(params: AugmentParams) -> bool:
    return bool(params.jitter.size or params.operations.size)


def _stacked(squares: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Squares as one array that may be changed."""
    if not isinstance(squares, np.ndarray):
        return np.stack(list(squares))
    return _owned(squares)


def _owned(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """PyTorch takes no array that is read-only or mirrored by its strides."""
    if not pixels.flags.writeable or not pixels.flags.c_contiguous:
        return pixels.copy()
    return pixels


def _mirrored(images: npt.NDArray[np.uint8], flip: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The same images, some of them mirrored in place."""
    if flip.all():
        return _mirror(images)
    images[flip] = _mirror(images[flip])
    return images


def _mirror(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Left for right in (N, S, S, C)."""
    # only as (N, C, H, W) in channels_last does PyTorch mirror with vector instructions
    planes = torch.from_numpy(images.transpose(0, 3, 1, 2)).flip(3)
    return planes.numpy().transpose(0, 2, 3, 1)
