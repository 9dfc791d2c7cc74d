"""Find a learning rate before a training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from backbones.api.starting import resolved_for
from backbones.api.training import set_up
from backbones.data.source import DataSource
from backbones.progress import Downloading, Progress
from backbones.report.rates import draw_range_test
from backbones.training.range_test import RangeTest, range_test
from backbones.training.recipe import Recipe
from backbones.training.settings import with_reading

__all__ = ["FoundRate", "find_rate", "rate_for"]


@dataclass(frozen=True)
class FoundRate:
    """A suggested learning rate.

    Args:
        recipe: that a training would use, resolved.
        test: the curve, and the rate that it suggests.
        data: what was understood of the data, in one line.
    """

    recipe: Recipe
    test: RangeTest
    data: str

    def draw(self, path: Path) -> Path:
        """Draw the curve; the suffix decides the format (.png or .svg)."""
        test = self.test
        return draw_range_test(
            test.rates,
            test.losses,
            test.smoothed,
            suggestion=test.suggestion,
            path=path,
            title=f"{self.recipe.model}, recipe {self.recipe.name}",
        )


def find_rate(
    data: str | Path,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    layout: str | None = None,
    label_pattern: str | None = None,
    weights: str | Path | None = None,
    rates: tuple[float, float] = (1e-6, 10.0),
    steps: int = 100,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> FoundRate:
    """Train a copy for some steps while the learning rate rises, and read a rate off the loss.

    Args:
        data, model, recipe, settings, layout, label_pattern, weights: as of `train`.
        rates: the first and the last learning rate.
        steps: optimiser steps, at least 10.
        progress: hears of the steps.
        downloading: hears of a download.

    Raises:
        NotFound: no such data, network, recipe or weights.
        RecipeError, BadData, WrongUse: as of `train` and `range_test`.

    Example:
        >>> found = find_rate("digits", settings=["limit=200"], steps=40)
        >>> found.test.suggestion is not None
        True
    """
    resolved, source = resolved_for(
        data,
        model=model,
        recipe=recipe,
        settings=with_reading(settings, layout, label_pattern),
        weights=weights,
        downloading=downloading,
    )
    return rate_for(resolved, source, rates=rates, steps=steps, progress=progress)


def rate_for(
    resolved: Recipe,
    source: DataSource,
    *,
    rates: tuple[float, float],
    steps: int,
    progress: Progress | None = None,
) -> FoundRate:
    """As `find_rate`, of what `resolved_for` gave.

    Raises:
        RecipeError, BadData, WrongUse: as `find_rate`.
    """
    with closing(set_up(resolved, source, fresh=True, progress=None)) as workshop:
        test = range_test(
            workshop.network,
            resolved,
            workshop.batches,
            rates=rates,
            steps=steps,
            progress=progress,
        )
    return FoundRate(resolved, test, source.summary())
