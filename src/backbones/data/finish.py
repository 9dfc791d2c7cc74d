"""The last steps of a batch, the same for every source: distort, mirror, normalise, erase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backbones.data.augment import Draws, erased_box
from backbones.data.distort import distort
from backbones.spec import InputSpec

_VALUES_AT_ONCE = 2**20
_LARGE_PICTURE = 2**14  # values


class Finisher:
    """Bytes to `(x / 255 - mean) / std`, with what was drawn for the finished square.

    The factors are laid out for a whole row of pixels, so that the innermost loop is long enough
    for the processor's vector units; a loop over three channels is five times slower.

    Args:
        spec: names size, channels, mean and std.
    """

    def __init__(self, spec: InputSpec) -> None:
        std = torch.tensor(spec.std, dtype=torch.float64)
        mean = torch.tensor(spec.mean, dtype=torch.float64)
        self._step = (1.0 / (255.0 * std)).to(torch.float32)
        self._scale = self._step.repeat(spec.size)
        self._offset = (-mean / std).to(torch.float32).repeat(spec.size)
        self._spec = spec

    def finish(self, out: Tensor, squares: npt.NDArray[np.uint8], drawn: Draws | None) -> None:
        """Write normalised pictures.

        Shapes:
            out: float32 (N, S, S, C), contiguous. squares: uint8 (N, S, S, 1 or C), may be
            changed. drawn: N rows, or None in evaluation.
        """
        if not squares.flags.writeable or not squares.flags.c_contiguous:
            squares = squares.copy()
        if drawn is not None and (drawn.jitter.size or drawn.operations.size):
            distort(squares, drawn.jitter, drawn.operations)
        pictures = torch.from_numpy(squares)
        if pictures.shape[3] != self._spec.channels:
            pictures = pictures.expand(out.shape)
        if drawn is not None and drawn.flip.any():
            pictures = _mirrored(pictures, drawn.flip)
        self._normalise(out, pictures, None if drawn is None else drawn.colour)
        if drawn is not None and drawn.erase.any():
            self._erase(out, drawn)

    def _normalise(
        self, out: Tensor, pictures: Tensor, colour: npt.NDArray[np.float64] | None
    ) -> None:
        rows = out.view(len(out), self._spec.size, -1)
        pictures = pictures.reshape(rows.shape)
        offset = self._offset.expand(len(out), -1)
        if colour is not None and colour.any():
            shift = torch.from_numpy(colour.astype(np.float32)) * self._step
            offset = shift.repeat(1, self._spec.size) + self._offset
        # a few pictures at a time, so that the second pass finds them in the cache
        step = max(1, _VALUES_AT_ONCE // rows[0].numel()) if len(rows) else 1
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            some.copy_(pictures[first : first + step])
            torch.addcmul(offset[first : first + step, None], some, self._scale, out=some)

    def _erase(self, out: Tensor, drawn: Draws) -> None:
        for row in np.flatnonzero(drawn.erase[:, 0]).tolist():
            box = erased_box(drawn, row, self._spec.size)
            out[row, box.top : box.top + box.height, box.left : box.left + box.width] = 0.0


def normalised(squares: Sequence[npt.NDArray[np.uint8]], spec: InputSpec) -> Tensor:
    """What a network sees of squares in an evaluation.

    Shapes: each square uint8 (S, S, 1 or C) -> float32 (N, C, S, S).
    """
    pictures = np.stack(squares)
    images = torch.empty((*pictures.shape[:3], spec.channels), dtype=torch.float32)
    Finisher(spec).finish(images, pictures, None)
    return images.permute(0, 3, 1, 2)


def _mirrored(pictures: Tensor, flip: npt.NDArray[np.bool_]) -> Tensor:
    # only as (N, C, H, W) in channels_last does PyTorch mirror with vector instructions
    if flip.all():
        return _mirror(pictures)
    pictures = pictures.contiguous()
    rows = np.flatnonzero(flip)
    if pictures[0].numel() > _LARGE_PICTURE:
        # one by one: gathering and scattering large pictures costs more than the loop
        array = pictures.numpy()
        for row in rows.tolist():
            array[row] = _mirror(torch.from_numpy(array[row : row + 1])).numpy()[0]
    else:
        chosen = torch.from_numpy(rows)
        pictures[chosen] = _mirror(pictures[chosen])
    return pictures


def _mirror(pictures: Tensor) -> Tensor:
    return pictures.permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
