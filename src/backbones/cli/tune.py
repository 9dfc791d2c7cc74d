"""`backbones tune`: many short trainings in, a better recipe out."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.console import preparing, print_json, print_table, progress, say
from backbones.cli.layout import LabelPattern, Layout
from backbones.cli.offline import Offline
from backbones.errors import WrongUse
from backbones.units import human_seconds, parse_duration

if TYPE_CHECKING:
    from backbones.workflows.tuning.book import TrialRow
    from backbones.workflows.tuning.run import TuningRun
    from backbones.workflows.tuning.trial import TrialProgress

_SHOWN = 5

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field; can be repeated."),
]
Searches = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        metavar="FIELD=VALUES",
        help="Try a range (1e-4..1e-1:log, 0..0.2) or a list (16,32,64); can be repeated.",
    ),
]
Duration = Annotated[
    str | None, typer.Option(metavar="DURATION", help="No trial begins after, such as 30m or 2h.")
]
Monitor = Annotated[str | None, typer.Option(help="What should fall: top1_error_percent or loss.")]


@dataclass(frozen=True)
class Asked:
    """What was typed about the search itself; empty where nothing was."""

    model: str | None
    recipe: str | None
    settings: list[str]
    layout: str | None
    label_pattern: str | None
    weights: str | None
    search: list[str]
    monitor: str | None
    seed: int | None
    smoke: bool


def tune(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A folder, manifest or set name.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A network; see `backbones list`.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's name or file; see `backbones list recipes`.")
    ] = None,
    settings: Settings = None,
    weights: Annotated[
        str | None, typer.Option(help="Start from these: an id, a bundle, a run or a weight file.")
    ] = None,
    search: Searches = None,
    trials: Annotated[int | None, typer.Option(help="Trials at most; 20 if left out.")] = None,
    time: Duration = None,
    monitor: Monitor = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of what is tried; 0.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder; runs/tune-DATA-MODEL if left out.")
    ] = None,
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny trials, to see it work.")] = False,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with this search.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    offline: Offline = False,
) -> None:
    """Search for a better recipe.

    Trains many times with other values, compares on the validation pictures (never on the test
    pictures), stops what is worse than the median, and writes the best recipe. Without --search:
    learning rate, weight decay and label smoothing, around the recipe's own.

    Examples:
        backbones tune photos --model resnet18 --recipe finetune --trials 30
        backbones tune photos --search optimizer.lr=1e-4..1e-1:log
        backbones tune --resume runs/tune-photos-resnet18
    """
    time_s = None if time is None else _read_duration(time)
    asked = Asked(
        model=model,
        recipe=recipe,
        settings=settings or [],
        layout=layout,
        label_pattern=label_pattern,
        weights=weights,
        search=search or [],
        monitor=monitor,
        seed=seed,
        smoke=smoke,
    )
    if resume is not None:
        if out is not None:
            raise WrongUse("--resume names the folder already; leave --out away")
        study = _go_on(resume, data, asked, trials, time_s)
    elif data is not None:
        study = _begin(data, asked, 20 if trials is None else trials, time_s, out)
    else:
        raise WrongUse("no data given: backbones tune DATA, or backbones tune --resume FOLDER")
    follow(study)
    if json:
        print_json(as_json(study))
    tell_end(study, data or study.where, table=not json)


def _begin(
    data: str, asked: Asked, trials: int, time_s: float | None, out: Path | None
) -> TuningRun:
    import backbones

    with preparing() as bars:
        return backbones.tune(
            data,
            model=asked.model,
            recipe=asked.recipe,
            settings=asked.settings,
            layout=asked.layout,
            label_pattern=asked.label_pattern,
            weights=asked.weights,
            search=asked.search,
            trials=trials,
            time_s=time_s,
            out=out,
            monitor=asked.monitor or "top1_error_percent",
            seed=asked.seed or 0,
            smoke_run=asked.smoke,
            progress=bars.working,
            downloading=bars.downloading,
        )


def _go_on(
    folder: Path, data: str | None, asked: Asked, trials: int | None, time_s: float | None
) -> TuningRun:
    from backbones import resume_tuning

    with preparing() as bars:
        return resume_tuning(
            folder,
            data=data,
            trials=trials,
            time_s=time_s,
            asked=asdict(asked),
            progress=bars.working,
            downloading=bars.downloading,
        )


def _read_duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WrongUse(f"--time {error}") from None


def follow(study: TuningRun) -> None:
    """Run the trials, and say how it goes: a bar on a terminal, and a line a trial."""
    from backbones import TrialRow

    say(
        f"{study.recipe.model} on {study.source.where}, recipe {study.recipe.name},"
        f" up to {study.num_trials} trials; folder {study.folder}"
    )
    for search in study.plan.searches:
        say(f"search: {search}")
    say(f"data: {study.source.summary()}")
    for note in study.source.notes:
        say(f"note: {note}")
    if study.book.rows:
        say(f"{len(study.book.rows)} trials were begun before")
    with progress("tuning", unit="trials") as moved:
        for each in study:
            if isinstance(each, TrialRow):
                say(_trial_line(study, each))
                moved(each.number + 1, study.num_trials)
            else:
                moved(each.number, study.num_trials, _progress_line(study, each))


def _progress_line(study: TuningRun, trial: TrialProgress) -> str:
    best = study.best()
    said = f"trial {trial.number}: epoch {trial.epoch}, {100 * trial.share:.0f} %"
    return said if best is None else f"{said}; best {_figure(study, best)} (trial {best.number})"


def _trial_line(study: TuningRun, row: TrialRow) -> str:
    """One trial's end, for the log."""
    said = f"trial {row.number} of {study.num_trials}: {row.state}"
    if row.measured:
        said += f", {_figure(study, row)} after {len(row.measured)} evaluations"
    if row == study.best():
        said += " (best so far)"
    values = " ".join(f"{name}={_value(value)}" for name, value in row.parameters.items())
    note = f"; {row.note}" if row.note else ""
    return f"{said}, {human_seconds(row.seconds)}: {values}{note}"


