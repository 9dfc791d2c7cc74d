"""Search for a better recipe: many trainings, each an ordinary run folder, compared."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backbones.api.data import Downloading, Progress
from backbones.api.starting import chosen_recipe, lasting_data, resolved_with
from backbones.api.tuning_files import TunedFiles, write_results
from backbones.api.tuning_trials import Trial, TrialProgress
from backbones.data.source import DataSource
from backbones.errors import BadData, Interrupted, NotFound, RecipeError, WrongUse, nearest
from backbones.models import find_row
from backbones.training.checkpoint import fingerprint, refuse_other_data
from backbones.training.recipe import Recipe, smoke
from backbones.training.settings import apply_settings, read_recipe
from backbones.tuning.ledger import Ledger, TrialRow, ranked
from backbones.tuning.search import own_values, read_searches, settings_of, usual_searches
from backbones.tuning.study import Plan, is_exhausted, need_optuna, propose, take_up
from backbones.weights.atomic import write_atomic

__all__ = ["MONITORS", "TrialProgress", "TrialRow", "TuningRun", "resume_tuning", "tune"]

MONITORS = ("top1_error_percent", "loss")
_FAILURES_BORNE = 3
"""If the first trials all fail, it is not for their parameters."""


class TuningRun:
    """A search that runs while it is iterated over: how far a trial is, and the row of its end.

    Args:
        folder: of the search.
        facts: what `study.json` says.
        source: the data, as the recipe sees it.
        progress, downloading: as of `tune`.

    Attributes:
        ledger: of the trials so far.
        files: what was written at the end; None before, or where no trial finished.
        ending: why the search ended, for people.
        time_s: no trial begins after so many seconds; None = no limit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     search = tune("digits", trials=2, smoke_run=True, out=f"{folder}/tune")
        ...     rows = [each for each in search if isinstance(each, TrialRow)]
        ...     [row.state for row in rows], search.files.best.name
        (['finished', 'finished'], 'best.toml')
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        source: DataSource,
        progress: Progress | None,
        downloading: Downloading | None,
    ) -> None:
        self.folder = folder
        self.source = source
        self.recipe = read_recipe(facts["recipe"], str(folder / "study.json"))
        self.where: str = facts["where"]
        self.monitor: str = facts["monitor"]
        self.num_trials: int = facts["trials"]
        self.time_s: float | None = None
        self.plan = _plan(self.recipe, facts)
        self.ledger = Ledger.open(folder, self.monitor)
        self.files: TunedFiles | None = None
        self.ending = ""
        self._facts, self._hears = facts, (progress, downloading)

    def __iter__(self) -> Iterator[TrialProgress | TrialRow]:
        began = time.monotonic()
        while not self._is_over(time.monotonic() - began):
            trial = self._next()
            self.ledger.put(trial.row)
            try:
                row = yield from trial.run(*self._hears)
            except Interrupted as error:
                raise Interrupted(
                    f"trial {trial.row.number} was {str(error).partition(';')[0]}; go on with:"
                    f" backbones tune --resume {self.folder}"
                ) from None
            self.ledger.put(row)
            yield row
            self._refuse_hopeless(row)
        best = self.best()
        recipe = self.recipe if best is None else self.tuned(best)
        title = f"{self.recipe.model} on {self.source.where}, recipe {self.recipe.name}"
        self.files = write_results(self.folder, self.plan, self.ledger, recipe, title)

    def best(self) -> TrialRow | None:
        """The best of the finished trials so far."""
        return next(iter(self.ranked()), None)

    def states(self) -> dict[str, int]:
        """How many trials ended in which way."""
        return dict(Counter(row.state for row in self.ledger.rows))

    def ranked(self) -> list[TrialRow]:
        """The finished trials, the best first."""
        return ranked(self.ledger.rows, self.monitor)

    def tuned(self, row: TrialRow) -> Recipe:
        """The recipe that was searched, with a trial's parameters."""
        return apply_settings(self.recipe, settings_of(self.plan.searches, row.parameters))

    def _next(self) -> Trial:
        """The trial that was broken off, else a new one."""
        row = self.ledger.broken_off()
        if row is not None:
            live = take_up(self.plan, self.ledger.rows[:-1], row.parameters)
        else:
            live = propose(self.plan, self.ledger.rows)
            row = TrialRow(len(self.ledger.rows), live.parameters)
        recipe = self.tuned(row)
        return Trial(
            row,
            live,
            recipe=smoke(recipe) if self._facts["smoke"] else recipe,
            where=self._facts["where"],
            folder=self.folder / f"trial-{row.number:03d}",
        )

    def _is_over(self, seconds: float) -> bool:
        broken_off = self.ledger.broken_off() is not None
        ended = len(self.ledger.rows) - broken_off
        self.ending = ""
        if ended >= self.num_trials:
            self.ending = f"all {ended} trials are done"
        elif not broken_off and is_exhausted(self.plan, self.ledger.rows):
            self.ending = f"all {ended} combinations were tried"
        elif self.time_s is not None and seconds >= self.time_s:
            self.ending = f"the time is up after {ended} of {self.num_trials} trials"
        return bool(self.ending)

    def _refuse_hopeless(self, row: TrialRow) -> None:
        """Stop where nothing works: the trials are not to blame then."""
        states = {each.state for each in self.ledger.rows}
        enough = min(_FAILURES_BORNE, self.num_trials)
        if states == {"failed"} and len(self.ledger.rows) >= enough:
            raise WrongUse(f"all {len(self.ledger.rows)} trials failed; the last one: {row.note}")


