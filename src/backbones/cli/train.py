"""`backbones train`: a folder of pictures in, a run folder out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import preparing
from backbones.cli.following import follow, tell_end
from backbones.cli.layout import LabelPattern, Layout
from backbones.cli.offline import Offline
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones import FoldsTraining, TrainingRun
    from backbones.training.recipe import Recipe


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
LogEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="Without a terminal, a line each so many steps; about one a minute if left out.",
    ),
]
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
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    smoke: Smoke = False,
    resume: Resume = None,
    log_every: LogEvery = None,
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

    Examples:
        backbones train photos --recipe finetune
        backbones train photos --recipe finetune --model efficientnet_b0
        backbones train photos --folds 5 --out runs/five
        backbones train --resume runs/photos-resnet18
    """
    given = (model, recipe, settings, weights, init_from, out, smoke, folds, layout, label_pattern)
    if resume is not None:
        if any(each not in (None, False) for each in given):
            raise WrongUse("--resume goes on with the run as it was started; give no other option")
        go_on(resume, data, log_every)
        return
    if data is None:
        raise WrongUse("no data given: backbones train DATA, or backbones train --resume RUN")
    if folds is not None and folds < 2:
        raise WrongUse(f"--folds is {folds}; expected 2 or more")
    from backbones import choose_recipe

    chosen = choose_recipe(
        data,
        model=model,
        recipe=recipe,
        settings=[*(settings or []), *([] if folds is None else [f"folds={folds}"])],
        layout=layout,
        label_pattern=label_pattern,
        weights=weights,
        init_from=init_from,
        smoke_run=smoke,
    )
    start(chosen, data, out, log_every)


def start(chosen: Recipe, data: str, out: Path | None, log_every: int | None) -> None:
    """Begin a run, or one for each fold where the recipe asks for folds, and follow it."""
    import backbones

    begin = backbones.train_folds if chosen.trains_folds else backbones.train
    with preparing() as bars:
        begun = begin(
            data, recipe=chosen, out=out, progress=bars.working, downloading=bars.downloading
        )
    follow_to_the_end(begun, log_every)


def go_on(path: Path, data: str | None, log_every: int | None) -> None:
    """Go on with a run, or with all that a folder of folds holds, and follow it."""
    import backbones

    again = backbones.resume_folds if backbones.holds_folds(path) else backbones.resume
    with preparing() as bars:
        begun = again(path, data=data, progress=bars.working, downloading=bars.downloading)
    follow_to_the_end(begun, log_every)


def follow_to_the_end(begun: TrainingRun | FoldsTraining, log_every: int | None) -> None:
    """Train, say how it goes, and what came of it."""
    from backbones import FoldsTraining
    from backbones.cli.folds import follow_folds

    if isinstance(begun, FoldsTraining):
        follow_folds(begun, partial(follow, log_every=log_every))
        return
    follow(begun, log_every)
    tell_end(begun)
