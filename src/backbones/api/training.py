"""Train a network on pictures, from nothing or from weights; go on where a run stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from backbones.api.data import Downloading, Progress, open_for
from backbones.api.evaluation import write_evaluation
from backbones.api.networks import create
from backbones.api.weights import find_bundle, get_weights, is_id, open_bundle, spec_of
from backbones.data.pipeline import Pipeline
from backbones.data.source import DataSource
from backbones.download import cache_folder
from backbones.errors import WrongUse
from backbones.labels import shown
from backbones.models import find_row
from backbones.protocols.run import Evaluation, quick_evaluate
from backbones.protocols.run import evaluate as evaluate_split
from backbones.report.curves import draw_curves
from backbones.spec import InputSpec
from backbones.speed import Precision
from backbones.training.checkpoint import fingerprint
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.recipe import Recipe, smoke
from backbones.training.record import Record
from backbones.training.resolve import input_spec, resolve
from backbones.training.settings import apply_settings, load_recipe
from backbones.training.transplant import TakenLayer, transplant
from backbones.weights.bundle import read_bundle

__all__ = ["Finished", "TrainingRun", "resume", "train"]

_EVALUATION_PICTURES = 64
_EVALUATION_PIXELS = _EVALUATION_PICTURES * 224 * 224


@dataclass(frozen=True)
class Finished:
    """What a run ends with.

    Args:
        evaluation: of the kept weights on the held-out pictures; None where there are none.
        split: the name of those pictures' split.
        bundle: the kept weights.
        files: everything that was drawn and written for people.
    """

    evaluation: Evaluation | None
    split: str
    bundle: Path
    files: tuple[Path, ...]


class TrainingRun:
    """A run that trains while it is iterated over, record by record.

    Args:
        folder: of the run.
        workshop: what trains.
        resume: go on from the folder's checkpoint.

    Attributes:
        taken: layer by layer, what `init_from` gave; empty without it and when a run goes on.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [record.step for record in train("digits", smoke_run=True, out=folder)][-1]
        8
    """

    def __init__(self, folder: RunFolder, workshop: Workshop, *, resume: bool) -> None:
        self.folder = folder.path
        self.recipe = folder.recipe
        self.source = workshop.source
        self.taken = workshop.taken
        self.finished: Finished | None = None
        self._run, self._workshop, self._resume = folder, workshop, resume

    def __iter__(self) -> Iterator[Record]:
        workshop = self._workshop
        watched = workshop.watched
        with self._run, closing(workshop):
            yield from fit(
                workshop.network,
                self.recipe,
                workshop.batches,
                evaluate=None if watched is None else _watcher(watched, self.recipe),
                run=self._run,
                resume=self._resume,
                select=watched is not None and watched.split.name == "val",
            )
        self.finished = _finish(self._run, self.source)


def train(
    data: str | Path,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    weights: str | Path | None = None,
    init_from: str | Path | None = None,
    out: str | Path | None = None,
    smoke_run: bool = False,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """Train a network; iterate over the result to do it.

    Args:
        data: a folder, a manifest or a set name.
        model: a variant; the recipe's own where None.
        recipe: name or file; where None, "digits" and "fashion" for the sets of these names,
            "finetune" with weights, and "scratch" without.
        settings: `field=value` each, on top of the recipe.
        weights: id of weights, bundle, run folder or weight file to start from.
        init_from: id of weights, bundle or run folder of another network, some layers of which
            are taken over by the paper's names: the recipe's `init_layers`, or all that fit.
        out: the run folder; `runs/<data>-<model>` where None, with a number if that exists.
        smoke_run: a tiny run of the same kind, to see that everything fits together.
        progress: hears of the cache while it is built.
        downloading: hears of a download, where the set or the weights have to be fetched first.

    Raises:
        NotFound: no such data, network, recipe or weights.
        DownloadFailed: the set or the weights cannot be fetched.
        RecipeError: a setting that does not fit.
        BadData, BadWeights: what is there cannot be used.
        WrongUse: the run folder holds a run already.
    """
    resolved, source = resolved_for(
        data,
        model=model,
        recipe=recipe,
        settings=settings,
        weights=weights,
        init_from=init_from,
        smoke_run=smoke_run,
        downloading=downloading,
    )
    path = Path(out) if out is not None else _free_folder(data, resolved.model)
    RunFolder.refuse_taken(path)
    workshop = set_up(resolved, source, fresh=True, progress=progress)
    folder = RunFolder.create(
        path,
        recipe=resolved,
        data=fingerprint(source.split("train")),
        where=_lasting(data),
    )
    return TrainingRun(folder, workshop, resume=False)


def resolved_for(
    data: str | Path,
    *,
    model: str | None,
    recipe: str | Path | None,
    settings: Sequence[str],
    weights: str | Path | None,
    init_from: str | Path | None = None,
    smoke_run: bool = False,
    downloading: Downloading | None = None,
) -> tuple[Recipe, DataSource]:
    """The recipe of a training with nothing left open, and its data; arguments as of `train`."""
    chosen = load_recipe(recipe if recipe is not None else _recipe_for(data, weights))
    chosen = apply_settings(chosen, settings)
    chosen = _starting(chosen, model, weights, init_from)
    if smoke_run:
        chosen = smoke(chosen)
    _, row = find_row(chosen.model)
    source = open_for(chosen, data, downloading=downloading)
    weights_spec = None
    first = chosen.weights or chosen.init_from
    if first is not None:
        if is_id(first):
            get_weights(first, downloading=downloading)  # while the caller shows how far
        weights_spec = spec_of(first)
    resolved = resolve(chosen, row=row, train=source.split("train"), weights_spec=weights_spec)
    return resolved, source


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
    downloading: Downloading | None = None,
) -> TrainingRun:
    """Go on with a run exactly where its last checkpoint left it; iterate to do it.

    A run that was killed anywhere and resumed ends in the same weights, bit for bit, as one that
    was not.

    Args:
        run: its folder.
        data: where the data is now, if it was moved.
        progress: hears of the cache while it is built.
        downloading: hears of a download, where the set has to be fetched first.

    Raises:
        NotFound: the folder holds no run, or the data is gone.
        WrongUse: the data is not what the run began with.
    """
    folder = RunFolder.open(Path(run))
    where = data if data is not None else folder.facts["where"]
    source = open_for(folder.recipe, where, downloading=downloading)
    # The first weights count only where no checkpoint was written yet.
    fresh = not folder.checkpoint_path.exists()
    workshop = set_up(folder.recipe, source, fresh=fresh, progress=progress)
    return TrainingRun(folder, workshop, resume=True)


@dataclass(frozen=True)
class Workshop:
    """Everything that a run trains with, ready before its folder is touched.

    Args:
        source: the data, as the recipe sees it.
        network: with its first weights.
        batches: to learn from.
        watched: what is evaluated on the way: val, else test, else nothing.
        taken: layer by layer, what `init_from` gave.
    """

    source: DataSource
    network: nn.Module
    batches: Pipeline
    watched: Pipeline | None
    taken: tuple[TakenLayer, ...] = ()

    def close(self) -> None:
        """Stop the threads that decode."""
        for each in (self.batches, self.watched):
            if each is not None:
                each.close()


def set_up(
    recipe: Recipe, source: DataSource, *, fresh: bool, progress: Progress | None
) -> Workshop:
    """Make the network and the pipelines of a resolved recipe; with its first weights if fresh."""
    spec = input_spec(recipe)
    pipeline = partial(
        Pipeline,
        spec=spec,
        seed=recipe.seed,
        workers=recipe.workers,
        cache=cache_folder() / "decoded" if recipe.cache else None,
        progress=progress,
    )
    batches = pipeline(source.split("train"), batch_size=recipe.batch_size, augment=recipe.augment)
    held_out = source.splits.get("val", source.splits.get("test"))
    watched = None
    if held_out is not None:
        watched = pipeline(held_out, batch_size=_evaluation_batch(spec))
    network = create(
        recipe.model,
        num_classes=len(source.classes),
        in_channels=spec.channels,
        weights=recipe.weights if fresh else None,
        seed=recipe.seed,
    )
    taken = _take_over(recipe, source, network) if fresh else ()
    workshop = Workshop(source, network, batches, watched, taken)
    if recipe.cache:
        for each in (batches, watched):
            if each is not None:
                each.prepare()  # now, while the caller shows how far it is
    return workshop


def _take_over(recipe: Recipe, source: DataSource, network: nn.Module) -> tuple[TakenLayer, ...]:
    """Copy what the recipe takes from a trained network, where it takes something."""
    if recipe.init_from is None:
        return ()
    bundle = open_bundle(recipe.init_from)
    return transplant(
        bundle.build(),
        network,
        recipe.init_layers,
        same_classes=tuple(bundle.classes) == tuple(source.classes),
    )


def _watcher(pipeline: Pipeline, recipe: Recipe) -> Callable[[nn.Module], Mapping[str, float]]:
    precision: Precision = "bf16" if recipe.precision == "bf16" else "fp32"

    def evaluate(network: nn.Module) -> dict[str, Any]:
        return quick_evaluate(network, pipeline, precision=precision)

    return evaluate


def _evaluation_batch(spec: InputSpec) -> int:
    """As many pictures as have the pixels of 64 at 224 px, between 16 and 512."""
    return max(16, min(512, _EVALUATION_PIXELS // spec.size**2))


def _finish(run: RunFolder, source: DataSource) -> Finished:
    """Measure the kept weights on pictures they were not chosen by, and draw the curves."""
    files: tuple[Path, ...] = draw_curves(
        run.path / "metrics.jsonl", run.path, title=f"{run.recipe.model} on {source.where}"
    )
    bundle = find_bundle(run.path)
    if not {"val", "test"} & set(source.splits):
        return Finished(None, "", bundle, files)
    held_out = source.held_out()
    kept = read_bundle(bundle)
    evaluation = evaluate_split(
        kept.build(),
        held_out,
        kept.spec,
        classes=kept.classes,
        batch_size=_evaluation_batch(kept.spec),
    )
    evaluation = evaluation.named(shown(kept.classes, "en"))
    files += write_evaluation(evaluation, run.path)
    return Finished(evaluation, held_out.name, bundle, files)


def _starting(
    recipe: Recipe, model: str | None, weights: str | Path | None, init_from: str | Path | None
) -> Recipe:
    """The recipe with the network and the first weights that were named beside it."""
    if weights and init_from:
        raise WrongUse("weights and init_from both say where to start; give one of them")
    changed: dict[str, str | None] = {"model": model} if model else {}
    if weights or init_from:  # what is named replaces what the recipe starts from
        changed["weights"] = _lasting_weights(weights) if weights else None
        changed["init_from"] = _lasting_weights(init_from) if init_from else None
    recipe = recipe.model_copy(update=changed)
    if recipe.init_layers and not recipe.init_from:
        raise WrongUse(
            f"recipe {recipe.name} takes {', '.join(recipe.init_layers)} from a trained network;"
            " give it with --init-from RUN"
        )
    return recipe


def _recipe_for(data: str | Path, weights: str | Path | None) -> str:
    if weights is not None:
        return "finetune"
    return {"digits": "digits", "fashion-mnist": "fashion"}.get(str(data), "scratch")


def _lasting_weights(weights: str | Path) -> str:
    """The weights as a resume from another folder will find them."""
    return str(weights) if is_id(weights) else str(Path(weights).expanduser().absolute())


def _lasting(data: str | Path) -> str:
    """The data as a resume from another folder will find it."""
    path = Path(data).expanduser()
    return str(path.absolute()) if path.exists() and str(data) != "digits" else str(data)


def _free_folder(data: str | Path, model: str) -> Path:
    """`runs/<data>-<model>`, with the first number that is free behind it."""
    name = f"{Path(data).expanduser().absolute().stem}-{model}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder
