"""Compound scaling: EfficientNets of any size, the paper's search, the largest one for a budget.

Depth grows as alpha^phi, width as beta^phi, resolution as gamma^phi. Multiply-accumulates go with
alpha beta^2 gamma^2, so that with a product of 2 each step of phi doubles them.

Tan & Le (2019), EfficientNet, arXiv:1905.11946, section 3.3. B1 to B7 are not exact powers: their
coefficients are rounded ones (`models/efficientnet.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from backbones.errors import NotFound, WrongUse
from backbones.models import find_row
from backbones.models.efficientnet import EfficientNetRow, blocks_of
from backbones.nn.widths import round_width

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # section 3.3: depth, width, resolution
DROPOUT = (0.2, 0.5)  # section 5.2: of B0 and of B7, whose phi is 7
PHI_LIMIT = 10  # either way: about a hundred times below B0 and seven hundred above it
PHI_STEPS = 1000  # the phi of a budget is found to a thousandth


def scaled_row(
    phi: float,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    *,
    base: str = "efficientnet_b0",
) -> EfficientNetRow:
    """An EfficientNet scaled by any phi, for `backbones.create`.

    Args:
        phi: any number; 0 is the base itself, 1 about doubles its multiply-accumulates, -1 halves
            them.
        alpha, beta, gamma: what depth, width and resolution are multiplied by at phi = 1, above 0.
        base: variant of the EfficientNets that is scaled.

    Returns:
        A row without claims. Dropout goes linearly from 0.2 at phi = 0 to 0.5 at phi = 7, as
        section 5.2 has it for B0 to B7, and no further.

    Raises:
        NotFound: no such EfficientNet.
        WrongUse: a coefficient of 0 or below.

    Example:
        >>> row = scaled_row(2)
        >>> round(row.width, 2), round(row.depth, 2), row.input_px
        (1.21, 1.44, 296)
    """
    row = _base_row(base)
    if min(alpha, beta, gamma) <= 0:
        raise WrongUse(
            f"alpha, beta and gamma are {alpha:g}, {beta:g} and {gamma:g}, expected numbers above 0"
        )
    low, high = DROPOUT
    return replace(
        row,
        name=f"{base}_phi_{phi:g}",
        summary=f"{base} scaled: phi {phi:g}, alpha {alpha:g}, beta {beta:g}, gamma {gamma:g}",
        claims=(),
        width=row.width * beta**phi,
        depth=row.depth * alpha**phi,
        input_px=max(row.min_px, round(row.input_px * gamma**phi)),
        dropout=min(max(low + (high - low) * phi / 7, low), high),
    )


@dataclass(frozen=True)
class Candidate:
    """One point of the search of section 3.3.

    Args:
        alpha, beta, gamma: what depth, width and resolution are multiplied by.
        row: the base scaled with them at phi = 1.
        macs: multiply-accumulates of that network at its own resolution.
    """

    alpha: float
    beta: float
    gamma: float
    row: EfficientNetRow
    macs: int


def candidates(
    step: float = 0.05, tolerance: float = 0.1, base: str = "efficientnet_b0"
) -> Iterator[Candidate]:
    """Section 3.3, step 1: phi = 1, and every alpha, beta, gamma >= 1 that doubles the work.

    Args:
        step: of the grid.
        tolerance: how far alpha beta^2 gamma^2 may be from 2. The paper says "about"; its own
            1.2, 1.1, 1.15 make 1.92.
        base: variant of the EfficientNets that is scaled.

    Yields:
        Candidates by alpha, then beta, then gamma.

    Raises:
        NotFound: no such EfficientNet.
        WrongUse: a step or tolerance of 0 or below.
    """
    if step <= 0 or tolerance <= 0:
        raise WrongUse(f"step {step:g} and tolerance {tolerance:g} must be above 0")
    grid = [round(1 + i * step, 9) for i in range(int((1 + tolerance) / step) + 1)]
    for alpha in grid:
        for beta in grid:
            for gamma in grid:
                if abs(alpha * beta**2 * gamma**2 - 2) <= tolerance + 1e-9:
                    row = scaled_row(1, alpha, beta, gamma, base=base)
                    yield Candidate(alpha, beta, gamma, row, macs_of(row))


def grid_search(
    score: Callable[[EfficientNetRow], float],
    step: float = 0.05,
    tolerance: float = 0.1,
    base: str = "efficientnet_b0",
) -> Candidate:
    """The candidate with the highest score; the first of equals.

    Args:
        score: of a row, the higher the better; in the paper the accuracy after training.
        step, tolerance, base: of `candidates`.

    Raises:
        WrongUse: no point of the grid doubles the work.
    """
    found = list(candidates(step, tolerance, base))
    if not found:
        raise WrongUse(
            f"no alpha, beta, gamma on a grid of {step:g} has alpha * beta^2 * gamma^2 within"
            f" {tolerance:g} of 2; take a finer step or a larger tolerance"
        )
    return max(found, key=lambda candidate: score(candidate.row))


def largest_row(
    max_macs: float,
    base: str = "efficientnet_b0",
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> EfficientNetRow:
    """The largest EfficientNet within a budget: the largest phi, to a thousandth.

    Widths, depths and resolution are rounded, but none of them falls as phi grows; so neither does
    the work, and bisection finds the last phi that fits. The work is exact, not estimated.

    Args:
        max_macs: multiply-accumulates of one image at the network's own resolution.
        base: variant of the EfficientNets that is scaled.
        num_classes, in_channels: that the network will have; the base's own where None.

    Raises:
        NotFound: no such EfficientNet.
        WrongUse: the budget is below the smallest or above the largest network considered.

    Example:
        >>> largest_row(385_814_752).name
        'efficientnet_b0_phi_0'
    """

    def needed(steps: int) -> int:
        return macs_of(scaled_row(steps / PHI_STEPS, base=base), num_classes, in_channels)

    low, high = -PHI_LIMIT * PHI_STEPS, PHI_LIMIT * PHI_STEPS
    if not needed(low) <= max_macs <= needed(high):
        raise WrongUse(
            f"no {base} for a budget of {max_macs:,.0f} multiply-accumulates: scaling from"
            f" phi = -{PHI_LIMIT} to {PHI_LIMIT} gives {needed(low):,} to {needed(high):,}"
        )
    while high - low > 1:  # `low` fits
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) <= max_macs else (low, middle)
    return scaled_row(low / PHI_STEPS, base=base)


def macs_of(
    row: EfficientNetRow, num_classes: int | None = None, in_channels: int | None = None
) -> int:
    """Multiply-accumulates of one image at the row's own resolution, by arithmetic.

    Tracing the network gives the same number, thousands of times slower.
    """
    blocks = blocks_of(row)
    side = math.ceil(row.input_px / 2)
    last = round_width(row.last * row.width)
    macs = side**2 * 9 * (in_channels or row.in_channels) * blocks[0].in_channels
    for block in blocks:
        if block.wide > block.in_channels:
            macs += side**2 * block.in_channels * block.wide
        side = math.ceil(side / block.stride)
        macs += side**2 * block.wide * (block.kernel_px**2 + block.maps)
        macs += 2 * block.wide * block.squeezed
    return macs + side**2 * blocks[-1].maps * last + last * (num_classes or row.num_classes)


def _base_row(name: str) -> EfficientNetRow:
    _, row = find_row(name)
    if not isinstance(row, EfficientNetRow):
        raise NotFound(
            f"{name} is no EfficientNet, and compound scaling is theirs: take efficientnet_b0, or"
            " efficientnet_b0_same for the authors' padding"
        )
    return row
