"""A run in memory, and how it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from backbones import compute
from backbones.data.pipeline import Pipeline
from backbones.nn.auxiliary import WithAuxiliary
from backbones.nn.shared_norm import share_norms
from backbones.ranks import ALONE, Ranks
from backbones.training.average import Average
from backbones.training.checkpoint import fingerprint
from backbones.training.exactness import prepare_kernels
from backbones.training.optim import Frozen, build_optimizer, class_weight_tensor, freeze
from backbones.training.recipe import Recipe
from backbones.training.replica import replicate
from backbones.training.schedule import LearningRate, StepPlan
from backbones.training.stop import StopRequest


@dataclass
class EpochSums:
    """What an epoch has added up so far."""

    loss: float = 0.0
    num_correct: int = 0
    num_examples: int = 0
    num_skipped: int = 0


@dataclass
class Training:
    """A run in memory.

    Args:
        model: the network that trains.
        network: the same, or its compiled form, or this process's replica; what is called.
        recipe, plan: as they are.
        device: to train on.
        rate, average, frozen, class_weights: as the recipe asks.
        names: what the image at a position of the split is called.
        data: fingerprint of the training split.
        step: optimiser steps done.
        sums: of the epoch that is under way.
        best: metrics of the best evaluation so far.
        due: whether an evaluation of this step is to be done before the next step: of the probe,
            or one that was given up.
        since_best: evaluations since the best one.
        probed: metrics of the probe, before the first step.
        chosen_by: digest of the images that choose the best weights; None where none do.
        ranks: the processes that train together.
        stop: whether somebody asked to stop; of several processes each says it at every step.
    """

    model: nn.Module
    network: Callable[[Tensor], Tensor | WithAuxiliary]
    recipe: Recipe
    plan: StepPlan
    device: torch.device
    rate: LearningRate
    average: Average | None
    frozen: Frozen
    class_weights: Tensor | None
    names: Callable[[int], str]
    data: Mapping[str, Any]
    step: int = 0
    sums: EpochSums = field(default_factory=EpochSums)
    best: dict[str, float] | None = None
    due: bool = False
    since_best: int = 0
    probed: dict[str, float] | None = None
    chosen_by: str | None = None
    ranks: Ranks = ALONE
    stop: StopRequest = field(default_factory=StopRequest)

    @property
    def synced(self) -> bool:
        """Whether batch norm sees what all processes have of a batch."""
        return self.recipe.sync_norm and not self.ranks.alone

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """As the recipe asks; made for the first step."""
        return build_optimizer(self.model, self.recipe)

    @property
    def epoch(self) -> int:
        """The epoch of the last step done, counted from 1; 0 before the first."""
        return -(-self.step // self.plan.steps_per_epoch)

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or evaluations stopped improving."""
        patience = self.recipe.patience
        gave_up = patience is not None and self.since_best >= patience
        return gave_up or self.step >= self.plan.total_steps

    @property
    def kept(self) -> nn.Module:
        """The network that is evaluated and kept: the running average where there is one."""
        return self.model if self.average is None else self.average.model


def begin(
    model: nn.Module, recipe: Recipe, plan: StepPlan, train: Pipeline, ranks: Ranks = ALONE
) -> Training:
    """Put the network on its device and build what moves it; all processes do that together."""
    device = torch.device(compute.choose_device(recipe.device))
    prepare_kernels(recipe)
    order = torch.channels_last if recipe.channels_last is True else torch.contiguous_format
    model.to(device).to(memory_format=order)  # type: ignore[call-overload]
    synced = recipe.sync_norm and not ranks.alone
    if synced:
        share_norms(model, device, ranks.group)
    ranks.copy_first(model)
    frozen = freeze(model, recipe.freeze)
    weights = class_weight_tensor(
        recipe.class_weights, train.split.classes, torch.from_numpy(train.split.labels)
    )
    network = torch.compile(model) if recipe.compile else model
    return Training(
        model=model,
        network=network if ranks.alone else replicate(network, ranks, device, synced=synced),
        recipe=recipe,
        plan=plan,
        device=device,
        rate=LearningRate(recipe.schedule, plan),
        average=_average(model, recipe, plan),
        ranks=ranks,
        stop=StopRequest(alone=ranks.alone),
        frozen=frozen,
        class_weights=None if weights is None else weights.to(device),
        names=train.split.images.name,
        data=fingerprint(train.split),
        due=recipe.probes,
    )


def _average(model: nn.Module, recipe: Recipe, plan: StepPlan) -> Average | None:
    """The recipe's average of the weights, if it has one."""
    if recipe.polyak_from is not None:
        since = recipe.polyak_from.steps(
            steps_per_epoch=plan.steps_per_epoch,
            batch_size=plan.batch_size,
            total_steps=plan.total_steps,
        )
        return Average(model, None, since)
    return Average(model, recipe.ema) if recipe.ema is not None else None
