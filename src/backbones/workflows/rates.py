"""Find a learning rate before a training."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from backbones.compute import Compute
from backbones.data.source import DataSource
from backbones.progress import Progress
from backbones.report.rates import draw_range_test
from backbones.training.range_test import RangeTest, range_test
from backbones.training.recipe import Recipe
from backbones.workflows.setup import set_up


@dataclass(frozen=True)
class FoundRate:
    """A suggested learning rate.

    Args:
        recipe: that a training would use, resolved.
        test: the curve, and the rate that it suggests.
        data: what was understood of the data, in one line.
        compute: where and how it was computed.
    """

    recipe: Recipe
    test: RangeTest
    data: str
    compute: Compute

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
    resolved: Recipe,
    source: DataSource,
    rates: tuple[float, float],
    steps: int,
    progress: Progress | None,
) -> FoundRate:
    """As `find_learning_rate`, of a resolved recipe and its data."""
    with closing(set_up(resolved, source, fresh=True)) as setup, setup.compute.running():
        test = range_test(
            setup.network, resolved, setup.batches, rates=rates, steps=steps, progress=progress
        )
    return FoundRate(resolved, test, source.summary(), setup.compute)
