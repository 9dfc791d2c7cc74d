"""Which learning rate to begin with: train a copy while the rate rises, and watch the loss.

Reference: Smith (2017), Cyclical Learning Rates for Training Neural Networks, section 3.3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from backbones.data.pipeline import Batch, Pipeline
from backbones.errors import BadData, TrainingStopped, WrongUse
from backbones.training.loop import plan_of
from backbones.training.optim import train_mode
from backbones.training.recipe import Recipe
from backbones.training.schedule import LearningRate, StepPlan
from backbones.training.state import begin
from backbones.training.step import train_step

_SMOOTHING = 0.9
_DIVERGED = 4.0  # times the lowest smoothed loss
_FEWEST = 10


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Args:
        rates: the learning rate of each step.
        losses: of each step's batch.
        smoothed: the losses, smoothed (see `smooth`).
        suggestion: the rate at which the loss falls fastest; None where it never fell.
        lowest_at: the rate at which the smoothed loss is lowest: more than one should take.
        ending: why the test ended.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    lowest_at: float
    ending: str


class _Rising(LearningRate):
    """From `first` to `last` times the recipe's rate, the same factor at each step."""

    def __init__(
        self, recipe: Recipe, plan: StepPlan, rates: tuple[float, float], steps: int
    ) -> None:
        super().__init__(recipe.schedule, plan)
        self._first = rates[0] / recipe.optimizer.lr
        self._growth = (rates[1] / rates[0]) ** (1 / (steps - 1))

    def factor(self, step: int) -> float:
        """On the learning rate of the step number `step`, counted from 0."""
        return float(self._first * self._growth**step)


def range_test(
    model: nn.Module,
    recipe: Recipe,
    train: Pipeline,
    *,
    rates: tuple[float, float] = (1e-6, 10.0),
    steps: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> RangeTest:
    """Train a copy of a network for some steps with a rising learning rate.

    The network, its gradients, every optimiser that holds its parameters and the random state
    are afterwards what they were before, to the bit.

    Args:
        model: as training would begin with it.
        recipe: resolved; everything but its schedule and averages counts.
        train: batches of `recipe.batch_size`.
        rates: the first and the last learning rate.
        steps: at most, at least 10; fewer where the loss explodes.
        progress: called with (steps done, steps at most).

    Raises:
        WrongUse: too few steps, or rates that do not rise.
        BadData: no image can be learned from.
    """
    if steps < _FEWEST:
        raise WrongUse(f"{steps} steps are too few to see a curve; take at least {_FEWEST}")
    if not 0 < rates[0] < rates[1] < math.inf:
        raise WrongUse(f"the rate goes from {rates[0]:g} to {rates[1]:g}, expected 0 < low < high")
    recipe = recipe.model_copy(update={"ema": None, "polyak_from": None, "compile": False})
    with _own_chance(recipe.device):
        twin = copy.deepcopy(model)
        training = begin(twin, recipe, plan := plan_of(recipe, train), train)
        training.rate = _Rising(recipe, plan, rates, steps)
        train_mode(twin, training.frozen)
        found: list[tuple[float, float]] = []
        ending = f"all {steps} steps were taken"
        lowest, running = math.inf, 0.0
        for number, batch in enumerate(_batches(train, steps), 1):
            try:
                record = train_step(training, batch, 0.0)
            except TrainingStopped:
                ending = "the loss was no number any more"
                break
            if progress is not None:
                progress(number, steps)
            if record.loss is None:
                continue
            found.append((record.lr, record.loss))
            running = _SMOOTHING * running + (1 - _SMOOTHING) * record.loss
            smoothed = running / (1 - _SMOOTHING ** len(found))
            lowest = min(lowest, smoothed)
            if len(found) > _FEWEST and smoothed > _DIVERGED * lowest:
                ending = f"the loss had grown to {_DIVERGED:g} times its lowest"
                break
    if len(found) < _FEWEST:
        raise BadData(
            f"only {len(found)} steps gave a loss, too few to see a curve; begin lower than"
            f" {rates[0]:g}, or see backbones data check"
        )
    return judged(*zip(*found, strict=True), ending=ending)


def _own_chance(device: str) -> AbstractContextManager[None]:
    """Puts back the random state of the CPU and of the device, and opens no other device."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "mps"):
        return torch.random.fork_rng(devices=[])
    number = torch.device(device).index
    if number is None:
        number = torch.get_device_module(kind).current_device() if kind == "cuda" else 0
    return torch.random.fork_rng(devices=[number], device_type=kind)


def judged(rates: tuple[float, ...], losses: tuple[float, ...], *, ending: str) -> RangeTest:
    """Read a suggestion off a curve: the steepest fall of the smoothed loss over the log of the
    rate, before its lowest point.

    Args:
        rates, losses: of each step.
        ending: why the test ended.
    """
    smoothed = smooth(np.array(losses))
    lowest = int(smoothed.argmin())
    suggestion = None
    slopes = _slopes(np.log10(np.array(rates)), smoothed)[: lowest + 1]
    if lowest >= 3 and smoothed[lowest] < 0.98 * smoothed[: max(3, len(smoothed) // 10)].mean():
        suggestion = float(rates[int(slopes.argmin())])
    return RangeTest(
        rates, losses, tuple(smoothed.tolist()), suggestion, float(rates[lowest]), ending
    )


def smooth(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of each loss and its neighbours, the nearer ones counting more.

    It looks to both sides, since a mean of the past alone lags: at 100 steps over seven powers of
    ten it would move the steepest place up by a factor of four. Losses count as at most twice the
    first ones, so that an explosion does not reach back.

    Example:
        >>> smooth(np.array([2.0, 2.0, 2.0])).round(9).tolist()
        [2.0, 2.0, 2.0]
    """
    cut = np.minimum(losses, 2 * np.median(losses[:_FEWEST]))
    reach = _reach(len(losses))
    weights = reach + 1.0 - np.abs(np.arange(-reach, reach + 1))
    sums = np.convolve(cut, weights)[reach : reach + len(cut)]
    counts = np.convolve(np.ones(len(cut)), weights)[reach : reach + len(cut)]
    return np.asarray(sums / counts)


def _reach(count: int) -> int:
    """How many neighbours on each side a curve of so many points is smoothed over."""
    return max(1, count // 20)


def _slopes(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The slope of the straight line through each point and its neighbours, by least squares."""
    reach = _reach(len(x))
    slopes = []
    for place in range(len(x)):
        near = slice(max(0, place - reach), place + reach + 1)
        across = x[near] - x[near].mean()
        slopes.append(float((across * y[near]).sum() / (across**2).sum()))
    return np.array(slopes)


def _batches(train: Pipeline, steps: int) -> Iterator[Batch]:
    """As many batches as are asked for, epoch after epoch."""
    for step in range(0, steps, train.steps_per_epoch):
        batches = train.epoch(step // train.steps_per_epoch)
        for _, batch in zip(range(steps - step), batches, strict=False):
            yield batch
