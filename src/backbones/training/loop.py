"""The training loop: one straight generator of records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import nn

from backbones import speed
from backbones.data.pipeline import Pipeline
from backbones.errors import BadData, Interrupted, TrainingStopped
from backbones.ranks import ALONE, Ranks
from backbones.signals import Asked, exit_code
from backbones.training.checkpoint import (
    put_back,
    read_checkpoint,
    refuse_other_data,
    refuse_other_recipe,
)
from backbones.training.folder import RunFolder
from backbones.training.keeping import counts, error_rank, keep, save
from backbones.training.optim import train_mode
from backbones.training.recipe import Recipe
from backbones.training.record import (
    EndRecord,
    EpochRecord,
    EvaluationRecord,
    Record,
    StartRecord,
)
from backbones.training.schedule import StepPlan
from backbones.training.state import EpochSums, Training, begin
from backbones.training.step import train_step
from backbones.training.stop import StopRequest, listen_for_stop

Evaluate = Callable[[nn.Module], Any]
Together = Callable[[Any | None], Mapping[str, float]]


def plan_of(recipe: Recipe, train: Pipeline) -> StepPlan:
    """The recipe's lengths in steps of this data.

    Raises:
        BadData: there is nothing to train on.
    """
    per_epoch = train.steps_per_epoch
    if per_epoch < 1:
        raise BadData("the training split holds no images")
    size = recipe.batch_size
    total = recipe.length.steps(steps_per_epoch=per_epoch, batch_size=size)
    evaluate, save = (
        max(1, every.steps(steps_per_epoch=per_epoch, batch_size=size, total_steps=total))
        for every in (recipe.evaluate_every, recipe.checkpoint_every)
    )
    return StepPlan(per_epoch, total, evaluate, save, size)


def fit(
    model: nn.Module,
    recipe: Recipe,
    train: Pipeline,
    *,
    evaluate: Evaluate | None,
    run: RunFolder,
    resume: bool = False,
    select: bool = True,
    chosen_by: str | None = None,
    ranks: Ranks = ALONE,
    together: Together | None = None,
) -> Iterator[Record]:
    """Train a network, and say what happens as it happens.

    Args:
        model: fresh from `build`, also for a resume; trained in place.
        recipe: resolved (an `auto` that is left counts as off).
        train: batches of `recipe.batch_size`.
        evaluate: gives at least "top1_error_percent" and "loss", or what `together` makes these
            of; None = no evaluation, no best.
        run: where everything is kept.
        resume: go on from the run's checkpoint, or from the start where there is none yet.
        select: keep the weights with the lowest error as "best". False keeps the last ones
            there: choosing by the images that are also the final test would flatter them.
        chosen_by: digest of the images that `evaluate` is about, by which "best" is known later
            to have been chosen by them.
        ranks: the processes that train together; all call this, and the first one writes.
        together: makes the figures of what every process's `evaluate` gave, or raises `Asked` in
            all of them where one gave up (None).

    Yields:
        Start, step, epoch, evaluation and checkpoint records, in the order of events.

    Raises:
        Diverged: the loss is not finite.
        TrainingStopped: no image can be read, or the disk is full.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; the step was finished and saved. In the command
            line a step that takes longer than a second is not waited for.
        WrongUse: a resume with another recipe or other data.
        ProcessLost: another process is gone.
    """
    if recipe.large_buffers is True:
        speed.keep_large_buffers()
    plan = plan_of(recipe, train)
    with ranks.telling_of_lost():
        training = begin(model, recipe, plan, train, ranks)
    training.chosen_by = chosen_by if select else None
    notes = _resume(training, run) if resume else run.start_notes
    began = training.step
    run.thin(plan.steps_per_epoch)
    yield run.record(
        StartRecord(training.step, plan.total_steps, plan.steps_per_epoch, len(train.split), notes)
    )
    training.stop.kept = _kept(training, run)
    with listen_for_stop(training.stop) as stop, ranks.telling_of_lost(lambda: stop.kept):
        watched = _given_up(stop, evaluate, together)
        if training.due:
            yield from _watch(training, watched, train, run, select)
            if stop.reason:
                raise _interrupted(training, run, stop)
            yield run.record(save(training, run))
        while not training.ended:
            epoch, first = divmod(training.step, plan.steps_per_epoch)
            train_mode(model, training.frozen)
            clock, seen = _Clock(), training.sums.num_examples
            for batch in train.epoch(epoch, start=first):
                yield run.record(train_step(training, batch, clock.step_began))
                clock.step_ends()
                if plan.ends_epoch(training.step):
                    yield run.record(_finish_epoch(training, clock, seen))
                if plan.evaluates(training.step):
                    yield from _watch(training, watched, train, run, select)
                if plan.saves(training.step) or stop.reason:
                    yield run.record(save(training, run))
                    stop.kept = _kept(training, run)
                if stop.reason:
                    keep(training, train, run, {}, best=False)
                    raise _interrupted(training, run, stop)
                if training.ended:
                    break
                clock.step_begins()
        if training.step > began and (notes := _ending(training)):
            yield run.record(EndRecord(training.step, notes))
    model.eval()


class _Clock:
    """Seconds of training, without those of evaluations and checkpoints."""

    def __init__(self) -> None:
        self.training = 0.0
        self.step_began = time.perf_counter()

    def step_ends(self) -> None:
        self.training += time.perf_counter() - self.step_began

    def step_begins(self) -> None:
        self.step_began = time.perf_counter()


def _finish_epoch(training: Training, clock: _Clock, seen_before: int) -> EpochRecord:
    """Sum up the epoch and begin the next one's sums."""
    sums, training.sums = training.sums, EpochSums()
    if not sums.num_examples:
        raise TrainingStopped(
            f"epoch {training.epoch}: none of its {sums.num_skipped} images could be read and"
            " learned from; backbones data check lists each with its reason"
        )
    return EpochRecord(
        step=training.step,
        epoch=training.epoch,
        loss=sums.loss / sums.num_examples,
        top1_error_percent=100 * (1 - sums.num_correct / sums.num_examples),
        num_examples=sums.num_examples,
        num_skipped=sums.num_skipped,
        lr=max(group["lr"] for group in training.optimizer.param_groups),
        images_per_second=(sums.num_examples - seen_before) / max(clock.training, 1e-9),
        seconds=clock.training,
    )


