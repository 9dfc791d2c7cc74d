"""`backbones train`: a folder of pictures in, a run folder out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import err, preparing, print_table, say
from backbones.cli.offline import Offline
from backbones.errors import WrongUse
from backbones.units import human_seconds

if TYPE_CHECKING:
    from backbones.api.folds import FoldsTraining
    from backbones.api.training_run import TrainingRun
    from backbones.training.recipe import Recipe
    from backbones.training.record import Record, StepRecord


Data = Annotated[str | None, typer.Argument(metavar="DATA", help="A folder, manifest or set name.")]
Model = Annotated[
    str | None, typer.Option(help="A network, see `backbones list`; the recipe's own if left out.")
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        help="A recipe's name or file, see `backbones list recipes`. If left out: finetune with"
        " --weights, digits and fashion for these sets, else scratch (random weights)."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field of the recipe (`backbones recipe dump` has all); can be repeated.",
    ),
]
Weights = Annotated[
    str | None, typer.Option(help="Start from these: an id, a bundle, a run or a weight file.")
]
InitFrom = Annotated[
    str | None,
    typer.Option(
        metavar="RUN_OR_BUNDLE", help="Take over the layers that this other network shares."
    ),
]
Out = Annotated[Path | None, typer.Option(help="The run folder; runs/DATA-MODEL if left out.")]
FoldCount = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Train K networks, each holding out another stratified part of the training"
        " pictures (train and val together; test is left alone).",
    ),
]
Smoke = Annotated[bool, typer.Option("--smoke", help="A few steps, to see it work.")]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Go on with this run, exactly; if its data was moved, give DATA too."
    ),
]


def train(
    data: Data = None,
    model: Model = None,
    recipe: RecipeName = None,
    settings: Settings = None,
    weights: Weights = None,
    init_from: InitFrom = None,
    out: Out = None,
    folds: FoldCount = None,
    smoke: Smoke = False,
    resume: Resume = None,
    offline: Offline = False,
) -> None:
    """Train a network on pictures.

    Leaves a run folder: best and last bundle, metrics, curves, TensorBoard files, the resolved
    recipe, a report on the held-out pictures, and a checkpoint to go on from.

    With --folds the run folder holds a run for each fold, one table of all, and out_of_fold.csv
    with an answer to every picture from the network that never saw it. `evaluate` and `predict`
    take the whole folder as one network.

    On photos begin with --recipe finetune: it goes on from the network's public weights, which
    are fetched once (resnet18's, unless --model names another).

    Examples: `backbones train photos --recipe finetune`,
    `backbones train photos --recipe finetune --model efficientnet_b0 --set length=20epochs`,
    `backbones train photos --folds 5 --out runs/five` (one of them alone: `--set fold=2`),
    `backbones train --resume runs/photos-resnet18`.
    """
    given = (model, recipe, settings, weights, init_from, out, smoke, folds)
    if resume is not None:
        if any(each not in (None, False) for each in given):
            raise WrongUse("--resume goes on with the run as it was started; give no other option")
        go_on(resume, data)
        return
    if data is None:
        raise WrongUse("no data given: backbones train DATA, or backbones train --resume RUN")
    if folds is not None and folds < 2:
        raise WrongUse(f"--folds is {folds}; expected 2 or more")
    from backbones.api.starting import chosen_recipe

    chosen = chosen_recipe(
        data,
        model=model,
        recipe=recipe,
        settings=[*(settings or []), *([] if folds is None else [f"folds={folds}"])],
        weights=weights,
        init_from=init_from,
        smoke_run=smoke,
    )
    if recipe is None and chosen.name == "scratch":
        say(
            "no recipe named: scratch, which begins with random weights; on photos --recipe"
            " finetune, which goes on from public ones, needs far fewer of them"
        )
    start(chosen, data, out)


def start(chosen: Recipe, data: str, out: Path | None) -> None:
    """Begin a run, or one for each fold where the recipe asks for folds, and follow it."""
    from backbones.api.folds import asks_for_folds, begin_folds
    from backbones.api.training import begin_run

    begin = begin_folds if asks_for_folds(chosen) else begin_run
    with preparing() as bars:
        begun = begin(chosen, data, out, progress=bars.caching, downloading=bars.downloading)
    follow_to_the_end(begun)


def go_on(path: Path, data: str | None) -> None:
    """Go on with a run, or with all that a folder of folds holds, and follow it."""
    from backbones.api.folds import resume_folds
    from backbones.api.training import resume
    from backbones.training.folds import FoldsFolder

    again = resume_folds if FoldsFolder.is_there(path) else resume
    with preparing() as bars:
        begun = again(path, data=data, progress=bars.caching, downloading=bars.downloading)
    follow_to_the_end(begun)


def follow_to_the_end(begun: TrainingRun | FoldsTraining) -> None:
    """Train, say how it goes, and what came of it."""
    from backbones.api.folds import FoldsTraining
    from backbones.cli.folds import follow_folds

    if isinstance(begun, FoldsTraining):
        follow_folds(begun, follow)
        return
    follow(begun)
    tell_end(begun)


def follow(run: TrainingRun) -> None:
    """Train, and say how it goes: a moving bar on a terminal, a line an epoch elsewhere."""
    recipe = run.recipe
    say(
        f"{recipe.model} from {recipe.weights or recipe.init_from or 'random weights'} on"
        f" {run.source.where} ({run.source.kind}), recipe {recipe.name},"
        f" {recipe.length}, {recipe.precision}; run folder {run.folder}"
    )
    for note in run.source.notes:
        say(f"note: {note}")
    tell_taken(run)
    if not err().is_terminal:
        for record in run:
            for line in record_lines(record):
                say(line)
        return
    follow_on_terminal(run)


def tell_taken(run: TrainingRun) -> None:
    """Which layers came from another network, and why the others did not."""
    if not run.taken:
        return
    count = sum(layer.taken for layer in run.taken)
    say(f"{count} of {len(run.taken)} layers are taken from {run.recipe.init_from}:")
    print_table(
        ("layer", "shape", "weights"),
        [(each.name, each.shape, each.note or "taken") for each in run.taken],
    )


def follow_on_terminal(run: TrainingRun) -> None:
    """The bar: loss, accuracy, pictures a second and time left; lines above it as they come."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from backbones.training.record import StartRecord, StepRecord

    columns = (
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[figures]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    recent = Recent()
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("training", total=None, figures="")
        for record in run:
            if isinstance(record, StartRecord):
                bar.update(task, total=record.total_steps, completed=record.step)
            elif isinstance(record, StepRecord):
                recent.add(record)
                bar.update(task, completed=record.step, figures=recent.figures())
            for line in record_lines(record):
                bar.console.print(line, markup=False)


class Recent:
    """Moving means over the last steps, about fifty of them."""

    def __init__(self) -> None:
        self._loss = self._correct = self._examples = self._seconds = 0.0
        self._weight = 0.0

    def add(self, step: StepRecord) -> None:
        """Take one step in; older ones fade."""
        keep = 0.98
        self._weight = keep * self._weight + 1
        self._loss = keep * self._loss + (step.loss or 0.0)
        self._correct = keep * self._correct + step.num_correct
        self._examples = keep * self._examples + step.num_examples
        self._seconds = keep * self._seconds + step.seconds

    def figures(self) -> str:
        """As the bar shows them."""
        accuracy = self._correct / max(self._examples, 1e-9)
        rate = self._examples / max(self._seconds, 1e-9)
        loss = self._loss / self._weight
        return f"loss {loss:.3f}  accuracy {accuracy:.3f}  {rate:,.0f} images/s"


def record_lines(record: Record) -> list[str]:
    """What a log should keep of a record."""
    from backbones.training.record import EpochRecord, EvaluationRecord, StartRecord, StepRecord

    match record:
        case StartRecord():
            return list(record.notes)
        case StepRecord():
            return [f"left out {name}: {reason}" for name, reason in record.bad]
        case EpochRecord():
            return [
                f"epoch {record.epoch}: training loss {record.loss:.4f},"
                f" accuracy {1 - record.top1_error_percent / 100:.4f},"
                f" {record.pictures_per_second:,.0f} pictures/s, {human_seconds(record.seconds)}"
            ]
        case EvaluationRecord():
            figures = record.metrics
            if not math.isfinite(figures["loss"]):
                return [f"epoch {record.epoch}: held-out answers are no finite numbers (not kept)"]
            return [
                f"epoch {record.epoch}: held-out loss {figures['loss']:.4f},"
                f" accuracy {1 - figures['top1_error_percent'] / 100:.4f}"
                + (" (kept as best)" if record.best else "")
            ]
    return []


def tell_end(run: TrainingRun) -> None:
    """The table at the end, and where everything lies."""
    finished = run.finished
    if finished is None:
        return
    if finished.evaluation is not None:
        report = finished.evaluation.report
        interval = report.top1_interval_percent
        chose = ", which chose the weights" if finished.evaluation.selected_on_this_split else ""
        print_table(
            ("figure", "value"),
            [
                (f"pictures ({finished.split}{chose})", f"{report.num_samples:,}"),
                ("top-1 error", f"{report.top1_error_percent:.2f} %"),
                ("95 % interval", f"{interval.low:.2f} to {interval.high:.2f} %"),
                ("accuracy", f"{100 - report.top1_error_percent:.2f} %"),
                ("loss", f"{report.loss:.4f}"),
                ("calibration error", f"{report.calibration_error:.4f}"),
            ],
        )
    say(f"bundle: {finished.bundle}")
    drawn = sorted({path.name for path in finished.files})
    say(f"also in {run.folder}: metrics.jsonl, tensorboard/, {', '.join(drawn)}")
    say(f"next: backbones predict {run.folder} PICTURES --pictures {run.folder / 'pictures'}")
