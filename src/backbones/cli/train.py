"""`backbones train`: a folder of images in, a run folder out."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import preparing
from backbones.cli.following import follow, tell_end
from backbones.cli.options import (
    ComputeOptions,
    Epochs,
    LearningRate,
    MaybeData,
    OutputOptions,
    RecipeOptions,
    Seed,
    Smoke,
)
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones import FoldsTraining, TrainingRun
    from backbones.training.recipe import Recipe

InitFrom = Annotated[
    str | None,
    typer.Option(
        metavar="CLASSIFIER", help="Copy the layers that this other network has in common."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Run folder; default: runs/DATA-MODEL."),
]
FoldCount = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="K",
        help="Train K networks, each validated on another stratified part of the training images"
        " (train and val together; test is left alone).",
    ),
]
LogEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="Without a terminal, log a line every so many steps; default: about one a minute.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Continue this run exactly; if its data was moved, give DATA too."
    ),
]


def train(
    data: MaybeData = None,
    *,
    recipe: RecipeOptions,
    epochs: Epochs = None,
    lr: LearningRate = None,
    seed: Seed = None,
    init_from: InitFrom = None,
    out: Out = None,
    folds: FoldCount = None,
    smoke: Smoke = False,
    compute: ComputeOptions,
    resume: Resume = None,
    log_every: LogEvery = None,
    output: OutputOptions,
) -> None:
    """Train a network on images.

    Leaves a run folder: best and last bundle, metrics, curves, TensorBoard files, the resolved
    recipe, a report on the validation images, and a checkpoint to continue from.

    With --folds the run folder holds a run per fold, one table of all, and out_of_fold.csv with a
    prediction for every image by the network that never saw it. `evaluate` and `predict` take the
    whole folder as one classifier.

    For photos begin with --recipe probe, which learns the head alone and takes seconds, and go on
    with --recipe finetune, which begins with that head. Both start from the network's public
    weights, which are downloaded once (resnet18's, unless --model names another).

    `torchrun --nproc-per-node N -m backbones train ...` shares each batch among N processes, and
    with --max-restarts goes on from the last checkpoint when one is lost.

    Examples:
        backbones train photos --recipe probe
        backbones train photos --recipe finetune
        backbones train photos --recipe finetune --model efficientnet_b0 --epochs 20
        backbones train photos --folds 5 -o runs/five
        backbones train --resume runs/photos-resnet18
    """
    own = {"epochs": epochs, "lr": lr, "seed": seed, "init_from": init_from, "smoke_run": smoke}
    options = asdict(recipe) | asdict(compute) | own
    if resume is not None:
        if any(each not in (None, False, "auto") for each in (out, folds, *options.values())):
            raise WrongUse("--resume continues the run as it was started; give no other option")
        go_on(resume, data, log_every, as_json=output.json)
        return
    if data is None:
        raise WrongUse("no data given: backbones train DATA, or backbones train --resume RUN")
    from backbones import choose_recipe

    if folds is not None:
        options["settings"] = [*(recipe.settings or ()), f"folds={folds}"]
    with preparing() as bars:
        chosen = choose_recipe(data, downloading=bars.downloading, **options)
    start(chosen, data, out, log_every, as_json=output.json)


def start(
    chosen: Recipe, data: str, out: Path | None, log_every: int | None, *, as_json: bool
) -> None:
    """Begin a run, or one for each fold where the recipe asks for folds, and follow it."""
    import backbones

    begin = backbones.train_folds if chosen.trains_folds else backbones.train
    with preparing("looking at every image once") as bars:
        begun = begin(
            data, recipe=chosen, out=out, progress=bars.working, downloading=bars.downloading
        )
    follow_to_the_end(begun, log_every, as_json=as_json)


def go_on(path: Path, data: str | None, log_every: int | None, *, as_json: bool) -> None:
    """Go on with a run, or with all that a folder of folds holds, and follow it."""
    import backbones

    again = backbones.resume_folds if backbones.holds_folds(path) else backbones.resume
    with preparing("looking at every image once") as bars:
        begun = again(path, data=data, progress=bars.working, downloading=bars.downloading)
    follow_to_the_end(begun, log_every, as_json=as_json)


def follow_to_the_end(
    begun: TrainingRun | FoldsTraining, log_every: int | None, *, as_json: bool
) -> None:
    """Train, say how it goes, and what came of it."""
    from backbones import FoldsTraining
    from backbones.cli.folds import follow_folds

    if isinstance(begun, FoldsTraining):
        follow_folds(begun, partial(follow, log_every=log_every, as_json=as_json), as_json=as_json)
        return
    follow(begun, log_every, as_json=as_json)
    tell_end(begun, as_json=as_json)
