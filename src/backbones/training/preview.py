"""What a recipe would do, without doing it: its learning rate, its images, its differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from backbones.spec import InputSpec
from backbones.training.recipe import Recipe, Schedule
from backbones.training.schedule import LearningRate, Plateau, StepPlan

_POINTS = 600
_FALLS = 4  # of a plateau schedule without a floor
_TEXTS = ("name", "summary", "source", "expected")


@dataclass(frozen=True)
class RateCurve:
    """A schedule over a run.

    Args:
        epochs, rates: points, the first and the last step among them.
        total_steps: of the run.
        note: how a plateau schedule was read; empty for the others.
    """

    epochs: tuple[float, ...]
    rates: tuple[float, ...]
    total_steps: int
    note: str = ""


def rate_curve(recipe: Recipe, num_images: int) -> RateCurve:
    """The learning rate that a run over so many images would have.

    A plateau schedule depends on evaluations: here they stop improving at even distances, as
    often as the rate can fall.

    Args:
        recipe: need not be resolved.
        num_images: in the training split.

    Example:
        >>> curve = rate_curve(Recipe(), num_images=320)
        >>> curve.total_steps, curve.rates[0], curve.epochs[-1]
        (100, 0.01, 10.0)
    """
    size = recipe.batch_size
    per_epoch = max(1, -(-num_images // size))
    total = recipe.length.steps(steps_per_epoch=per_epoch, batch_size=size)
    if not total:
        return RateCurve((0.0,), (0.0,), 0, "no optimizer steps: the probe alone is fitted")
    every = max(
        1,
        recipe.evaluate_every.steps(steps_per_epoch=per_epoch, batch_size=size, total_steps=total),
    )
    rate = LearningRate(recipe.schedule, StepPlan(per_epoch, total, every, every, size))
    shown = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).round().astype(int))
    factors = _plateau_factors(recipe.schedule, total // every)
    epochs, rates = [], []
    for step in shown.tolist():
        rate.plateau = Plateau(factors[step * len(factors) // total])
        epochs.append(step / per_epoch)
        rates.append(recipe.optimizer.lr * rate.factor(step))
    epochs.append(total / per_epoch)
    rates.append(rates[-1])
    note = "falls when evaluations stop improving; drawn at even distances"
    return RateCurve(tuple(epochs), tuple(rates), total, note if len(factors) > 1 else "")


def _plateau_factors(schedule: Schedule, evaluations: int) -> list[float]:
    """The factors that a plateau schedule goes through, at most as many as evaluations allow."""
    factors = [1.0]
    if schedule.kind == "plateau":
        most = min(_FALLS, evaluations // (schedule.patience + 1))
        while len(factors) <= most and factors[-1] > 1.001 * schedule.floor:
            factors.append(max(factors[-1] * schedule.gamma, schedule.floor))
    return factors


def harder_for_training(recipe: Recipe) -> str:
    """What makes a training loss higher than a held-out one, in words; "" for nothing.

    Example:
        >>> harder_for_training(Recipe(label_smoothing=0.1))
        'label smoothing'
    """
    augment, found = recipe.augment, []
    resized = augment.crop == "random_resized"
    if resized or augment.pad or augment.flip or augment.jitter or augment.rand_ops:
        found.append("augmentation")
    if recipe.mixup or recipe.cutmix:
        found.append("mixed images")
    if recipe.label_smoothing:
        found.append("label smoothing")
    return ", ".join([*found[:-2], " and ".join(found[-2:])])


def seen(images: Tensor, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """A batch as images again: normalisation undone, rounded, cut to 0..255.

    Args:
        images: as a network gets them.
        spec: whose mean and deviation they were normalised with.

    Shapes: float32 (N, C, S, S) -> uint8 (N, S, S, C).
    """
    pixels = images.permute(0, 2, 3, 1).double().numpy()
    scaled = (pixels * np.array(spec.std) + np.array(spec.mean)) * 255
    rounded: npt.NDArray[np.uint8] = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
    return rounded


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The fields of a recipe by their dotted paths.

    Example:
        >>> flat({"seed": 0, "optimizer": {"lr": 0.1}})
        {'seed': 0, 'optimizer.lr': 0.1}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and name != "class_weights":
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


def differences(one: Recipe, other: Recipe) -> tuple[tuple[str, Any, Any], ...]:
    """Every field in which two recipes differ: (dotted path, value, other value).

    Name, summary, source and expected result say nothing about the run and are left out.

    Example:
        >>> differences(Recipe(seed=1), Recipe(seed=2))
        (('seed', 1, 2),)
    """
    ours, theirs = flat(one.to_json()), flat(other.to_json())
    return tuple(
        (path, value, theirs[path])
        for path, value in ours.items()
        if value != theirs[path] and path not in _TEXTS
    )
