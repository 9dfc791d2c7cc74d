"""`backbones train --folds`: the runs one after the other, and one table at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from backbones.cli.console import print_json, print_table, say
from backbones.errors import Interrupted, TrainingStopped
from backbones.text import read_document

if TYPE_CHECKING:
    from backbones.metrics import Interval
    from backbones.workflows.fold_figures import FoldsFinished
    from backbones.workflows.folds import FoldsTraining
    from backbones.workflows.run import TrainingRun


def follow_folds(
    training: FoldsTraining, follow: Callable[[TrainingRun], None], *, as_json: bool = False
) -> None:
    """Train fold after fold, and say what came of them.

    Args:
        training: the folds.
        follow: trains one run and says how it goes.
        as_json: print what `folds.json` holds instead of a table.

    Raises:
        Interrupted, TrainingStopped: as a run does, with how to go on with all folds.
    """
    for fold in training.kept:
        say(f"fold {fold} of {training.num_folds} is finished already, and kept")
    for run in training:
        say(f"--- fold {run.recipe.fold} of {training.num_folds}")
        try:
            follow(run)
        except (Interrupted, TrainingStopped) as error:
            one, all_ = f"--resume {run.folder}", f"--resume {training.folder}"
            told = type(error)(str(error).replace(one, all_))
            told.exit_code = error.exit_code
            raise told from None
    if training.finished is None:
        return
    if as_json:
        found = read_document(training.folder / "folds.json")
        print_json({"folder": str(training.folder), **found})
    else:
        tell_folds(training, training.finished)


def tell_folds(training: FoldsTraining, finished: FoldsFinished) -> None:
    """The table of all folds, and where everything lies."""
    print_table(
        (
            "fold",
            "images",
            "top-1 error %",
            "95 % interval",
            "loss",
            "best epoch",
            "last epoch %",
        ),
        table_rows(finished),
        right="images",
    )
    say(
        "each fold's best weights were chosen by the images it is measured on, which"
        " flatters them a little; `last epoch %` is of the weights that nobody chose"
    )
    if finished.test is not None:
        report = finished.test.report
        say(
            f"all {training.num_folds} networks together on the {report.num_samples:,} test"
            f" images: top-1 error {report.top1_error_percent:.2f} %"
            f" (95 % {interval_text(report.top1_interval_percent)}), loss {report.loss:.4f}"
        )
    say(f"in {training.folder}: {', '.join(sorted({path.name for path in finished.files}))}")
    say(f"next: backbones predict {training.folder} IMAGES --submission submission.csv")


def table_rows(finished: FoldsFinished) -> list[tuple[str, ...]]:
    """A row a fold, mean and standard deviation, and all images together."""
    rows: list[tuple[str, ...]] = [
        (
            str(each.fold),
            f"{each.num_pictures:,}",
            f"{each.top1_error_percent:.2f}",
            interval_text(each.top1_interval_percent),
            f"{each.loss:.4f}",
            str(each.best_epoch),
            f"{each.last_top1_error_percent:.2f}",
        )
        for each in finished.folds
    ]
    error, loss, epoch, last = (
        finished.spread(figure)
        for figure in ("top1_error_percent", "loss", "best_epoch", "last_top1_error_percent")
    )
    whole = finished.out_of_fold
    rows.append(
        (
            "mean ± sd",
            "",
            f"{error[0]:.2f} ± {error[1]:.2f}",
            "",
            f"{loss[0]:.4f} ± {loss[1]:.4f}",
            f"{epoch[0]:.1f} ± {epoch[1]:.1f}",
            f"{last[0]:.2f} ± {last[1]:.2f}",
        )
    )
    rows.append(
        (
            "out of fold",
            f"{whole.num_samples:,}",
            f"{whole.top1_error_percent:.2f}",
            interval_text(whole.top1_interval_percent),
            f"{whole.loss:.4f}",
            "",
            f"{finished.last_top1_error_percent:.2f}",
        )
    )
    return rows


def interval_text(interval: Interval) -> str:
    """A confidence interval in percent."""
    return f"{interval.low:.2f} to {interval.high:.2f}"
