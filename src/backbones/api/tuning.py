"""Search for a better recipe: many trainings, each an ordinary run folder, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from backbones.progress import Callbacks, Downloading, Progress
from backbones.workflows.request import RecipeOptions, TrainingRequest
from backbones.workflows.tuning.beginning import SearchRequest, begin_search, continue_search
from backbones.workflows.tuning.run import TuningRun

__all__ = ["resume_tuning", "tune"]


def tune(
    data: str | Path,
    *,
    search: Sequence[str] = (),
    trials: int = 20,
    time_s: float | None = None,
    out: str | Path | None = None,
    monitor: str = "top1_error_percent",
    seed: int = 0,
    smoke_run: bool = False,
    cluster: Literal["ray"] | None = None,
    address: str = "auto",
    progress: Progress | None = None,
    downloading: Downloading | None = None,
    **options: Unpack[RecipeOptions],
) -> TuningRun:
    """Search for a better recipe; iterate over the result to do it.

    Trials are compared on the validation images and never see the test images. The first one
    is the recipe as it stands, so far as it lies in what is searched. A trial whose evaluations
    are worse than the median of those before it is stopped. The same call makes the same trials.

    Args:
        data: a folder, a manifest or a set name.
        search: `field=low..high`, `field=low..high:log` or `field=a,b,c` each. Where there is
            none: learning rate, weight decay and label smoothing around the recipe's own.
        trials: at most.
        time_s: no trial begins after so many seconds; None = no limit.
        out: the folder; `runs/tune-<data>-<model>` where None, with a number if that exists.
        monitor: metric to minimise, top1_error_percent or loss of the validation images.
        seed: of the search sampler. The trainings take the recipe's.
        smoke_run: tiny trainings, to see that everything fits together.
        cluster: "ray" trains as many trials at a time as a Ray cluster has room for, in rounds;
            all its machines share the folder and the data.
        address: of the cluster: "auto", "local" (it begins and ends with this search) or
            "ray://HOST:PORT".
        progress: progress callback of the cache, while it is built.
        downloading: download progress callback.
        options: model, recipe, settings, layout, label_pattern, weights, epochs, lr, batch_size,
            image_size, device, precision and threads, as of `train`.

    Raises:
        MissingExtra: without Optuna, or a cluster without Ray.
        RecipeError: the recipe refuses a setting or something that is searched.
        WrongUse: the folder is taken, nothing can be searched so, or the data has no
            validation images.
        Busy: another process writes to the folder; raised by the iteration too.
        NotFound, DownloadFailed, BadData, BadWeights: as `train`.
    """
    return begin_search(
        TrainingRequest.of(data, {**options, "downloading": downloading}),
        SearchRequest(search, trials, monitor, seed, smoke_run),
        time_s=time_s,
        out=out,
        callbacks=Callbacks(progress, downloading),
        address=None if cluster is None else address,
    )


def resume_tuning(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    trials: int | None = None,
    time_s: float | None = None,
    asked: Mapping[str, Any] | None = None,
    cluster: Literal["ray"] | None = None,
    address: str = "auto",
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
        asked: model, recipe, settings, layout, label_pattern, weights, search, monitor, seed or
            smoke; refused where it is not what the search began with. None, False and empty lists
            ask for nothing.
        cluster, address, progress, downloading: as of `tune`.

    Raises:
        MissingExtra: without Optuna, or a cluster without Ray.
        NotFound: the folder holds no search, or the data is gone.
        WrongUse: the data, or what is asked for, is not what the search began with.
        Busy: another process writes to the folder; raised by the iteration too.
        BadData: a file of the search was changed.
    """
    return continue_search(
        Path(folder),
        data=data,
        trials=trials,
        time_s=time_s,
        asked=asked or {},
        callbacks=Callbacks(progress, downloading),
        address=None if cluster is None else address,
    )
