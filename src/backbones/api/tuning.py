"""Search for a better recipe: many trainings, each an ordinary run folder, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from backbones.api.starting import chosen_recipe, data_again, lasting_data, resolved_with
from backbones.api.training import set_up
from backbones.api.tuning_run import TuningRun, plan_of
from backbones.api.tuning_trials import TrialProgress
from backbones.data.source import DataSource
from backbones.errors import NotFound, WrongUse, nearest
from backbones.files import expanded
from backbones.progress import Downloading, Progress
from backbones.records import read_record, write_record
from backbones.training.checkpoint import fingerprint
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.lock import FolderLock
from backbones.training.recipe import Recipe, smoke
from backbones.training.settings import read_recipe, with_reading
from backbones.training.start import NAME as START
from backbones.training.start import Start
from backbones.tuning.book import TrialRow
from backbones.tuning.search import Choice, usual_searches
from backbones.tuning.study import Plan, need_optuna
from backbones.weights.opening import find_bundle, get_weights, is_id

__all__ = ["MONITORS", "TrialProgress", "TrialRow", "TuningRun", "resume_tuning", "tune"]

MONITORS = ("top1_error_percent", "loss")


class _Facts(BaseModel):
    """What study.json says."""

    format: Literal[1]
    where: str
    recipe: dict[str, Any]
    search: list[str]
    monitor: str
    seed: int
    smoke: bool
    trials: int
    asked: dict[str, Any]
    train: dict[str, Any]
    val: dict[str, Any]


def tune(
    data: str | Path,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    layout: str | None = None,
    label_pattern: str | None = None,
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
        data, model, recipe, settings, layout, label_pattern, weights: as of `train`.
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
        Busy: another process writes to the folder; raised by the iteration too.
        NotFound, DownloadFailed, BadData, BadWeights: as `train`.
    """
    need_optuna()
    if monitor not in MONITORS:
        raise WrongUse(
            f"monitor is {monitor!r}; expected {' or '.join(MONITORS)}.{nearest(monitor, MONITORS)}"
        )
    _refuse_below_one("trials", trials)
    settings = with_reading(settings, layout, label_pattern)
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
    plan = plan_of(chosen, facts)  # refuses what cannot be searched before any data is opened
    folder = Path(out) if out is not None else _free_folder(data, chosen.model)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise _taken(folder)
    _fetch_searched(plan, downloading)
    source = _open(chosen, facts, progress, downloading)
    facts |= {name: fingerprint(source.split(name)) for name in ("train", "val")}
    make = partial(_new_folder, folder, chosen, facts, source)
    return TuningRun(folder, facts, source, time_s, make)


def _new_folder(folder: Path, recipe: Recipe, facts: Mapping[str, Any], source: DataSource) -> None:
    """The folder of a search that is about to begin."""
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder):
        if _is_study(folder):  # since `tune` looked
            raise _taken(folder)
        images = describe_images(source.splits.values())
        Start(recipe.to_json(), facts["train"], images).write(folder / START)
        write_record(folder / "study.json", facts)


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
        Busy: another process writes to the folder; raised by the iteration too.
        BadData: a file of the search was changed.
    """
    need_optuna()
    folder = Path(folder)
    if not _is_study(folder):
        raise NotFound(f"{folder} holds no search (no study.json); start one without --resume")
    FolderLock(folder).refuse_held()
    facts = read_record(folder / "study.json", _Facts).model_dump()
    recipe = read_recipe(facts["recipe"], str(folder / "study.json"))
    _refuse_other_search(facts, asked or {})
    changed = dict(facts)
    if trials is not None:
        _refuse_below_one("trials", trials)
        changed["trials"] = trials
    where = data_again(facts["where"], data, folder=folder, verb="tune")
    if data is not None:
        changed["where"] = lasting_data(where)
    before, facts = facts, changed
    source = _open(recipe, facts, progress, downloading)
    refuse_other_images(Start.read(folder / START).images, source.splits)
    if facts != before:
        with FolderLock(folder):
            write_record(folder / "study.json", facts)
    return TuningRun(folder, facts, source, time_s)


def _usual(recipe: Recipe) -> tuple[str, ...]:
    optimizer = recipe.optimizer
    return usual_searches(optimizer.lr, optimizer.weight_decay, recipe.label_smoothing)


def _open(
    recipe: Recipe,
    facts: Mapping[str, Any],
    progress: Progress | None,
    downloading: Downloading | None,
) -> DataSource:
    """The data, which needs validation pictures; decoded now where the recipe keeps a cache."""
    wanted = smoke(recipe) if facts["smoke"] else recipe
    resolved, source = resolved_with(wanted, facts["where"], downloading=downloading)
    if "val" not in source.splits:
        raise WrongUse(
            f"{facts['where']} has no validation pictures to compare trials by, and the recipe"
            f" holds none out (val_fraction is {recipe.val_fraction:g}); hold some out:"
            " --set val_fraction=0.1"
        )
    if resolved.cache:
        set_up(resolved, source, fresh=False, progress=progress).close()
    return source


def _fetch_searched(plan: Plan, downloading: Downloading | None) -> None:
    """Have all weights here that are searched, before the first trial."""
    for search in plan.searches:
        if search.field in ("weights", "init_from") and isinstance(search, Choice):
            for value in search.values:
                if is_id(value):
                    get_weights(value, downloading=downloading)
                elif value.lower() != "none":
                    find_bundle(value)


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


def _taken(folder: Path) -> WrongUse:
    """What to raise where a search cannot begin."""
    go_on = f", or go on with it: backbones tune --resume {folder}" if _is_study(folder) else ""
    return WrongUse(f"{folder} is taken; choose another --out{go_on}")


def _is_study(folder: Path) -> bool:
    return (folder / "study.json").is_file()


def _free_folder(data: str | Path, model: str) -> Path:
    """`runs/tune-<data>-<model>`, with the first number that is free behind it."""
    name = f"tune-{expanded(data).absolute().stem}-{model}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder
