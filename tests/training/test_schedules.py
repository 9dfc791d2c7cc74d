"""Schedules against torch's own, step by step, and against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from backbones.errors import TrainingStopped
from backbones.training.recipe import Schedule
from backbones.training.schedule import LearningRate, Plateau, StepPlan
from backbones.training.settings import load_recipe

PLAN = StepPlan(
    steps_per_epoch=10, total_steps=40, evaluate_every=10, checkpoint_every=10, batch_size=4
)


def factors(**row: object) -> list[float]:
    rate = LearningRate(Schedule.model_validate(row), PLAN)
    return [rate.factor(step) for step in range(PLAN.total_steps)]


def torch_factors(make) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, found = make(optimizer), []
    for _ in range(PLAN.total_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_stays():
    assert factors(kind="constant") == [1.0] * 40


def test_step_equals_torch():
    ours = factors(kind="step", every="1epochs", gamma=0.5)
    assert ours == pytest.approx(torch_factors(lambda o: lr_scheduler.StepLR(o, 10, 0.5)))


def test_milestones_equal_torch():
    ours = factors(kind="multistep", milestones=["25percent", "3epochs"], gamma=0.1)
    theirs = torch_factors(lambda o: lr_scheduler.MultiStepLR(o, [10, 30], 0.1))
    assert ours == pytest.approx(theirs)
    assert (ours[9], ours[10], ours[30]) == pytest.approx((1.0, 0.1, 0.01))


def test_cosine_equals_torch():
    ours = factors(kind="cosine", floor=0.1)
    theirs = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.1))
    assert ours == pytest.approx(theirs)
    assert ours[20] == pytest.approx(0.55)


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")  # torch 2.6's own call
def test_warm_up_then_cosine_equals_torch():
    ours = factors(kind="cosine", warmup="8steps", warmup_from=0.2)

    def make(optimizer):
        return lr_scheduler.SequentialLR(
            optimizer,
            [
                lr_scheduler.LinearLR(optimizer, 0.2, total_iters=8),
                lr_scheduler.CosineAnnealingLR(optimizer, 32),
            ],
            milestones=[8],
        )

    assert ours == pytest.approx(torch_factors(make))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_poly_equals_torch(power):
    ours = factors(kind="poly", power=power)
    theirs = torch_factors(lambda o: lr_scheduler.PolynomialLR(o, 40, power))
    assert ours == pytest.approx(theirs)
    assert ours[10] == pytest.approx(0.75**power)


def test_piecewise_has_each_factor_from_its_milestone_on():
    ours = factors(kind="piecewise", milestones=["1epochs", "75percent"], factors=[0.4, 0.1])
    assert (ours[9], ours[10], ours[29], ours[30]) == (1.0, 0.4, 0.4, 0.1)


def test_piecewise_needs_a_factor_for_each_milestone():
    with pytest.raises(ValueError, match="2 milestones and 1 factors"):
        Schedule(kind="piecewise", milestones=("1epochs", "2epochs"), factors=(0.5,))


def test_lenets_rates_are_the_papers():
    """eta over the twenty passes, as shares of the first."""
    row = load_recipe("lenet").schedule
    plan = StepPlan(100, 2000, 100, 100, 1)
    etas = [0.0005] * 2 + [0.0002] * 3 + [0.0001] * 3 + [0.00005] * 4 + [0.00001] * 8
    for epoch, eta in enumerate(etas):
        assert LearningRate(row, plan).factor(100 * epoch) == pytest.approx(eta / 0.0005)


def test_a_constant_warm_up_holds_its_factor():
    ours = factors(warmup="4steps", warmup_from=0.1, warmup_shape="constant")
    assert ours[:5] == [0.1, 0.1, 0.1, 0.1, 1.0]


@pytest.mark.parametrize("kind", ["constant", "step", "multistep", "plateau", "cosine"])
def test_every_kind_warms_up(kind):
    ours = factors(kind=kind, warmup="10percent", warmup_from=0.5)
    assert ours[0] == pytest.approx(0.5)
    assert ours[2] == pytest.approx(0.75)
    assert ours[4] == pytest.approx(1.0)


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_equals_torch(patience):
    row = Schedule(
        kind="plateau", patience=patience, gamma=0.5, floor=0.1, threshold=0.05, monitor="loss"
    )
    values = [
        3,
        2,
        1.99,
        1.98,
        1.97,
        1.5,
        1.6,
        1.49,
        1.4,
        1.5,
        1.5,
        1.5,
        1.5,
        1.5,
        math.nan,
        9,
        9,
        9,
    ]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=0.05, min_lr=0.1
    )
    rate = LearningRate(row, PLAN)
    for value in values:
        rate.observe({"loss": value})
        theirs.step(value)
        assert rate.factor(5) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert rate.factor(5) < 1


def test_vggs_rate_falls_by_ten_three_times_and_no_further():
    row = Schedule(kind="plateau", patience=0, gamma=0.1, floor=0.001)
    state, seen = Plateau(), []
    for value in [30, 30, 29, 29, 29, 29, 29]:
        state = state.after(value, row)
        seen.append(round(state.factor, 12))
    assert seen == [1, 0.1, 0.1, 0.01, 0.001, 0.001, 0.001]


def test_a_plateau_state_that_was_stored_goes_on_the_same():
    row = Schedule(kind="plateau", patience=1, gamma=0.5, monitor="loss")
    whole, cut = LearningRate(row, PLAN), LearningRate(row, PLAN)
    for number, value in enumerate([3.0, 3.0, 3.0, 2.0, 2.0, 2.0]):
        whole.observe({"loss": value})
        if number == 2:
            stored, cut = cut.state(), LearningRate(row, PLAN)
            cut.load_state(stored)
        cut.observe({"loss": value})
    assert cut.state() == whole.state()
    assert whole.factor(9) == 0.25


def test_a_plateau_without_its_figure_stops():
    with pytest.raises(TrainingStopped, match="watches loss"):
        LearningRate(Schedule(kind="plateau", monitor="loss"), PLAN).observe({"accuracy": 1.0})


def test_the_plan_acts_at_the_end_whatever_the_lengths():
    plan = StepPlan(10, 33, 7, 100, 4)
    assert [step for step in range(1, 34) if plan.evaluates(step)] == [7, 14, 21, 28, 33]
    assert [step for step in range(1, 34) if plan.ends_epoch(step)] == [10, 20, 30, 33]
    assert plan.saves(10)
    assert plan.saves(33)
    assert not plan.saves(11)
