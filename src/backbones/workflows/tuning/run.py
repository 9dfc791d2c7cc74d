"""A search while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from backbones.compute import Compute
from backbones.data.source import DataSource
from backbones.errors import Interrupted, WrongUse
from backbones.ray_session import Needs
from backbones.training.lock import FolderLock
from backbones.training.recipe import Recipe, smoke
from backbones.training.settings import apply_settings
from backbones.workflows.tuning.book import TrialBook, TrialRow, ranked
from backbones.workflows.tuning.results import TunedFiles, write_results
from backbones.workflows.tuning.runners import InThisProcess, OnRay, Runner
from backbones.workflows.tuning.sampler import LiveTrial, is_exhausted, propose, take_up
from backbones.workflows.tuning.search import settings_of
from backbones.workflows.tuning.study import Study
from backbones.workflows.tuning.trial import Trial, TrialProgress

_FAILURES_BORNE = 3
"""If the first trials all fail, it is not for their parameters."""


class TuningRun:
    """A search that runs while it is iterated over: how far a trial is, and the row of its end.

    Args:
        folder: of the search.
        study: what `study.json` says.
        source: the data, as the recipe sees it.
        compute: where and how its recipe is computed; a trial may leave another choice open.
        time_s: no trial begins after so many seconds; None = no limit.
        make: makes the folder of a new search when it starts; None where it is there.
        address: of a Ray cluster that runs the trials; one after the other here where None.

    Attributes:
        book: of the trials so far.
        files: what was written at the end; None before, or where no trial finished.
        ending: why the search ended, for people.

    Example:
        >>> import tempfile
        >>> from backbones import tune
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     search = tune("digits", trials=2, smoke_run=True, out=f"{folder}/tune")
        ...     rows = [each for each in search if isinstance(each, TrialRow)]
        ...     [row.state for row in rows], search.files.best.name
        (['finished', 'finished'], 'best.toml')
    """

    def __init__(
        self,
        folder: Path,
        study: Study,
        source: DataSource,
        compute: Compute,
        time_s: float | None,
        make: Callable[[], None] | None = None,
        address: str | None = None,
    ) -> None:
        self.folder = folder
        self.source = source
        self.recipe = study.chosen()
        self.where = study.where
        self.monitor = study.monitor
        self.compute = compute
        self.num_trials = study.trials
        self.time_s = time_s
        self.plan = study.plan()
        self.book = TrialBook.open(folder, self.monitor)
        self.files: TunedFiles | None = None
        self.ending = ""
        self._smoke = study.smoke
        self._started = False
        self._make = make
        self._runner: Runner = InThisProcess()
        if address is not None:
            needs = Needs(compute.threads, int(compute.kind == "cuda"))
            self._runner = OnRay(self.plan, needs, address, self.book.rows)

    def __repr__(self) -> str:
        what = f"TuningRun({self.recipe.model} on {self.source.where}, folder {self.folder}): "
        if not self._started:
            return what + "not started; call .run(), or iterate over it"
        return what + (self.ending or f"{len(self.book.rows)} trials so far")

    def run(self) -> TrialRow | None:
        """Search to the end; gives the best trial, or None where none finished.

        Raises:
            Interrupted, WrongUse, RecipeError: as the iteration.
        """
        for _ in self:
            pass
        return self.best()

    def __iter__(self) -> Iterator[TrialProgress | TrialRow]:
        if self._make is not None:
            self._make()
        self._make = None
        self._started = True
        with FolderLock(self.folder) as lock:
            yield from self._trials(lock)

    def _trials(self, lock: FolderLock) -> Iterator[TrialProgress | TrialRow]:
        began = time.monotonic()
        with self._runner as runner:
            while not self._is_over(time.monotonic() - began):
                trials = self._round(runner.num_places)
                for each in trials:
                    self.book.put(each.row)
                for step in self._stopped_in_order(runner.run(trials)):
                    if isinstance(step, TrialRow):
                        lock.refuse_lost()
                        self.book.put(step)
                    yield step
                self._refuse_hopeless()
        best = self.best()
        recipe = self.recipe if best is None else self.tuned(best)
        title = f"{self.recipe.model} on {self.source.where}, recipe {self.recipe.name}"
        self.files = write_results(self.folder, self.plan, self.book, recipe, title)

    def best(self) -> TrialRow | None:
        """The best of the finished trials so far."""
        return next(iter(self.ranked()), None)

    def states(self) -> dict[str, int]:
        """How many trials ended in which way."""
        return dict(Counter(row.state for row in self.book.rows))

    def ranked(self) -> list[TrialRow]:
        """The finished trials, the best first."""
        return ranked(self.book.rows, self.monitor)

    def tuned(self, row: TrialRow) -> Recipe:
        """The recipe that was searched, with a trial's parameters."""
        return apply_settings(self.recipe, settings_of(self.plan.searches, row.parameters))

    def _stopped_in_order(
        self, steps: Iterator[TrialProgress | TrialRow]
    ) -> Iterator[TrialProgress | TrialRow]:
        """The same; a wish to stop says how to go on."""
        try:
            yield from steps
        except Interrupted as error:
            raise Interrupted(
                f"{str(error).partition(';')[0]}; go on with: backbones tune --resume"
                f" {self.folder}",
                error.exit_code,
            ) from None

    def _round(self, num_places: int) -> list[Trial]:
        """The trials that run next, at the same time: those that were broken off, else new ones."""
        ended = self.book.ended()
        trials = [
            self._trial(row, take_up(self.plan, ended, row.parameters))
            for row in self.book.broken_off()[:num_places]
        ]
        rows = list(self.book.rows)
        while (
            len(trials) < num_places
            and len(rows) < self.num_trials
            and not is_exhausted(self.plan, rows)
        ):
            live = propose(self.plan, rows)
            rows.append(TrialRow(len(rows), live.parameters))
            trials.append(self._trial(rows[-1], live))
        return trials

    def _trial(self, row: TrialRow, live: LiveTrial) -> Trial:
        recipe = self.tuned(row)
        return Trial(
            row,
            live,
            recipe=smoke(recipe) if self._smoke else recipe,
            where=self.where,
            folder=self.folder / f"trial-{row.number:03d}",
        )

    def _is_over(self, seconds: float) -> bool:
        broken_off = bool(self.book.broken_off())
        ended = len(self.book.ended())
        self.ending = ""
        if ended >= self.num_trials:
            self.ending = f"all {ended} trials are done"
        elif not broken_off and is_exhausted(self.plan, self.book.rows):
            self.ending = f"all {ended} combinations were tried"
        elif self.time_s is not None and seconds >= self.time_s:
            self.ending = f"the time is up after {ended} of {self.num_trials} trials"
        return bool(self.ending)

    def _refuse_hopeless(self) -> None:
        """Stop where nothing works: the trials are not to blame then."""
        states = {each.state for each in self.book.rows}
        enough = min(_FAILURES_BORNE, self.num_trials)
        if states == {"failed"} and len(self.book.rows) >= enough:
            raise WrongUse(
                f"all {len(self.book.rows)} trials failed; the last one: {self.book.rows[-1].note}"
            )
