"""Which values to try next, and whether a trial is worth going on with.

Optuna decides both, from the rows of the book and from nothing else: a trial's parameters are a
function of the seed, its number and the trials before it. So a study that was killed and resumed
makes the same trials as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.errors import MissingExtra
from backbones.workflows.tuning.book import Evaluated, TrialRow, ranked
from backbones.workflows.tuning.search import (
    Choice,
    Parameters,
    Search,
    combinations,
    num_combinations,
)

if TYPE_CHECKING:
    import optuna

RANDOM_FIRST = 6
"""Trials before the sampler learns from what it has seen."""
UNPRUNED_FIRST = 4
"""Trials that run to their end, so that there is a median."""
_PROPOSALS = 20


@dataclass(frozen=True)
class SearchPlan:
    """What a study is about.

    Args:
        searches: the fields, and the values that each may take.
        monitor: top1_error_percent or loss, of the validation images.
        seed: of the proposals.
        first: parameters of the first trial; those that are missing are sampled.
    """

    searches: tuple[Search, ...]
    monitor: str
    seed: int
    first: Parameters = field(default_factory=dict)


class LiveTrial:
    """A trial that runs: it is told each evaluation and says whether to go on.

    Args:
        trial: Optuna's.
        parameters: value by recipe field.
        monitor: the figure that counts.
    """

    def __init__(self, trial: optuna.Trial, parameters: Parameters, monitor: str) -> None:
        self.parameters = parameters
        self._trial, self._monitor = trial, monitor
        self._count = 0

    def hopeless(self, measured: Evaluated) -> bool:
        """Whether the evaluations so far, this one included, are worse than the median."""
        self._trial.report(_figure(measured, self._monitor), self._count)
        self._count += 1
        return self._trial.should_prune()


def need_optuna() -> None:
    """Say what to install where Optuna is missing.

    Raises:
        MissingExtra: it is.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingExtra("optuna", "tune", "backbones tune") from None


def is_exhausted(plan: SearchPlan, rows: Sequence[TrialRow]) -> bool:
    """Whether every combination was tried."""
    return len(_tried(rows)) >= num_combinations(plan.searches)


def propose(plan: SearchPlan, rows: Sequence[TrialRow]) -> LiveTrial:
    """The next trial.

    Args:
        plan: of the study.
        rows: of every trial before it, those included that run at the same time.
    """
    if not rows and plan.first:
        return _ask(plan, rows, attempt=0, given=plan.first)
    tried = _tried(rows)
    for attempt in range(_PROPOSALS):
        trial = _ask(plan, rows, attempt=attempt)
        if _key(trial.parameters) not in tried:
            return trial
    # A small search, nearly done: what the sampler does not come upon is taken in order.
    for parameters in combinations(plan.searches):
        if _key(parameters) not in tried:
            return _ask(plan, rows, attempt=0, given=parameters)
    return trial


def take_up(plan: SearchPlan, rows: Sequence[TrialRow], parameters: Parameters) -> LiveTrial:
    """A trial that was broken off, with the parameters that it had.

    Args:
        plan: of the study.
        rows: of every trial that ended before it.
        parameters: of the trial.
    """
    return _ask(plan, rows, attempt=0, given=parameters)


def importances(plan: SearchPlan, rows: Sequence[TrialRow]) -> dict[str, float]:
    """How much of the finished trials' spread each field explains (functional ANOVA).

    Returns:
        A share by field, together 1; nothing where too few trials finished, or all alike.
    """
    found = {getattr(row.best(plan.monitor), plan.monitor) for row in ranked(rows, plan.monitor)}
    if len(plan.searches) < 2 or len(ranked(rows, plan.monitor)) < 4 or len(found) < 2:
        return {}
    import optuna

    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=plan.seed)
    shares = optuna.importance.get_param_importances(_study(plan, rows), evaluator=evaluator)
    return {search.field: float(shares.get(search.field, 0.0)) for search in plan.searches}


def _ask(
    plan: SearchPlan, rows: Sequence[TrialRow], *, attempt: int, given: Parameters | None = None
) -> LiveTrial:
    study = _study(plan, rows, attempt)
    with _quiet():
        if given:
            study.enqueue_trial(dict(given))
        trial = study.ask(_distributions(plan.searches))
    parameters = {search.field: trial.params[search.field] for search in plan.searches}
    return LiveTrial(trial, parameters, plan.monitor)


def _study(plan: SearchPlan, rows: Sequence[TrialRow], attempt: int = 0) -> optuna.Study:
    """Optuna's view of the rows, made anew each time, so that nothing else can count."""
    import optuna

    (seed,) = np.random.SeedSequence([plan.seed, len(rows), attempt]).generate_state(1)
    with _quiet():
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=int(seed), n_startup_trials=RANDOM_FIRST),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_FIRST, n_warmup_steps=1),
        )
        study.add_trials([_frozen(plan, row) for row in rows])
    return study


def _frozen(plan: SearchPlan, row: TrialRow) -> optuna.trial.FrozenTrial:
    """A row as Optuna knows it. One that diverged is a bad one, and not one to forget."""
    import optuna

    states = optuna.trial.TrialState
    known = {"finished": states.COMPLETE, "failed": states.FAIL, "running": states.RUNNING}
    state = known.get(row.state, states.PRUNED)
    best = row.best(plan.monitor)
    finished = state == states.COMPLETE and best is not None
    if state == states.COMPLETE and not finished:
        state = states.FAIL
    return optuna.trial.create_trial(
        state=state,
        value=_figure(best, plan.monitor) if finished and best is not None else None,
        params=dict(row.parameters),
        distributions=_distributions(plan.searches),
        intermediate_values={
            place: _figure(one, plan.monitor) for place, one in enumerate(row.measured)
        },
    )


def _distributions(searches: Sequence[Search]) -> dict[str, Any]:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for search in searches:
        if isinstance(search, Choice):
            found[search.field] = CategoricalDistribution(search.values)
        elif search.whole:
            found[search.field] = IntDistribution(int(search.low), int(search.high), log=search.log)
        else:
            found[search.field] = FloatDistribution(search.low, search.high, log=search.log)
    return found


def _figure(measured: Evaluated, monitor: str) -> float:
    """What Optuna compares: the monitored figure, and among equal errors the loss."""
    figure = _bounded(getattr(measured, monitor))
    return figure + 1e-6 * min(_bounded(measured.loss), 1e3)


def _bounded(value: float) -> float:
    """A number to compare by; a network that has run away is worse than any other."""
    return value if math.isfinite(value) else 1e9


def _tried(rows: Sequence[TrialRow]) -> set[str]:
    return {_key(row.parameters) for row in rows}


def _key(parameters: Parameters) -> str:
    return repr(sorted(parameters.items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's own log lines; as before afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
