"""Learning-rate schedules: the factor on `optimizer.lr` as a pure function of the step.

The plateau schedule also depends on what evaluations found; that history is a frozen state of
three numbers, moved by a pure function and stored in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from backbones.errors import TrainingStopped
from backbones.training.recipe import Schedule
from backbones.units import Length


@dataclass(frozen=True)
class StepPlan:
    """When things happen in a run, all counted in optimiser steps from its start."""

    steps_per_epoch: int
    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    batch_size: int

    def ends_epoch(self, step: int) -> bool:
        """Whether the epoch (or the run) is over once `step` steps are done."""
        return step % self.steps_per_epoch == 0 or step == self.total_steps

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation is due once `step` steps are done."""
        return step % self.evaluate_every == 0 or step == self.total_steps

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due once `step` steps are done."""
        return step % self.checkpoint_every == 0 or self.evaluates(step) or self.ends_epoch(step)


def warmup_factor(step: int, *, warmup_steps: int, start: float) -> float:
    """A straight line from `start` at step 0 to 1 at `warmup_steps`, then 1.

    Example:
        >>> [warmup_factor(step, warmup_steps=4, start=0.5) for step in (0, 2, 4, 9)]
        [0.5, 0.75, 1.0, 1.0]
    """
    if step >= warmup_steps:
        return 1.0
    return start + (1 - start) * step / warmup_steps


def held_factor(step: int, *, warmup_steps: int, start: float) -> float:
    """`start` until `warmup_steps`, then 1.

    Reference: He et al. (2015), Deep Residual Learning, section 4.2: 0.01 instead of 0.1 at the
    start of the network of 110 layers.
    """
    return start if step < warmup_steps else 1.0


def step_factor(step: int, *, every_steps: int, gamma: float) -> float:
    """Times `gamma` after each `every_steps` steps."""
    return float(gamma ** (step // every_steps))


def multistep_factor(step: int, *, milestones: tuple[int, ...], gamma: float) -> float:
    """Times `gamma` at each milestone that has been reached."""
    return float(gamma ** sum(step >= milestone for milestone in milestones))


def piecewise_factor(step: int, *, milestones: tuple[int, ...], factors: Sequence[float]) -> float:
    """The factor of the last milestone that has been reached; 1 before the first.

    Example:
        >>> [piecewise_factor(s, milestones=(2, 4), factors=(0.5, 0.3)) for s in (1, 2, 9)]
        [1.0, 0.5, 0.3]
    """
    reached = [value for at, value in zip(milestones, factors, strict=True) if step >= at]
    return reached[-1] if reached else 1.0


def poly_factor(step: int, *, steps: int, power: float) -> float:
    """(1 - step / steps) to the power of `power`; 0 from `steps` on."""
    return max(0.0, 1 - step / steps) ** power if steps > 0 else 0.0


def cosine_factor(step: int, *, steps: int, floor: float) -> float:
    """Half a cosine wave: 1 at step 0, `floor` at `steps` and after it."""
    done = min(step / steps, 1.0) if steps > 0 else 1.0
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Plateau:
    """Where a plateau schedule stands.

    Args:
        factor: on the learning rate, now.
        best: the lowest figure so far; None before the first evaluation.
        waiting: evaluations in a row that did not improve on it.
    """

    factor: float = 1.0
    best: float | None = None
    waiting: int = 0

    def after(self, value: float, row: Schedule) -> Plateau:
        """The state once an evaluation has found `value`.

        `value` improves where it is below `best` by the share `threshold`; the first number
        always does, and what is no number never. More than `patience` evaluations without
        improvement multiply the factor by `gamma`, down to `floor`.
        """
        if value < (math.inf if self.best is None else self.best * (1 - row.threshold)):
            return Plateau(self.factor, value, 0)
        if self.waiting + 1 <= row.patience:
            return Plateau(self.factor, self.best, self.waiting + 1)
        return Plateau(max(self.factor * row.gamma, row.floor), self.best, 0)


class LearningRate:
    """One run's schedule.

    Args:
        row: the recipe's schedule.
        plan: of the run; lengths in the row are counted with it.
    """

    def __init__(self, row: Schedule, plan: StepPlan) -> None:
        def steps(length: Length) -> int:
            return length.steps(
                steps_per_epoch=plan.steps_per_epoch,
                batch_size=plan.batch_size,
                total_steps=plan.total_steps,
            )

        self._row = row
        self._total = plan.total_steps
        self._warmup = steps(row.warmup)
        self._every = max(1, steps(row.every))
        self._milestones = tuple(steps(milestone) for milestone in row.milestones)
        self.plateau = Plateau()

    def factor(self, step: int) -> float:
        """On the learning rate of the step number `step`, counted from 0."""
        row = self._row
        after = max(0, step - self._warmup)
        warm = warmup_factor if row.warmup_shape == "linear" else held_factor
        ramp = warm(step, warmup_steps=self._warmup, start=row.warmup_from)
        match row.kind:
            case "constant":
                return ramp
            case "step":
                return ramp * step_factor(step, every_steps=self._every, gamma=row.gamma)
            case "multistep":
                return ramp * multistep_factor(step, milestones=self._milestones, gamma=row.gamma)
            case "piecewise":
                return ramp * piecewise_factor(
                    step, milestones=self._milestones, factors=row.factors
                )
            case "plateau":
                return ramp * self.plateau.factor
            case "poly":
                return ramp * poly_factor(after, steps=self._total - self._warmup, power=row.power)
            case "cosine":
                wave = cosine_factor(after, steps=self._total - self._warmup, floor=row.floor)
                return ramp * wave

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Tell a plateau schedule what an evaluation found; others do not listen.

        Raises:
            TrainingStopped: the evaluation has no figure of the name that is monitored.
        """
        if self._row.kind != "plateau":
            return
        if self._row.monitor not in metrics:
            raise TrainingStopped(
                f"the plateau schedule watches {self._row.monitor}, which the evaluation did not"
                f" give; it gave {', '.join(metrics)}: set schedule.monitor to one of these"
            )
        self.plateau = self.plateau.after(metrics[self._row.monitor], self._row)

    def state(self) -> dict[str, float | int | None]:
        """What a checkpoint has to keep."""
        return asdict(self.plateau)

    def load_state(self, state: Mapping[str, float | int | None]) -> None:
        """Go on from what `state` returned."""
        factor, waiting = state["factor"], state["waiting"]
        self.plateau = Plateau(float(factor or 0.0), state["best"], int(waiting or 0))