def _figure(study: TuningRun, row: TrialRow) -> str:
    """A trial's best evaluation, as people read it."""
    best = row.best(study.monitor)
    if best is None:
        return "nothing measured"
    if study.monitor == "loss":
        return f"loss {best.loss:.4f}"
    return f"{best.top1_error_percent:.2f} % error"


def _value(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def as_json(study: TuningRun) -> dict[str, Any]:
    """What a program may want to know."""
    best, files = study.best(), study.files
    return {
        "folder": str(study.folder),
        "monitor": study.monitor,
        "ending": study.ending,
        "states": {state: count for state, count in study.states().items() if count},
        "best": None if best is None else _plain(study, best),
        "selected_on_this_split": True,  # the validation pictures chose weights and trial
        "best_recipe": None if files is None else str(files.best),
        "importances": {} if files is None else files.importances,
        "trials": [_plain(study, row) for row in study.book.rows],
    }


def _finite(value: float) -> float | None:
    """JSON knows no other numbers."""
    return value if math.isfinite(value) else None


def _plain(study: TuningRun, row: TrialRow) -> dict[str, Any]:
    found = row.best(study.monitor)
    return {
        "number": row.number,
        "state": row.state,
        "parameters": dict(row.parameters),
        "top1_error_percent": None if found is None else _finite(found.top1_error_percent),
        "loss": None if found is None else _finite(found.loss),
        "epoch": None if found is None else found.epoch,
        "seconds": row.seconds,
    }


def tell_end(study: TuningRun, data: str, *, table: bool) -> None:
    """The best trials, the files, and what to do next."""
    counted = ", ".join(f"{count} {state}" for state, count in study.states().items() if count)
    say(f"{study.ending}: {counted}")
    fields = [search.field for search in study.plan.searches]
    if table:
        rows = []
        for row in study.ranked()[:_SHOWN]:
            best = row.best(study.monitor)
            if best is not None:
                values = [_value(row.parameters[field]) for field in fields]
                error, loss = f"{best.top1_error_percent:.2f}", f"{best.loss:.4f}"
                rows.append((str(row.number), error, loss, str(best.epoch), *values))
        print_table(
            ("trial", "error_%", "loss", "epoch", *fields), rows, right="trial error_% loss epoch"
        )
        say("the figures are of the validation pictures, which chose weights and trial")
    files = study.files
    if files is None:
        say("no trial finished: no best.toml; trials.json says why")
        return
    for field, share in sorted(files.importances.items(), key=lambda item: -item[1]):
        say(f"{field} explains {100 * share:.0f} % of the differences")
    drawn = ", ".join(path.name for path in (files.table, *files.pictures))
    say(f"also in {study.folder}: trials.json, {drawn}")
    say(f"next: backbones train {shlex.quote(data)} --recipe {shlex.quote(str(files.best))}")