def tune(
    data: str | Path,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    weights: str | Path | None = None,
    search: Sequence[str] = (),
    trials: int = 20,
    time_s: float | None = None,
    out: str | Path | None = None,
    monitor: str = "top1_error_percent",
    seed: int = 0,
    smoke_run: bool = False,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TuningRun:
    """Search for a better recipe; iterate over the result to do it.

    Trials are compared on the validation pictures and never see the test pictures. The first one
    is the recipe as it stands, so far as it lies in what is searched. A trial whose evaluations
    are worse than the median of those before it is stopped. The same call makes the same trials.

    Args:
        data, model, recipe, settings, weights: as of `train`.
        search: `field=low..high`, `field=low..high:log` or `field=a,b,c` each. Where there is
            none: learning rate, weight decay and label smoothing around the recipe's own.
        trials: at most.
        time_s: no trial begins after so many seconds; None = no limit.
        out: the folder; `runs/tune-<data>-<model>` where None, with a number if that exists.
        monitor: what should fall: top1_error_percent or loss, of the validation pictures.
        seed: of what is tried. The trainings take the recipe's.
        smoke_run: tiny trainings, to see that everything fits together.
        progress: hears of the cache while it is built.
        downloading: hears of a download.

    Raises:
        MissingExtra: without Optuna.
        RecipeError: the recipe refuses a setting or something that is searched.
        WrongUse: the folder is taken, nothing can be searched so, or the data has no
            validation pictures.
        NotFound, DownloadFailed, BadData, BadWeights: as `train`.
    """
    need_optuna()
    if monitor not in MONITORS:
        raise WrongUse(
            f"monitor is {monitor!r}; expected {' or '.join(MONITORS)}.{nearest(monitor, MONITORS)}"
        )
    _refuse_below_one("trials", trials)
    chosen = chosen_recipe(data, model=model, recipe=recipe, settings=settings, weights=weights)
    facts: dict[str, Any] = {
        "format": 1,
        "where": lasting_data(data),
        "recipe": chosen.to_json(),
        "search": list(search) or list(_usual(chosen)),
        "monitor": monitor,
        "seed": seed,
        "smoke": smoke_run,
        "trials": trials,
        "asked": {
            "model": model,
            "recipe": None if recipe is None else str(recipe),
            "settings": list(settings),
            "weights": None if weights is None else str(weights),
            "search": list(search),
        },
    }
    _refuse_set_and_searched(settings, facts["search"])
    _plan(chosen, facts)  # refuses what cannot be searched before any data is opened
    folder = Path(out) if out is not None else _free_folder(data, chosen.model)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUse(
            f"{folder} is taken; choose another --out"
            + (f", or go on with it: backbones tune --resume {folder}" if _is_study(folder) else "")
        )
    source = _source(chosen, facts, downloading)
    facts |= {name: fingerprint(source.split(name)) for name in ("train", "val")}
    write_atomic(folder / "study.json", _pretty(facts))
    search_run = TuningRun(folder, facts, source, progress, downloading)
    search_run.time_s = time_s
    return search_run


def resume_tuning(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    trials: int | None = None,
    time_s: float | None = None,
    asked: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TuningRun:
    """Go on with a search; iterate over the result to do it.

    Trials that ended stay as they are; the one that was broken off goes on from its last
    checkpoint. All trials are the same as those of a search that was never stopped.

    Args:
        folder: of the search.
        data: where the data is now, if it was moved.
        trials: at most, those that are done included; as before where None.
        time_s: no trial begins after so many seconds from now.
        asked: model, recipe, settings, weights, search, monitor, seed or smoke; refused where
            it is not what the search began with. None, False and empty lists ask for nothing.
        progress, downloading: as of `tune`.

    Raises:
        MissingExtra: without Optuna.
        NotFound: the folder holds no search, or the data is gone.
        WrongUse: the data, or what is asked for, is not what the search began with.
        BadData: a file of the search was changed.
    """
    need_optuna()
    folder = Path(folder)
    if not _is_study(folder):
        raise NotFound(f"{folder} holds no search (no study.json); start one without --resume")
    try:
        facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        recipe = read_recipe(facts["recipe"], str(folder / "study.json"))
    except (ValueError, KeyError, TypeError):
        raise BadData(f"{folder / 'study.json'} was changed; the search cannot go on") from None
    _refuse_other_search(facts, asked or {})
    changed = dict(facts)
    if trials is not None:
        _refuse_below_one("trials", trials)
        changed["trials"] = trials
    if data is not None:
        changed["where"] = lasting_data(data)
    before, facts = facts, changed
    source = _source(recipe, facts, downloading)
    for name in ("train", "val"):
        refuse_other_data(facts[name], fingerprint(source.split(name)))
    if facts != before:
        write_atomic(folder / "study.json", _pretty(facts))
    search_run = TuningRun(folder, facts, source, progress, downloading)
    search_run.time_s = time_s
    return search_run


def _plan(recipe: Recipe, facts: Mapping[str, Any]) -> Plan:
    """What is searched, checked against the recipe."""

    def check(settings: Sequence[str]) -> None:
        try:
            changed = apply_settings(recipe, settings)
        except RecipeError as error:
            said = str(error).removeprefix(f"--set {' '.join(settings)}: ")
            raise RecipeError(f"--search: {said}") from None
        find_row(changed.model)

    def unchanged(settings: Sequence[str]) -> None:
        if apply_settings(recipe, settings) != recipe:
            raise RecipeError(f"{settings} is not what the recipe says")

    searches = read_searches(facts["search"], check)
    own = own_values(searches, recipe.to_json(), unchanged)
    return Plan(searches, facts["monitor"], facts["seed"], own)


def _usual(recipe: Recipe) -> tuple[str, ...]:
    optimizer = recipe.optimizer
    return usual_searches(optimizer.lr, optimizer.weight_decay, recipe.label_smoothing)


def _source(
    recipe: Recipe, facts: Mapping[str, Any], downloading: Downloading | None
) -> DataSource:
    """The data, which needs validation pictures."""
    wanted = smoke(recipe) if facts["smoke"] else recipe
    _, source = resolved_with(wanted, facts["where"], downloading=downloading)
    if "val" not in source.splits:
        raise WrongUse(
            f"{facts['where']} has no validation pictures to compare trials by, and the recipe"
            f" holds none out (val_fraction is {recipe.val_fraction:g}); hold some out:"
            " --set val_fraction=0.1"
        )
    return source


def _refuse_set_and_searched(settings: Sequence[str], searches: Sequence[str]) -> None:
    fixed = {text.partition("=")[0].strip() for text in settings}
    for text in searches:
        field = text.partition("=")[0].strip()
        if field in fixed:
            raise WrongUse(f"{field} is both set and searched; expected --set or --search")


def _refuse_other_search(facts: Mapping[str, Any], asked: Mapping[str, object]) -> None:
    """The same command may be given again; another one is another search."""
    began = {**facts["asked"], **{name: facts[name] for name in ("monitor", "seed", "smoke")}}
    for name, value in asked.items():
        if value not in (None, [], False) and value != began[name]:
            raise WrongUse(
                f"the search began with {name} {_said(began[name])}, not {_said(value)}; start a"
                " new one without --resume"
            )


def _said(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _refuse_below_one(name: str, number: int) -> None:
    if number < 1:
        raise WrongUse(f"{name} is {number}, expected 1 or more")


def _is_study(folder: Path) -> bool:
    return (folder / "study.json").is_file()


def _free_folder(data: str | Path, model: str) -> Path:
    """`runs/tune-<data>-<model>`, with the first number that is free behind it."""
    name = f"tune-{Path(data).expanduser().absolute().stem}-{model}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def _pretty(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode()
