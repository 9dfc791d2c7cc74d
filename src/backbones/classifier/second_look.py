"""How far answers in a faster precision agree with exact ones, and which ones to look at again.

Rounding moves the gap between an image's two likeliest classes by a little; where the gap is wider
than that, the first class stays. How far it moves is measured on images that are answered both
ways, and taken as Laplace distributed, for large changes are more frequent than normal. Gaps near
zero are taken as evenly distributed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbones.agreement import Agreement, agreement_of
from backbones.compute import Compute
from backbones.language import said

LEAST_SHARE = 0.9
"""Of equal first classes, below which a faster precision is not used at all."""

MOST_DIFFERENCE = 0.05
"""Of the first class's probability on the mean, likewise."""

USUAL_SHARE = 0.9999
"""Of equal first classes, beyond which no second look is worth its time."""

_NEAR = 1.0  # a gap in log-probability; below it gaps are taken as evenly distributed


@dataclass(frozen=True)
class SecondLook:
    """Which images are answered again exactly, and why.

    Args:
        agreement: of answers in a faster precision with exact ones, on a sample.
        gap: in log-probability between an image's two likeliest classes, below which it is
            answered exactly.
        share_again: of the images whose gap is below that.
        expected: the share of all images whose first class should be the exact one in the end.
    """

    agreement: Agreement
    gap: float
    share_again: float
    expected: float

    @property
    def is_enough(self) -> bool:
        """Whether the faster precision may be used."""
        found = self.agreement
        return (
            found.same_first_class >= LEAST_SHARE and found.mean_probability_diff <= MOST_DIFFERENCE
        )

    def to_lines(self) -> list[str]:
        """What the check found, for people."""
        found = self.agreement
        lines = [
            said(
                "{same:.1%} of {count} sampled images have the first class of fp32; its probability"
                " differs by {difference:.3f}",
                same=found.same_first_class,
                count=found.num_images,
                difference=found.mean_probability_diff,
            )
        ]
        if not self.is_enough:
            return [*lines, said("that is too little: all images are answered in fp32")]
        return [
            *lines,
            said(
                "about {again:.1%} of the images have two close classes and are answered again in"
                " fp32, so that {expected:.2%} of the first classes should be fp32's",
                again=self.share_again,
                expected=self.expected,
            ),
        ]


@dataclass(frozen=True)
class Computed:
    """How an answer was computed.

    Args:
        compute: device, precision, threads and engine.
        second_look: what a check of the faster precision found; None where there was none.
        again: whether it was answered in the faster precision first, or both ways for the check.
    """

    compute: Compute
    second_look: SecondLook | None = None
    again: bool = False

    @property
    def agreement(self) -> float | None:
        """The share of equal first classes on the checked sample; None where there was no check."""
        return None if self.second_look is None else self.second_look.agreement.same_first_class

    def to_json(self) -> dict[str, Any]:
        """`engine`, `precision`, `agreement` and `num_rechecked` (1 or 0) of one image."""
        return {
            "engine": self.compute.engine,
            "precision": self.compute.precision,
            "agreement": self.agreement,
            "num_rechecked": int(self.again),
        }


def choose_second_look(
    fast: Tensor, exact: Tensor, wanted: float | None, most_again: float
) -> SecondLook:
    """Compare answers to the same images, and choose which later ones to answer again.

    Args:
        fast, exact: log-probabilities (N, K), N at least 1.
        wanted: the share of equal first classes that is asked for; where None, as many images are
            answered again as `most_again` allows.
        most_again: the share of images that may be answered again where nothing is asked for.

    Example:
        >>> import torch
        >>> answers = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
        >>> choose_second_look(answers, answers, None, 0.1).agreement.same_first_class
        1.0
    """
    gaps, moved = _gaps(fast), _moved(fast, exact)
    changed, scale = _changed(gaps, moved), _scale(moved)
    gap = _gap_for(wanted or USUAL_SHARE, changed, scale)
    if wanted is None:
        gap = min(gap, _gap_of(most_again, gaps))
    return SecondLook(
        agreement_of(exact.exp().numpy(), fast.exp().numpy()),
        gap=gap,
        share_again=float((gaps < gap).float().mean()),
        expected=1 - changed * (math.exp(-gap / scale) if scale else 0.0),
    )


def near_ties(log_probabilities: Tensor, gap: float) -> Tensor:
    """Which rows have two likeliest classes that are less than `gap` apart.

    Shapes:
        log_probabilities (N, K) -> bool (N)
    """
    return _gaps(log_probabilities) < gap


def _gaps(log_probabilities: Tensor) -> Tensor:
    """Between the two likeliest classes, (N); without end where there is one class."""
    if log_probabilities.shape[1] < 2:
        return torch.full((len(log_probabilities),), math.inf)
    best = log_probabilities.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def _moved(fast: Tensor, exact: Tensor) -> Tensor:
    """By how much the gap between the two likeliest classes differs, (N)."""
    if fast.shape[1] < 2:
        return torch.zeros(len(fast))
    two = fast.topk(2, dim=1).indices
    one, other = ((rows.gather(1, two) @ torch.tensor([1.0, -1.0])) for rows in (fast, exact))
    return one - other


def _gap_of(share: float, gaps: Tensor) -> float:
    """The widest gap that no more than this share of the images is below."""
    ordered = gaps.sort().values
    place = math.floor(share * len(ordered))
    return float(ordered[place]) if place < len(ordered) else math.inf


def _changed(gaps: Tensor, moved: Tensor) -> float:
    """The share of images whose first class changes: as counted, or as expected if that is more.

    Expected is the density of gaps near zero, times the integral of P(change > g) = exp(-g / b) / 2
    over all g, which is b / 2.
    """
    scale = _scale(moved)
    near = max(_NEAR, 4 * scale)
    density = (int((gaps < near).sum()) + 1) / (len(gaps) * near)
    return max(density * scale / 2, float((moved > gaps).float().mean()))


def _scale(moved: Tensor) -> float:
    """The b of a Laplace distribution with the same root mean square."""
    return float(moved.square().mean().sqrt()) / math.sqrt(2)


def _gap_for(share: float, changed: float, scale: float) -> float:
    """The narrowest gap beyond which no more than 1 - `share` of the images change."""
    if share == 1:
        return math.inf
    return max(0.0, scale * math.log(changed / (1 - share))) if changed and scale else 0.0
