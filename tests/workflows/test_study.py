"""What is proposed, what is stopped, and that nothing but the rows decides it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from backbones.errors import BadData
from backbones.workflows.tuning.book import Evaluated, TrialBook, TrialRow, ranked
from backbones.workflows.tuning.sampler import (
    SearchPlan,
    importances,
    is_exhausted,
    propose,
    take_up,
)
from backbones.workflows.tuning.search import Choice, Range

LR = Range("optimizer.lr", 1e-4, 1e-1, log=True)
SIZE = Range("batch_size", 8, 64, log=True, whole=True)
MODEL = Choice("model", ("lenet5", "vgg_tiny"))
PLAN = SearchPlan((LR, SIZE, MODEL), "top1_error_percent", seed=3)


def error_of(parameters) -> float:
    """A bowl with its lowest point at a rate of 0.01 and lenet5."""
    rate = math.log10(parameters.get("optimizer.lr", 0.01))
    return 5 + 10 * (rate + 2) ** 2 + 3 * (parameters["model"] != "lenet5")


def play(plan: SearchPlan, count: int, rows=()) -> list[TrialRow]:
    rows = list(rows)
    while len(rows) < count:
        live = propose(plan, rows)
        row = TrialRow(len(rows), live.parameters, "finished")
        for epoch in range(1, 6):
            error = error_of(live.parameters) + 20 / epoch
            row = replace(row, measured=(*row.measured, Evaluated(epoch, error, error / 10)))
            if live.hopeless(row.measured[-1]) and epoch < 5:
                row = replace(row, state="pruned")
                break
        rows.append(row)
    return rows


def test_the_same_seed_makes_the_same_trials_and_another_seed_others() -> None:
    rows = play(PLAN, 12)
    assert play(PLAN, 12) == rows
    assert play(replace(PLAN, seed=4), 12) != rows


def test_a_study_that_goes_on_makes_the_trials_of_one_that_never_stopped() -> None:
    rows = play(PLAN, 12)
    for stop in (0, 3, 7, 11):
        assert play(PLAN, 12, rows[:stop]) == rows


def test_bad_trials_are_stopped_early_and_the_first_ones_never() -> None:
    rows = play(PLAN, 20)
    assert {row.state for row in rows[:4]} == {"finished"}
    pruned = [row for row in rows if row.state == "pruned"]
    assert pruned
    assert all(2 <= len(row.measured) < 5 for row in pruned)
    best = ranked(rows, PLAN.monitor)[0]
    assert error_of(best.parameters) == min(error_of(row.parameters) for row in rows)


def test_the_search_comes_closer_than_chance() -> None:
    late = [error_of(row.parameters) for row in play(PLAN, 30)[15:]]
    early = [error_of(row.parameters) for row in play(PLAN, 6)]
    assert sum(late) / len(late) < 0.7 * sum(early) / len(early)


def test_the_first_trial_is_the_recipe_itself() -> None:
    plan = replace(PLAN, first={"optimizer.lr": 0.005, "model": "vgg_tiny"})
    parameters = propose(plan, []).parameters
    assert (parameters["optimizer.lr"], parameters["model"]) == (0.005, "vgg_tiny")
    assert 8 <= parameters["batch_size"] <= 64


def test_a_trial_is_taken_up_with_its_own_parameters() -> None:
    rows = play(PLAN, 8)
    assert take_up(PLAN, rows[:7], rows[7].parameters).parameters == rows[7].parameters


def test_nothing_is_tried_twice_and_a_small_search_ends() -> None:
    plan = SearchPlan((MODEL, Range("batch_size", 1, 4, whole=True)), "loss", seed=0)
    rows: list[TrialRow] = []
    while not is_exhausted(plan, rows):
        rows = play(plan, len(rows) + 1, rows)
    assert len({repr(sorted(row.parameters.items())) for row in rows}) == len(rows) == 8


def test_a_trial_that_diverged_is_avoided_and_not_forgotten() -> None:
    plan = SearchPlan((LR,), "loss", seed=1)
    rows = []
    while len(rows) < 24:
        rate = propose(plan, rows).parameters["optimizer.lr"]
        if rate > 0.003:
            rows.append(TrialRow(len(rows), {"optimizer.lr": rate}, "diverged"))
        else:
            measured = (Evaluated(1, 50.0, 1.0 + abs(math.log10(rate / 0.001))),)
            rows.append(TrialRow(len(rows), {"optimizer.lr": rate}, "finished", measured))
    states = [row.state for row in rows]
    assert "diverged" in states[:6]
    assert states[-8:].count("diverged") <= 2


def test_trials_of_one_round_differ() -> None:
    rows = play(PLAN, 8)
    for _ in range(4):
        rows.append(TrialRow(len(rows), propose(PLAN, rows).parameters))  # all run
    assert len({repr(row.parameters) for row in rows[8:]}) == 4
    ended = [replace(row, state="finished") for row in rows[:8]]
    assert propose(PLAN, ended).parameters == rows[8].parameters


def test_importances_find_what_matters() -> None:
    shares = importances(PLAN, play(PLAN, 20))
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "optimizer.lr"
    assert importances(PLAN, play(PLAN, 3)) == {}


def test_the_book_reads_what_it_wrote(tmp_path: Path) -> None:
    book = TrialBook(tmp_path, "loss")
    rows = play(PLAN, 5)
    rows[2] = replace(rows[2], measured=(Evaluated(1, 90.0, math.nan),), note="an „ü“")
    for row in rows:
        book.put(replace(row, state="running"))
        book.put(row)
    again = TrialBook.open(tmp_path, "loss")
    assert repr(again.rows) == repr(rows)
    assert again.broken_off() == []
    book.put(TrialRow(5, rows[0].parameters))
    book.put(TrialRow(6, rows[0].parameters))  # of a cluster, where several run at a time
    again = TrialBook.open(tmp_path, "loss")
    assert [(row.number, row.restarts) for row in again.broken_off()] == [(5, 1), (6, 1)]
    assert repr(again.ended()) == repr(rows)
    (tmp_path / "trials.json").write_text('{"trials": [{"numb')
    with pytest.raises(BadData, match=r"trials\.json cannot be read as JSON"):
        TrialBook.open(tmp_path, "loss")


def test_equal_errors_are_ranked_by_the_loss() -> None:
    rows = [
        TrialRow(number, {}, "finished", (Evaluated(1, 2.0, loss),))
        for number, loss in enumerate((0.3, 0.1, math.nan, 0.2))
    ]
    assert [row.number for row in ranked(rows, "top1_error_percent")] == [1, 3, 0, 2]
