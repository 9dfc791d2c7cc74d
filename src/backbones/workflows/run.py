"""A training run: what it trains with, the records it gives, what it ends with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from backbones.classifier.evaluation import Evaluation, quick_answers, quick_figures
from backbones.classifier.evaluation import evaluate as evaluate_split
from backbones.classifier.evaluation_files import write_evaluation
from backbones.classifier.held_out import was_chosen_by
from backbones.classifier.inference import Outputs
from backbones.classifier.processes import gather
from backbones.compute import Precision
from backbones.data.pipeline import Pipeline
from backbones.errors import Diverged, NotFinite, WrongUse, telling_of_memory
from backbones.footprint.room import batch_advice
from backbones.labels import shown
from backbones.ranks import Ranks
from backbones.report.curves import draw_curves
from backbones.signals import Asked
from backbones.training.checkpoint import file_names_digest
from backbones.training.diverged import mark
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.optim import kept_by
from backbones.training.preview import harder_for_training
from backbones.training.recipe import Recipe
from backbones.training.record import Record
from backbones.training.resolve import input_spec
from backbones.weights.bundle import read_bundle
from backbones.weights.opening import find_bundle
from backbones.workflows.setup import TrainingSetup


@dataclass(frozen=True)
class Finished:
    """What a run ends with.

    Args:
        evaluation: of the kept weights on the held-out images; None where there are none.
        split: the name of those images' split.
        bundle: the kept weights.
        files: everything that was drawn and written for people.
    """

    evaluation: Evaluation | None
    split: str
    bundle: Path
    files: tuple[Path, ...]


class TrainingRun:
    """A run that trains while it is iterated over, record by record, or at once with `run()`.

    Args:
        path: of its folder, which is made when the training starts.
        recipe: resolved.
        setup: what trains.
        open_folder: makes the folder of a new run, or gives that of one that goes on.
        resume: go on from the folder's checkpoint.

    Attributes:
        compute: where and how it is computed.
        taken: layer by layer, what `init_from` gave; empty without it and when a run goes on.
        probe: that the head begins with; None without one and when a run goes on.
        finished: what came of it; None before the end.

    Example:
        >>> import tempfile
        >>> from backbones import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [record.step for record in train("digits", smoke_run=True, out=folder)][-1]
        8
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        setup: TrainingSetup,
        open_folder: Callable[[], RunFolder],
        *,
        resume: bool,
    ) -> None:
        self.folder, self.recipe = path, recipe
        self.source = setup.source
        self.taken, self.probe = setup.taken, setup.probe
        self.compute = setup.compute
        self.finished: Finished | None = None
        self._setup, self._open, self._resume = setup, open_folder, resume
        self._run: RunFolder | None = None
        self._iterated = False
        self._step = 0

    def __repr__(self) -> str:
        what = f"TrainingRun({self.recipe.model} on {self.source.where}, folder {self.folder}): "
        if self.finished is not None:
            return what + "finished"
        if self._run is not None:
            return what + f"at step {self._step}"
        return what + "not started; call .run(), or iterate over it record by record"

    def __iter__(self) -> Iterator[Record]:
        self._refuse_again()
        run = self._begun()
        lost = self._setup.ranks.telling_of_lost
        with run.lock, self.compute.running(), lost():
            yield from self.records()
            try:
                self.finished = _finish(run, self._setup)
            except NotFinite as error:
                diverged = Diverged(
                    f"the last weights answer {error.about} with {error.found}, and none before"
                    " them were kept: the training diverged; begin anew with a lower optimizer.lr"
                    f" (it is {self.recipe.optimizer.lr:g})"
                )
                if run.writes:
                    mark(run.path, diverged)
                raise diverged from None

    def run(self) -> Finished:
        """Train to the end; a run that is at its end stays as it is.

        Returns:
            the evaluation, where the bundle is, and what else was written.

        Raises:
            TrainingStopped, Interrupted, WrongUse: as the iteration.
        """
        if self.finished is not None:
            return self.finished
        for _ in self:
            pass
        assert self.finished is not None
        return self.finished

    def records(self) -> Generator[Record, None, None]:
        """The training alone: nothing is measured or drawn when it is over.

        Raises:
            WrongUse: it was iterated over before: the network is not what it began with.
        """
        self._refuse_again()
        run, setup = self._begun(), self._setup
        self._iterated = True
        watched = None if self.recipe.only_probes else setup.watched  # measured once, at the end
        advice = telling_of_memory(self._batch_advice)
        with run, closing(setup), setup.compute.running(), advice:
            for record in fit(
                setup.network,
                self.recipe,
                setup.batches,
                evaluate=None if watched is None else _watcher(watched, setup.compute.precision),
                together=None if watched is None else _together(watched, setup.ranks),
                ranks=setup.ranks,
                run=run,
                resume=self._resume,
                select=watched is not None and watched.split.name == "val",
                chosen_by=None if watched is None else file_names_digest(watched.split),
            ):
                self._step = record.step
                yield record

    def _refuse_again(self) -> None:
        if self._iterated:
            raise WrongUse(
                f"this run of {self.folder} was iterated over already, as far as step {self._step},"
                f" and trains once; go on with backbones.resume({str(self.folder)!r})"
            )

    def _batch_advice(self) -> str:
        recipe, spec = self.recipe, input_spec(self.recipe)
        return batch_advice(
            self._setup.network,
            (spec.channels, spec.size, spec.size),
            recipe.batch_size,
            "--set batch_size=",
            training=True,
            optimizer=kept_by(recipe.optimizer),
            precision=self.compute.precision,
        )

    def _begun(self) -> RunFolder:
        """The folder; a new run's is made here, so that a run that never starts leaves nothing."""
        if self._run is None:
            with self.compute.running():  # the folder notes the number of threads
                self._run = self._open()
            self._setup.ranks.wait()
        return self._run


def _watcher(pipeline: Pipeline, precision: Precision) -> Callable[[nn.Module], Outputs]:
    def answers(network: nn.Module) -> Outputs:
        return quick_answers(network, pipeline, precision=precision)

    return answers


def _together(pipeline: Pipeline, ranks: Ranks) -> Callable[[Any], Mapping[str, float]]:
    """The figures of what every process answered, as the first one has them."""

    def figures(mine: Outputs | None) -> Mapping[str, float]:
        if any(ranks.values(mine is None)) or mine is None:
            raise Asked
        found: Mapping[str, float] = ranks.of_first(
            quick_figures(gather(ranks, mine), pipeline.split)
        )
        return found

    return figures


def _finish(run: RunFolder, setup: TrainingSetup) -> Finished:
    """Measure the kept weights, on images that they were not chosen by where there are some."""
    source, compute = setup.source, setup.compute
    setup.ranks.wait()  # for the last bundle to be written
    run.lock.refuse_lost()
    files: tuple[Path, ...] = ()
    if run.writes and not run.recipe.only_probes:
        title = f"{run.recipe.model} on {source.where}"
        harder = harder_for_training(run.recipe)
        files = draw_curves(run.path / "metrics.jsonl", run.path, title=title, harder=harder)
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
        compute=replace(compute, precision="fp32"),
    )
    evaluation = replace(
        evaluation.named(shown(kept.classes, "en")),
        selected_on_this_split=was_chosen_by(kept, held_out),
    )
    run.lock.refuse_lost()
    if run.writes:
        files += write_evaluation(evaluation, run.path)
    return Finished(evaluation, held_out.name, bundle, files)
