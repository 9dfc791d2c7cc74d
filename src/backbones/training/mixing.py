"""Mixup and CutMix: images and targets of a batch mixed with one another.

What is sampled depends on (seed, step) alone, and a batch on (seed, epoch, its number), so that a
resumed run mixes as the whole one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbones.data.random import uniform
from backbones.training.recipe import Recipe

# Numbers of a step, by slot; far from those of an image (`data.augment`), never renumbered.
_CHOICE, _X, _Y, _BETA = 1001, 1002, 1003, 1010
_ATTEMPTS = 32


@dataclass(frozen=True)
class Targets:
    """What a batch should be answered with.

    Args:
        labels: int64 (N,).
        others: the labels that were mixed in, int64 (N,); None in a batch that is not mixed.
        share: of `labels` in the targets; `others` have the rest.
    """

    labels: Tensor
    others: Tensor | None = None
    share: float = 1.0

    @property
    def likelier(self) -> Tensor:
        """The label with the larger share."""
        return self.labels if self.others is None or self.share >= 0.5 else self.others

    def to(self, device: torch.device) -> Targets:
        """The same on another device."""
        others = None if self.others is None else self.others.to(device)
        return Targets(self.labels.to(device), others, self.share)

    def split(self, parts: int) -> Sequence[Targets]:
        """As `Tensor.tensor_split`."""
        labels = self.labels.tensor_split(parts)
        if self.others is None:
            return [Targets(part) for part in labels]
        others = self.others.tensor_split(parts)
        return [Targets(*pair, self.share) for pair in zip(labels, others, strict=True)]


def mix(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    step: int,
    before: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Targets]:
    """A batch as the recipe mixes it; each image's partner is the one before it.

    Args:
        images: (N, C, H, W), left as they are.
        labels: int64 (N,).
        recipe: whose `mixup`, `cutmix` and `seed` count.
        step: optimiser steps done.
        before: the image (1, C, H, W) and the label (1,) before the first, where these are a part
            of a batch; None for a whole one, where that is the last.

    Reference: Zhang et al. (2018), mixup: Beyond Empirical Risk Minimization; Yun et al. (2019),
    CutMix.
    """
    if (len(labels) < 2 and before is None) or not (recipe.mixup or recipe.cutmix):
        return images, Targets(labels)
    cuts = recipe.cutmix is not None
    if recipe.mixup and recipe.cutmix:
        cuts = _share(recipe.seed, step, _CHOICE) < 0.5
    alpha = recipe.cutmix if cuts else recipe.mixup
    share = beta(recipe.seed, step, alpha or 1.0)
    if before is None:
        partners, others = images.roll(1, 0), labels.roll(1, 0)
    else:
        partners = torch.cat([before[0], images[:-1]])
        others = torch.cat([before[1], labels[:-1]])
    if not cuts:
        return torch.lerp(partners, images, share), Targets(labels, others, share)
    height, width = images.shape[2:]
    place = (_share(recipe.seed, step, _X), _share(recipe.seed, step, _Y))
    left, top, right, bottom = cut_box(width, height, share, place)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    kept = 1 - (right - left) * (bottom - top) / (width * height)
    return mixed, Targets(labels, others, kept)


def cut_box(
    width: int, height: int, share: float, place: tuple[float, float]
) -> tuple[int, int, int, int]:
    """CutMix's rectangle, of the image's aspect and 1 - share of its area, cut at the borders.

    Args:
        width, height: of the image, px.
        share: of the image that stays.
        place: of the rectangle's centre, each in [0, 1).

    Returns:
        left, top, right and bottom, px.

    Example:
        >>> cut_box(32, 32, 0.75, (0.5, 0.5))
        (8, 8, 24, 24)
    """
    side = (1 - share) ** 0.5
    box_w, box_h = int(width * side), int(height * side)
    left, top = int(place[0] * width) - box_w // 2, int(place[1] * height) - box_h // 2
    return max(0, left), max(0, top), min(width, left + box_w), min(height, top + box_h)


def beta(seed: int, step: int, alpha: float) -> float:
    """A number of the distribution Beta(alpha, alpha), by (seed, step) alone.

    Args:
        seed: of the run.
        step: optimiser steps done.
        alpha: 0.05 to 1; small values lie near 0 and 1, and 1 is uniform.

    Reference: Joehnk (1964), as in Devroye (1986), Non-Uniform Random Variate Generation, IX.3.
    """
    for attempt in range(_ATTEMPTS):
        slot = _BETA + 2 * attempt
        # in logarithms: at alpha = 0.05 a power of 20 would leave nothing of a small number
        logs = [
            np.log(max(_share(seed, step, slot + number), 2.0**-53)) / alpha for number in (0, 1)
        ]
        total = float(np.logaddexp(*logs))
        if total <= 0:
            return float(np.exp(logs[0] - total))
    return 0.5  # at most one step in four thousand million, at alpha = 1


def _share(seed: int, step: int, slot: int) -> float:
    return float(uniform(seed, step, np.zeros(1, dtype=np.int64), slot)[0])
