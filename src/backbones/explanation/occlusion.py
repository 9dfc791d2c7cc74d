"""Occlusion maps: how much a class loses when a part of the image is covered.

Reference: Zeiler & Fergus (2014), Visualizing and Understanding Convolutional Networks,
arXiv:1311.2901, section 4.2 and figure 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.explanation.maps import Maps, Targets, chosen
from backbones.nn.evaluating import Network, evaluating, surrounding_precision

Score = Literal["probability", "logit"]
_PATCHES_A_SIDE = 7


@dataclass(frozen=True)
class Occluder:
    """A square that is moved over the image.

    Args:
        patch_px: its side, px of what the network sees; a seventh of the image's where None.
        stride_px: how far it moves at a time, at most its side; half of that where None. The last
            step is shorter where the rest is, so that every pixel is covered at least once.
        fill: what it shows, after normalisation; 0 is the colour that the weights take for the
            mean (Zeiler and Fergus cover with grey).
    """

    patch_px: int | None = None
    stride_px: int | None = None
    fill: float = 0.0

    def __post_init__(self) -> None:
        for name in ("patch_px", "stride_px"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise WrongUse(f"{name} is {value}, expected at least 1 px")

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """(patch, stride) for an image of this size, px.

        Example:
            >>> Occluder().sides(224, 224), Occluder(patch_px=16).sides(224, 224)
            ((32, 16), (16, 8))
        """
        patch = self.patch_px or max(1, round(min(height, width) / _PATCHES_A_SIDE))
        if patch > min(height, width):
            raise WrongUse(f"patch_px is {patch}, larger than the image of {height}x{width} px")
        stride = self.stride_px or max(1, patch // 2)
        if stride > patch:
            raise WrongUse(
                f"stride_px is {stride} and patch_px {patch}: what lies between two places would"
                " never be covered; take a smaller stride or a larger patch"
            )
        return patch, stride

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        """Top and left of every place, row by row.

        Example:
            >>> Occluder(patch_px=2, stride_px=2).places(2, 5)
            [(0, 0), (0, 2), (0, 3)]
        """
        patch, stride = self.sides(height, width)
        return [
            (top, left)
            for top in _starts(height, patch, stride)
            for left in _starts(width, patch, stride)
        ]


def _starts(length: int, patch: int, stride: int) -> list[int]:
    starts = list(range(0, length - patch + 1, stride))
    return starts if starts[-1] == length - patch else [*starts, length - patch]


def occlusion(
    network: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    occluder: Occluder | None = None,
    score: Score = "probability",
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Maps:
    """Cover every part of an image in turn; the map says what each part is worth.

    A pixel's value is the mean loss of the class's score over the places that cover it: positive
    where the pixel speaks for the class, negative where the class gains when it is hidden.

    Args:
        network: any; its mode is as it was afterwards.
        images: as the network wants them.
        targets: classes, see `Targets`; the likeliest of each image where None.
        occluder: the square; the defaults of `Occluder` where None.
        score: the class's "probability", as in the paper, or its "logit".
        batch_size: covered images at a time, at least 1.
        progress: called after every batch with (covered images done, in all).

    Shapes: images (N, channels, H, W) -> values (N, K, H, W).

    Raises:
        WrongUse: no such class, or a square that is larger than the image.

    Reference: Zeiler & Fergus (2014), section 4.2.

    Example:
        >>> plain = nn.Sequential(nn.Flatten(), nn.Linear(16, 1, bias=False))
        >>> _ = nn.init.ones_(plain[1].weight)
        >>> square = Occluder(patch_px=2, stride_px=2)
        >>> occlusion(plain, torch.ones(1, 1, 4, 4), occluder=square, score="logit").values.mean()
        tensor(4.)
    """
    if batch_size < 1:
        raise WrongUse(f"batch_size is {batch_size}, expected at least 1")
    square = occluder or Occluder()
    height, width = images.shape[-2:]
    places, patch = square.places(height, width), square.sides(height, width)[0]
    with evaluating(network, surrounding_precision(images.device.type)) as scored:
        logits = torch.cat([scored(some) for some in torch.split(images, batch_size)])
        classes = chosen(targets, logits)
        whole = _score(logits, score).gather(1, classes)
        losses = torch.zeros(len(places), *classes.shape, device=logits.device)
        covered = _covered(images, places, patch, square.fill)
        done = 0
        for found in _scores(scored, covered, score, batch_size):
            for row in found:
                place, image = divmod(done, len(images))
                losses[place, image] = whole[image] - row[classes[image]]
                done += 1
            if progress is not None:
                progress(done, len(places) * len(images))
    return Maps(_averaged(losses, places, patch, (height, width)), classes, logits)


def _covered(
    images: Tensor, places: list[tuple[int, int]], patch: int, fill: float
) -> Iterator[Tensor]:
    for top, left in places:
        for image in images:
            hidden = image.clone()
            hidden[:, top : top + patch, left : left + patch] = fill
            yield hidden


def _scores(
    scored: Network, images: Iterator[Tensor], score: Score, batch_size: int
) -> Iterator[Tensor]:
    """All classes' scores, a batch at a time."""
    batch: list[Tensor] = []
    for image in images:
        batch.append(image)
        if len(batch) == batch_size:
            yield _score(scored(torch.stack(batch)), score)
            batch.clear()
    if batch:
        yield _score(scored(torch.stack(batch)), score)


def _score(logits: Tensor, score: Score) -> Tensor:
    return logits.softmax(dim=1) if score == "probability" else logits


def _averaged(
    losses: Tensor, places: list[tuple[int, int]], patch: int, size: tuple[int, int]
) -> Tensor:
    """(places, N, K) -> (N, K, H, W): each pixel's mean over the places that cover it."""
    total = torch.zeros(*losses.shape[1:], *size, device=losses.device)
    times = torch.zeros(size, device=losses.device)
    for (top, left), loss in zip(places, losses, strict=True):
        total[..., top : top + patch, left : left + patch] += loss[..., None, None]
        times[top : top + patch, left : left + patch] += 1
    return total / times  # no stride is wider than the patch, so every pixel was covered