def _watch(
    training: Training,
    evaluate: Evaluate | None,
    train: Pipeline,
    run: RunFolder,
    select: bool,
) -> Iterator[EvaluationRecord]:
    """Evaluate, where there is something to evaluate on; given up by a stop, it is due again."""
    if evaluate is None:
        training.due = False
        keep(training, train, run, {}, best=False)
        return
    training.due = True
    with suppress(Asked):
        record = _evaluate(training, evaluate, train, run, select)
        training.due = False
        yield run.record(record)
    train_mode(training.model, training.frozen)
    rows = training.ranks.rows([training.stop.number or 0])
    training.stop.agree(max(int(number) for (number,) in rows))


def _given_up(
    stop: StopRequest, evaluate: Evaluate | None, together: Together | None
) -> Evaluate | None:
    """An evaluation that a signal breaks off; of several processes, in all of them."""
    if evaluate is None:
        return None
    alone = stop.giving_up(evaluate)
    if together is None:
        return alone

    def shared(network: nn.Module) -> Mapping[str, float]:
        mine = None
        with suppress(Asked):
            mine = alone(network)
        return together(mine)

    return shared


def _evaluate(
    training: Training,
    evaluate: Evaluate,
    train: Pipeline,
    run: RunFolder,
    select: bool,
) -> EvaluationRecord:
    """Evaluate, tell the schedule, and keep the bundles."""
    began = time.perf_counter()
    kept = training.kept.eval()
    metrics = {
        name: value
        for name, value in evaluate(kept).items()
        if isinstance(value, int | float) and not name.endswith(("seconds", "_s", "per_second"))
    }
    seconds = time.perf_counter() - began
    training.rate.observe(metrics)
    best = counts(metrics) and (
        not select or training.best is None or error_rank(metrics) < error_rank(training.best)
    )
    if training.step == 0:
        training.probed = metrics
    training.since_best = 0 if best else training.since_best + 1
    if best:
        training.best = metrics
    keep(training, train, run, metrics, best=best)
    return EvaluationRecord(training.step, training.epoch, metrics, best, seconds)


def _resume(training: Training, run: RunFolder) -> tuple[str, ...]:
    """Go back to the checkpoint, and forget what was written after it."""
    notes, start = run.changes_since_start(), run.start()
    recipe_file = run.path / "recipe.json"
    refuse_other_recipe(start.recipe, training.recipe, recipe_file)
    refuse_other_data(start.data, training.data)
    if not run.checkpoint_path.exists():
        run.refuse_lost_checkpoint()
        run.cut([0, 0, 0])
        return ("no checkpoint was written yet: the run begins again", *notes)
    tensors, facts = read_checkpoint(run.checkpoint_path)
    refuse_other_recipe(facts["recipe"], training.recipe, recipe_file)
    average = training.average
    put_back(training.model, training.optimizer, average, tensors, facts["optimizer"])
    training.step = facts["step"]
    training.sums = EpochSums(**facts["sums"])
    training.best = facts["best"]
    training.due = facts.get("due", False)
    training.since_best = facts.get("since_best", 0)
    training.probed = facts.get("probed")
    training.rate.load_state(facts["schedule"])
    if training.ended:
        return (
            f"the run is finished: {_how_far(training)}; to train on, begin a new run with"
            f" --set weights={run.last_path}",
        )
    run.cut(facts["positions"], facts["metrics_sha256"])
    return (f"resumed at step {training.step} of {training.plan.total_steps}", *notes)


def _how_far(training: Training) -> str:
    if training.step >= training.plan.total_steps:
        return f"all {training.step} steps are done"
    return (
        f"it ended after step {training.step} of {training.plan.total_steps}, as"
        f" {training.since_best} evaluations in a row were no better (patience)"
    )


def _ending(training: Training) -> tuple[str, ...]:
    """What is worth a word when the last step is done."""
    notes = []
    if training.step < training.plan.total_steps:
        notes.append(_how_far(training))
    probed, best = training.probed, training.best
    if training.chosen_by is not None and probed is not None and best is not None:
        before, after = (1 - each["top1_error_percent"] / 100 for each in (probed, best))
        notes.append(
            f"training did not beat the probe (validation accuracy {before:.4f}): the probe's"
            " weights are kept"
            if best == probed
            else f"validation accuracy {after:.4f}, of the probe {before:.4f}"
        )
    return tuple(notes)


def _kept(training: Training, run: RunFolder) -> str:
    saved = f"step {training.step} is" if training.step else "no step is"
    return f"{saved} saved; go on with: backbones train --resume {run.path}"


def _interrupted(training: Training, run: RunFolder, stop: StopRequest) -> Interrupted:
    assert stop.asked is not None
    return Interrupted(
        f"stopped by {stop.reason} after step {training.step} of {training.plan.total_steps},"
        f" which is saved; go on with: backbones train --resume {run.path}",
        exit_code(stop.asked),
    )
