"""Where trials run: one after the other here, or as many at a time as a cluster has room for.

On a cluster trials go in rounds, each proposed from all rounds before it, so that a search makes
the same trials whenever it has the same number of places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from backbones.errors import Interrupted
from backbones.ray_session import Needs, connected, own_errors
from backbones.training.recipe import Recipe
from backbones.workflows.tuning.book import TrialRow
from backbones.workflows.tuning.sampler import SearchPlan, take_up
from backbones.workflows.tuning.trial import Trial, TrialProgress


class Runner(Protocol):
    """Runs the trials of a round; used inside `with`."""

    @property
    def num_places(self) -> int:
        """How many trials run at a time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialProgress | TrialRow]:
        """Run trials to their ends.

        Yields:
            how far they are, as far as that is known, and the row that each ends with.
        """


class InThisProcess:
    """One trial after the other."""

    num_places = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialProgress | TrialRow]:
        """As `Runner.run`."""
        for each in trials:
            try:
                yield (yield from each.run())
            except Interrupted as error:
                said = f"trial {each.row.number} was {error}"
                raise Interrupted(said, error.exit_code) from None


@dataclass(frozen=True)
class SentTrial:
    """What a machine of a cluster needs to run a trial.

    Args:
        row, recipe, where, folder: as of `Trial`.
        plan: of the search.
        ended: the trials that ended before, by whose median it is judged.
        cwd: that relative paths count from.
    """

    row: TrialRow
    recipe: Recipe
    where: str
    folder: Path
    plan: SearchPlan
    ended: tuple[TrialRow, ...]
    cwd: str

    def run(self) -> TrialRow:
        """Train it, in whatever process this is; goes on where a lost machine has stopped."""
        os.chdir(self.cwd)
        live = take_up(self.plan, self.ended, self.row.parameters)
        steps = Trial(self.row, live, self.recipe, self.where, self.folder).run()
        try:
            while True:
                next(steps)
        except StopIteration as end:
            row: TrialRow = end.value
            return row


class OnRay:
    """As many trials at a time as a Ray cluster has room for.

    Args:
        plan: of the search.
        needs: of a trial.
        address: of the cluster, as of `ray_session.connected`.
        rows: the book's, as it grows.

    Raises:
        MissingExtra, WrongUse: as `connected` and `Needs.places`; where the work begins.
    """

    def __init__(
        self, plan: SearchPlan, needs: Needs, address: str, rows: Sequence[TrialRow]
    ) -> None:
        self._plan, self._needs, self._address, self._rows = plan, needs, address, rows
        self._stack = ExitStack()
        self._ray: Any = None
        self.num_places = 1

    def __enter__(self) -> Self:
        self._ray = self._stack.enter_context(connected(self._address))
        self.num_places = self._needs.places(self._ray)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialProgress | TrialRow]:
        """As `Runner.run`; a machine that is lost has its trial gone on with elsewhere."""
        run = self._ray.remote(SentTrial.run).options(max_retries=-1, **asdict(self._needs))
        ended = tuple(row for row in self._rows if row.state != "running")
        waiting = [run.remote(self._sent(each, ended)) for each in trials]
        with own_errors():
            while waiting:
                done, waiting = self._ray.wait(waiting)
                yield from self._ray.get(done)

    def _sent(self, trial: Trial, ended: tuple[TrialRow, ...]) -> SentTrial:
        recipe, folder = trial.recipe, trial.folder.absolute()
        return SentTrial(trial.row, recipe, trial.where, folder, self._plan, ended, os.getcwd())
