"""Begin a search for a better recipe, or go on with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backbones.compute import Compute, choose_compute
from backbones.data.source import DataSource
from backbones.errors import NotFound, WrongUse, nearest
from backbones.progress import Callbacks, Downloading
from backbones.records import read_record
from backbones.training.checkpoint import fingerprint
from backbones.training.images import describe_images, refuse_other_images
from backbones.training.lock import FolderLock, new_folder
from backbones.training.recipe import Recipe, smoke
from backbones.training.settings import read_recipe, with_reading
from backbones.training.start import NAME as START
from backbones.training.start import Start
from backbones.weights.opening import find_bundle, get_weights, is_id
from backbones.workflows.request import (
    TrainingRequest,
    data_again,
    free_folder,
    lasting_data,
    resolved_with,
)
from backbones.workflows.setup import set_up
from backbones.workflows.tuning.run import TuningRun
from backbones.workflows.tuning.sampler import SearchPlan, need_optuna
from backbones.workflows.tuning.search import Choice, usual_searches
from backbones.workflows.tuning.study import NAME, Study

MONITORS = ("top1_error_percent", "loss")


@dataclass(frozen=True)
class SearchRequest:
    """What is asked of a search; fields as of `backbones.tune`."""

    search: Sequence[str] = ()
    trials: int = 20
    monitor: str = MONITORS[0]
    seed: int = 0
    smoke: bool = False


def begin_search(
    request: TrainingRequest,
    wanted: SearchRequest,
    *,
    time_s: float | None,
    out: str | Path | None,
    callbacks: Callbacks,
    address: str | None = None,
) -> TuningRun:
    """A new search; arguments and errors as of `backbones.tune`."""
    need_optuna()
    _refuse_other_monitor(wanted.monitor)
    _refuse_no_trials(wanted.trials)
    recipe = request.chosen()
    settings = request.all_settings()
    study = Study(
        where=lasting_data(request.data),
        recipe=recipe.to_json(),
        search=list(wanted.search) or list(_usual(recipe)),
        monitor=wanted.monitor,
        seed=wanted.seed,
        smoke=wanted.smoke,
        trials=wanted.trials,
        asked={
            "model": request.model,
            "recipe": None if request.recipe is None else str(request.recipe),
            "settings": settings,
            "weights": None if request.weights is None else str(request.weights),
            "search": list(wanted.search),
        },
    )
    _refuse_set_and_searched(settings, study.search)
    plan = study.plan()  # refuses what cannot be searched before any data is opened
    if out is None:
        folder = free_folder(request.data, recipe.model, prefix="tune-")
    else:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise _taken(folder)
    _fetch_searched(plan, callbacks.downloading)
    source, compute = _open(study, callbacks)
    known = {name: fingerprint(source.split(name)) for name in ("train", "val")}
    study = study.model_copy(update=known)
    make = partial(_new_folder, folder, study, source)
    return TuningRun(folder, study, source, compute, time_s, make, address)


def _new_folder(folder: Path, study: Study, source: DataSource) -> None:
    """The folder of a search that is about to begin."""
    with new_folder(folder, _refuse_taken):
        images = describe_images(source.splits.values())
        Start(study.recipe, study.train, images).write(folder / START)
        study.write(folder)


def continue_search(
    folder: Path,
    *,
    data: str | Path | None,
    trials: int | None,
    time_s: float | None,
    asked: Mapping[str, Any],
    callbacks: Callbacks,
    address: str | None = None,
) -> TuningRun:
    """Go on with a search; arguments and errors as of `backbones.resume_tuning`."""
    need_optuna()
    if not (folder / NAME).is_file():
        raise NotFound(f"{folder} holds no search (no {NAME}); start one without --resume")
    FolderLock(folder).refuse_held()
    before = read_record(folder / NAME, Study)
    read_recipe(before.recipe, str(folder / NAME))
    _refuse_other_search(before, asked)
    changed: dict[str, object] = {}
    if trials is not None:
        _refuse_no_trials(trials)
        changed["trials"] = trials
    where = data_again(before.where, data, folder=folder, verb="tune")
    if data is not None:
        changed["where"] = lasting_data(where)
    study = before.model_copy(update=changed)
    source, compute = _open(study, callbacks)
    refuse_other_images(Start.read(folder / START).images, source.splits)
    if study != before:
        with FolderLock(folder):
            study.write(folder)
    return TuningRun(folder, study, source, compute, time_s, address=address)


def _usual(recipe: Recipe) -> tuple[str, ...]:
    optimizer = recipe.optimizer
    return usual_searches(optimizer.lr, optimizer.weight_decay, recipe.label_smoothing)


def _open(study: Study, callbacks: Callbacks) -> tuple[DataSource, Compute]:
    """The data, which needs validation images, decoded where there is a cache; how to compute."""
    recipe = study.chosen()
    wanted = smoke(recipe) if study.smoke else recipe
    resolved, source = resolved_with(wanted, study.where, callbacks.downloading)
    if "val" not in source.splits:
        raise WrongUse(
            f"{study.where} has no validation images to compare trials by, and the recipe"
            f" holds none out (val_fraction is {recipe.val_fraction:g}); hold some out:"
            " --set val_fraction=0.1"
        )
    if resolved.cache:
        set_up(resolved, source, fresh=False, progress=callbacks.progress).close()
    return source, choose_compute(resolved.device, resolved.precision, resolved.threads)


def _fetch_searched(plan: SearchPlan, downloading: Downloading | None) -> None:
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


def _refuse_other_search(study: Study, asked: Mapping[str, Any]) -> None:
    """The same command may be given again; another one is another search."""
    began = {**study.asked, "monitor": study.monitor, "seed": study.seed, "smoke": study.smoke}
    now = dict(asked)
    reading = {name: now.pop(name, None) for name in ("layout", "label_pattern")}
    now["settings"] = with_reading(now.get("settings") or (), **reading)
    for name, value in now.items():
        if value not in (None, [], False) and value != began[name]:
            raise WrongUse(
                f"the search began with {name} {_shown(began[name])}, not {_shown(value)}; start a"
                " new one without --resume"
            )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _refuse_other_monitor(name: str) -> None:
    if name not in MONITORS:
        raise WrongUse(
            f"monitor is {name!r}; expected {' or '.join(MONITORS)}.{nearest(name, MONITORS)}"
        )


def _refuse_no_trials(number: int) -> None:
    if number < 1:
        raise WrongUse(f"trials is {number}, expected 1 or more")


def _taken(folder: Path) -> WrongUse:
    """What to raise where a search cannot begin."""
    is_study = (folder / NAME).is_file()
    go_on = f", or go on with it: backbones tune --resume {folder}" if is_study else ""
    return WrongUse(f"{folder} is taken; choose another --out{go_on}")


def _refuse_taken(folder: Path) -> None:
    """Refuse a folder in which another search began since `begin_search` looked."""
    if (folder / NAME).is_file():
        raise _taken(folder)
