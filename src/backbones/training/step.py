"""One optimiser step, and everything that it touches."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from backbones.data.pipeline import Batch
from backbones.errors import Diverged
from backbones.nn.auxiliary import WithAuxiliary, main_logits, total_loss
from backbones.training.exactness import chosen_kernels
from backbones.training.lone import without_lone
from backbones.training.mixed import computing_in
from backbones.training.mixing import Targets, mix
from backbones.training.optim import (
    set_learning_rate,
)
from backbones.training.recipe import Recipe
from backbones.training.record import StepRecord
from backbones.training.replica import WholeBatch
from backbones.training.state import Training


def step_seed(seed: int, step: int, *rank: int) -> int:
    """The seed of what is sampled inside the network (dropout) in one step.

    Chosen anew for each step from (seed, step), so that a resume needs no random state; and from
    the rank, where a process cannot sample for the whole batch.
    """
    return int(np.random.SeedSequence([seed, step, *rank]).generate_state(1, np.uint64)[0] >> 1)


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the CPU's generator and the device's; `torch.manual_seed` would seed every GPU."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


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
    batch, whole = _whole(training, batch)
    count = whole.count
    rank = () if _samples_as_one(recipe) or training.ranks.alone else (training.ranks.rank,)
    seed_generators(training.device, step_seed(recipe.seed, step, *rank))
    lr = set_learning_rate(training.optimizer, training.rate.factor(step))
    loss, correct, norm = None, 0, None
    if count:
        with chosen_kernels(recipe):
            loss, correct, norm = _learn(training, batch, whole, lr)
        training.sums.loss += loss * count
    else:
        _summed(training, 0.0, 0)
    training.sums.num_correct += correct
    training.sums.num_examples += count
    training.sums.num_skipped += len(whole.bad)
    training.step += 1
    return StepRecord(
        step=training.step,
        epoch=training.epoch,
        loss=loss,
        num_correct=correct,
        num_examples=count,
        lr=lr,
        grad_norm=norm,
        bad=whole.bad,
        seconds=time.perf_counter() - began,
    )


def _whole(training: Training, batch: Batch) -> tuple[Batch, WholeBatch]:
    """What is learned from of this process's part of a batch, and what all have of it together."""
    ranks = training.ranks
    if not training.synced:
        batch = _without_lone(training, batch)
    counts, weights, missing = _told(training, batch)
    if training.synced and sum(counts) == 1:
        batch = _without_lone(training, batch)
        counts, weights, missing = _told(training, batch)
    bad = [(file.name, file.reason) for file in batch.bad]
    if any(missing):
        bad = [(name, reason) for each in ranks.values(bad) for name, reason in each]
    whole = tuple(map(int, counts))
    return batch, WholeBatch(ranks.rank, whole, sum(weights) or 1.0, tuple(bad))


def _told(training: Training, batch: Batch) -> list[tuple[float, ...]]:
    """Of every process: its images, their weight in the loss, its files that cannot be read."""
    weight = _weight_sum(training, batch.labels.to(training.device))
    mine = (len(batch.labels), weight, len(batch.bad))
    return list(zip(*training.ranks.rows(mine), strict=True))


def _without_lone(training: Training, batch: Batch) -> Batch:
    if len(batch.labels) != 1:
        return batch
    name = training.names(int(batch.indices[0]))
    return without_lone(batch, training.recipe.batch_size, training.model, name)


def _summed(training: Training, loss: float, correct: float) -> tuple[float, int]:
    """What all processes found together; they agree here whether to stop after this step."""
    rows = training.ranks.rows((loss, correct, training.stop.number or 0))
    losses, rights, asked = zip(*rows, strict=True)
    training.stop.agree(int(max(asked)))
    return sum(losses), round(sum(rights))


def _learn(
    training: Training, batch: Batch, whole: WholeBatch, lr: float
) -> tuple[float, int, float | None]:
    """Move the weights by one batch; the loss, the right answers, the norm of the gradient."""
    recipe, norm = training.recipe, None
    loss, correct = _gradients(training, batch, whole)
    if not math.isfinite(loss):
        raise _not_finite(training, batch, loss, lr)
    if recipe.clip_norm is not None:
        norm = float(nn.utils.clip_grad_norm_(training.model.parameters(), recipe.clip_norm))
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    if training.average is not None:
        training.average.update(training.model, training.step)
    return loss, correct, norm


def _gradients(training: Training, batch: Batch, whole: WholeBatch) -> tuple[float, int]:
    """Add up the gradient of the batch's mean loss, a part of the batch at a time.

    Several processes have parts of their own, and the last one's gradient is sent to all.

    Returns:
        The mean loss and the number of right answers (of a mixed image: the class that has
        the larger share of it).
    """
    recipe = training.recipe
    most = max(whole.counts) if training.synced else len(batch.labels)
    parts = min(recipe.accumulate, max(1, most // 2))  # batch norm cannot learn from one image
    all_images, targets = mix(
        batch.images, batch.labels, recipe, training.step, _before(training, batch, whole)
    )
    targets = targets.to(training.device)
    losses, rights = [], []
    split = zip(all_images.tensor_split(parts), targets.split(parts), strict=True)
    for number, (images, part) in enumerate(split, 1):
        with _gradients_kept(training, last=number == parts):
            with whole.sampled_as_one() if _samples_as_one(recipe) else nullcontext():
                output = _forward(training, images)
            mean = total_loss(output, partial(_loss, training, part) if len(images) else _nothing)
            # each part's mean counts by its share of the whole batch, the short last one too
            loss = mean * (_weight(training, part.labels) / whole.weight)
            # of what processes have, the mean is sent to all, and the sum is wanted
            torch.autograd.backward(loss if training.ranks.alone else loss * training.ranks.size)
        losses.append(loss.detach().float())
        rights.append((main_logits(output).argmax(1) == part.likelier).sum().float())
    # a device is waited for here once, when all its work is on its way
    figures = torch.stack([*losses, *rights]).tolist()
    return _summed(training, sum(figures[:parts]), sum(figures[parts:]))


def _gradients_kept(training: Training, *, last: bool) -> AbstractContextManager[None]:
    """Inside, gradients stay in this process, but for those of the last part."""
    if last or not isinstance(training.network, DistributedDataParallel):
        return nullcontext()
    return training.network.no_sync()


def _samples_as_one(recipe: Recipe) -> bool:
    """Whether several processes can leave out what one would: not where it has other parts."""
    return recipe.accumulate == 1 and not recipe.compile


def _before(training: Training, batch: Batch, whole: WholeBatch) -> tuple[Tensor, Tensor] | None:
    """What mixing takes for the image before the first, where another process has that."""
    mixes = training.recipe.mixup or training.recipe.cutmix
    if training.ranks.alone or not mixes or whole.count < 2 or not len(batch.labels):
        return None
    passed = (training.ranks.pass_on(rows, whole.counts) for rows in (batch.images, batch.labels))
    return next(passed), next(passed)


def _nothing(logits: Tensor) -> Tensor:
    """The loss of no images."""
    return logits.float().sum() * 0


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
    # a batch of nothing but classes of weight 0 is divided by 1: its loss is 0, not 0 / 0
    return _weight_sum(training, labels) or 1.0


def _weight_sum(training: Training, labels: Tensor) -> float:
    if training.class_weights is None:
        return float(len(labels))
    return float(training.class_weights[labels].sum())


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
