"""One optimiser step, and everything that it touches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import compute
from backbones.data.pipeline import Batch, Pipeline
from backbones.errors import Diverged
from backbones.nn.auxiliary import WithAuxiliary, main_logits, total_loss
from backbones.training.average import Average
from backbones.training.checkpoint import fingerprint
from backbones.training.exactness import chosen_kernels, prepare_kernels
from backbones.training.lone import without_lone
from backbones.training.mixed import computing_in
from backbones.training.mixing import Targets, mix
from backbones.training.optim import (
    Frozen,
    build_optimizer,
    class_weight_tensor,
    freeze,
    set_learning_rate,
)
from backbones.training.recipe import Recipe
from backbones.training.record import StepRecord
from backbones.training.schedule import LearningRate, StepPlan


def step_seed(seed: int, step: int) -> int:
    """The seed of what is sampled inside the network (dropout) in one step.

    Chosen anew for each step from (seed, step), so that a resume needs no random state.
    """
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the CPU's generator and the device's; `torch.manual_seed` would seed every GPU."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


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
        network: the same, or its compiled form; what is called.
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


def begin(model: nn.Module, recipe: Recipe, plan: StepPlan, train: Pipeline) -> Training:
    """Put the network on its device and build what moves it."""
    device = torch.device(compute.choose_device(recipe.device))
    prepare_kernels(recipe)
    order = torch.channels_last if recipe.channels_last is True else torch.contiguous_format
    model.to(device).to(memory_format=order)  # type: ignore[call-overload]
    frozen = freeze(model, recipe.freeze)
    weights = class_weight_tensor(
        recipe.class_weights, train.split.classes, torch.from_numpy(train.split.labels)
    )
    return Training(
        model=model,
        network=torch.compile(model) if recipe.compile else model,
        recipe=recipe,
        plan=plan,
        device=device,
        rate=LearningRate(recipe.schedule, plan),
        average=_average(model, recipe, plan),
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


def train_step(training: Training, batch: Batch, began: float) -> StepRecord:
    """Learn from one batch; an empty one (all files bad) passes without a trace in the weights.

    So does one of which unreadable files leave a single image, where batch norm cannot learn
    from one.

    Args:
        training: moved on by one step.
        batch: to learn from.
        began: `time.perf_counter()` when the step before ended.

    Raises:
        Diverged: the loss is not a finite number; the weights are as before the step.
    """
    step, recipe = training.step, training.recipe
    if len(batch.labels) == 1:
        name = training.names(int(batch.indices[0]))
        batch = without_lone(batch, recipe.batch_size, training.model, name)
    count = len(batch.labels)
    seed_generators(training.device, step_seed(recipe.seed, step))
    lr = set_learning_rate(training.optimizer, training.rate.factor(step))
    loss, correct, norm = None, 0, None
    if count:
        with chosen_kernels(recipe):
            loss, correct, norm = _learn(training, batch, lr)
        training.sums.loss += loss * count
    training.sums.num_correct += correct
    training.sums.num_examples += count
    training.sums.num_skipped += len(batch.bad)
    training.step += 1
    return StepRecord(
        step=training.step,
        epoch=training.epoch,
        loss=loss,
        num_correct=correct,
        num_examples=count,
        lr=lr,
        grad_norm=norm,
        bad=tuple((file.name, file.reason) for file in batch.bad),
        seconds=time.perf_counter() - began,
    )


def _learn(training: Training, batch: Batch, lr: float) -> tuple[float, int, float | None]:
    """Move the weights by one batch; the loss, the right answers, the norm of the gradient."""
    recipe, norm = training.recipe, None
    loss, correct = _gradients(training, batch)
    if not math.isfinite(loss):
        raise _not_finite(training, batch, loss, lr)
    if recipe.clip_norm is not None:
        norm = float(nn.utils.clip_grad_norm_(training.model.parameters(), recipe.clip_norm))
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    if training.average is not None:
        training.average.update(training.model, training.step)
    return loss, correct, norm


def _gradients(training: Training, batch: Batch) -> tuple[float, int]:
    """Add up the gradient of the batch's mean loss, a part of the batch at a time.

    Returns:
        The mean loss and the number of right answers (of a mixed image: the class that has
        the larger share of it).
    """
    recipe, count = training.recipe, len(batch.labels)
    parts = min(recipe.accumulate, max(1, count // 2))  # batch norm cannot learn from one image
    all_images, targets = mix(batch.images, batch.labels, recipe, training.step)
    targets = targets.to(training.device)
    total_weight = _weight(training, targets.labels)
    losses, rights = [], []
    for images, part in zip(all_images.tensor_split(parts), targets.split(parts), strict=True):
        output = _forward(training, images)
        mean = total_loss(output, partial(_loss, training, part))
        # each part's mean counts by its share of the whole batch, the short last one too
        loss = mean * (_weight(training, part.labels) / total_weight)
        torch.autograd.backward(loss)
        losses.append(loss.detach().float())
        rights.append((main_logits(output).argmax(1) == part.likelier).sum().float())
    # a device is waited for here once, when all its work is on its way
    figures = torch.stack([*losses, *rights]).tolist()
    return sum(figures[:parts]), round(sum(figures[parts:]))


def _loss(training: Training, targets: Targets, logits: Tensor) -> Tensor:
    """The cross-entropy; of a mixed batch, that of both labels by their shares."""
    first = _cross_entropy(training, targets.labels, logits)
    if targets.others is None:
        return first
    other = _cross_entropy(training, targets.others, logits)
    return targets.share * first + (1 - targets.share) * other


def _cross_entropy(training: Training, labels: Tensor, logits: Tensor) -> Tensor:
    return F.cross_entropy(
        logits.float(),
        labels,
        training.class_weights,
        label_smoothing=training.recipe.label_smoothing,
    )


def _weight(training: Training, labels: Tensor) -> float:
    """What the mean of a loss over these labels is divided by."""
    if training.class_weights is None:
        return float(len(labels))
    # a batch of nothing but classes of weight 0 is divided by 1: its loss is 0, not 0 / 0
    return float(training.class_weights[labels].sum()) or 1.0


def _forward(training: Training, images: Tensor) -> Tensor | WithAuxiliary:
    recipe = training.recipe
    order = torch.channels_last if recipe.channels_last is True else torch.contiguous_format
    images = images.to(training.device, non_blocking=True).contiguous(memory_format=order)
    with computing_in(recipe.precision, training.device, compiled=recipe.compile):
        return training.network(images)


def _not_finite(training: Training, batch: Batch, loss: float, lr: float) -> Diverged:
    """What to raise for a loss of nan or infinity."""
    files = [training.names(int(index)) for index in batch.indices]
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    ways = [f"a lower optimizer.lr (it is {lr:g})"]
    if training.recipe.clip_norm is None:
        ways.append("clip_norm=1")
    if training.recipe.precision == "bf16":
        ways.append("precision=fp32")
    return Diverged(
        f"step {training.step + 1} (epoch {training.step // training.plan.steps_per_epoch + 1}):"
        f" the loss is {loss}, expected a finite number; the batch was {shown};"
        f" try --set with {' or '.join(ways)}"
    )
