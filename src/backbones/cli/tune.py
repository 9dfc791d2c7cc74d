"""`backbones tune`: many short trainings in, a better recipe out."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.console import preparing, print_json, print_table, progress, say
from backbones.cli.options import (
    ClusterOptions,
    ComputeOptions,
    Epochs,
    LearningRate,
    MaybeData,
    OutputOptions,
    RecipeOptions,
    Smoke,
)
from backbones.errors import WrongUse
from backbones.units import human_seconds, parse_duration

if TYPE_CHECKING:
    from backbones.workflows.tuning.book import TrialRow
    from backbones.workflows.tuning.run import TuningRun
    from backbones.workflows.tuning.trial import TrialProgress

_SHOWN = 5
_BEGAN_WITH = ("model", "recipe", "settings", "weights", "layout", "label_pattern")


@dataclass(frozen=True)
class SearchOptions:
    """What is typed about the search itself."""

    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="FIELD=VALUES",
            help="Try a range (1e-4..1e-1:log, 0..0.2) or a list (16,32,64); repeatable.",
        ),
    ] = None
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Number of trials at most; default: 20.")
    ] = None
    time: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Begin no trial after, such as 30m or 2h."),
    ] = None
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="Metric to minimise: top1_error_percent (default) or loss."
        ),
    ] = None
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of the search sampler; default: 0.")
    ] = None

    @property
    def time_s(self) -> float | None:
        """Seconds after which no trial begins.

        Raises:
            WrongUse: --time is no duration.
        """
        if self.time is None:
            return None
        try:
            return parse_duration(self.time)
        except ValueError as error:
            raise WrongUse(f"--time {error}") from None


Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder; default: runs/tune-DATA-MODEL."),
]
Resume = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Continue this search.")]


def tune(
    data: MaybeData = None,
    *,
    recipe: RecipeOptions,
    epochs: Epochs = None,
    lr: LearningRate = None,
    search: SearchOptions,
    out: Out = None,
    smoke: Smoke = False,
    compute: ComputeOptions,
    machines: ClusterOptions,
    resume: Resume = None,
    output: OutputOptions,
) -> None:
    """Search for a better recipe.

    Trains many times with different values, compares on the validation images (never on the test
    images), stops trials that are worse than the median, and writes the best recipe. Without
    --search: learning rate, weight decay and label smoothing, around the recipe's own.

    Examples:
        backbones tune photos --model resnet18 --recipe finetune --trials 30
        backbones tune photos --search optimizer.lr=1e-4..1e-1:log
        backbones tune --resume runs/tune-photos-resnet18
        backbones tune photos --model resnet18 --trials 64 --cluster ray
    """
    machines.refuse_lone_address()
    options = {**asdict(recipe), "epochs": epochs, "lr": lr, **asdict(compute)}
    if resume is not None:
        if out is not None:
            raise WrongUse("--resume names the folder already; omit --out")
        study = _go_on(resume, data, options, search, {"smoke": smoke, **machines.place_of_work})
    elif data is not None:
        options |= {"out": out, "smoke_run": smoke, **machines.place_of_work}
        study = _begin(data, options, search)
    else:
        raise WrongUse("no data given: backbones tune DATA, or backbones tune --resume FOLDER")
    follow(study)
    if output.json:
        print_json(as_json(study))
    tell_end(study, data or study.where, table=not output.json)


def _begin(data: str, options: dict[str, Any], search: SearchOptions) -> TuningRun:
    import backbones

    typed = {name: value for name, value in asdict(search).items() if value is not None}
    typed.pop("time", None)
    options |= {**typed, "time_s": search.time_s}
    with preparing() as bars:
        return backbones.tune(data, progress=bars.working, downloading=bars.downloading, **options)


def _go_on(
    folder: Path,
    data: str | None,
    options: dict[str, Any],
    search: SearchOptions,
    how: dict[str, Any],
) -> TuningRun:
    from backbones import resume_tuning

    smoke = how.pop("smoke")

    asked = {name: options.pop(name) for name in _BEGAN_WITH}
    if any(each not in (None, "auto") for each in options.values()):
        raise WrongUse(
            "--resume continues the search as it began; omit --epochs, --lr, --batch-size,"
            " --image-size, --device, --precision and --threads"
        )
    asked |= {"search": search.search, "monitor": search.monitor, "seed": search.seed}
    with preparing() as bars:
        return resume_tuning(
            folder,
            data=data,
            trials=search.trials,
            time_s=search.time_s,
            asked={**asked, "smoke": smoke},
            **how,
            progress=bars.working,
            downloading=bars.downloading,
        )


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
        say(f"{len(study.book.rows)} trials were started before")
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
        **study.compute.to_json(),
        "ending": study.ending,
        "states": {state: count for state, count in study.states().items() if count},
        "best": None if best is None else _plain(study, best),
        "selected_on_this_split": True,  # the validation images chose weights and trial
        "best_recipe": None if files is None else str(files.best),
        "importances": {} if files is None else files.importances,
        "trials": [_plain(study, row) for row in study.book.rows],
    }


def _plain(study: TuningRun, row: TrialRow) -> dict[str, Any]:
    found = row.best(study.monitor)
    return {
        "number": row.number,
        "state": row.state,
        "parameters": dict(row.parameters),
        "top1_error_percent": None if found is None else found.top1_error_percent,
        "loss": None if found is None else found.loss,
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
        say("these figures are of the validation images, which chose weights and trial")
    files = study.files
    if files is None:
        say("no trial finished: no best.toml; trials.json says why")
        return
    for field, share in sorted(files.importances.items(), key=lambda item: -item[1]):
        say(f"{field} explains {100 * share:.0f} % of the differences")
    drawn = ", ".join(path.name for path in (files.table, *files.charts))
    say(f"also in {study.folder}: trials.json, {drawn}")
    say(f"next: backbones train {shlex.quote(data)} --recipe {shlex.quote(str(files.best))}")
