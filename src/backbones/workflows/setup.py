"""Everything that a run trains with, ready before its folder is touched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from backbones.classifier.options import default_batch
from backbones.compute import Compute, choose_compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import DataSource
from backbones.download import cache_folder
from backbones.errors import WrongUse
from backbones.models import build
from backbones.progress import Progress
from backbones.ranks import ALONE, Ranks, current
from backbones.training.lone import refuse_batches_of_one
from backbones.training.probe import FittedProbe
from backbones.training.recipe import Recipe
from backbones.training.rehearsal import refuse_other_shapes, refuse_unfit
from backbones.training.resolve import input_spec
from backbones.training.transplant import CopiedLayer, transplant
from backbones.weights.opening import load_weights, open_bundle
from backbones.workflows.probing import fit_head


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a run trains with.

    Args:
        source: the data, as the recipe sees it.
        network: with its first weights.
        batches: to learn from.
        watched: what is evaluated on the way: val, else test, else nothing.
        compute: where and how it is computed.
        taken: layer by layer, what `init_from` gave.
        probe: that the head begins with; None without one, and where a run goes on.
        ranks: the processes that train together.
    """

    source: DataSource
    network: nn.Module
    batches: Pipeline
    watched: Pipeline | None
    compute: Compute
    taken: tuple[CopiedLayer, ...] = ()
    probe: FittedProbe | None = None
    ranks: Ranks = ALONE

    def close(self) -> None:
        """Stop the threads that decode."""
        for each in (self.batches, self.watched):
            if each is not None:
                each.close()


def set_up(
    recipe: Recipe, source: DataSource, *, fresh: bool, progress: Progress | None = None
) -> TrainingSetup:
    """Make the network and the pipelines of a resolved recipe; with its first weights if fresh.

    Raises:
        RecipeError: the recipe does not fit the network or the data.
        BadData, BadWeights: there is nothing to train on, or the first weights do not fit.
    """
    ranks = current()
    if recipe.batch_size < ranks.size:
        raise WrongUse(
            f"batch_size is {recipe.batch_size}, and {ranks.size} processes share each batch: use"
            f" batch_size={ranks.size} or more, or fewer processes"
        )
    compute = choose_compute(recipe.device, recipe.precision, recipe.threads)
    spec = input_spec(recipe)
    pipeline = partial(
        Pipeline,
        spec=spec,
        seed=recipe.seed,
        workers=recipe.workers,
        cache=cache_folder() / "decoded" if recipe.cache else None,
        progress=progress,
        ranks=ranks,
    )
    batches = pipeline(source.split("train"), batch_size=recipe.batch_size, augment=recipe.augment)
    held_out = source.splits.get("val", source.splits.get("test"))
    watched = None
    if held_out is not None:
        watched = pipeline(held_out, batch_size=default_batch(spec.size) * ranks.size)
    refuse_other_shapes(recipe, spec, len(source.classes))
    network = build(recipe.model, len(source.classes), spec.channels, recipe.seed)
    if fresh and recipe.weights is not None:
        load_weights(network, recipe.weights)
    if recipe.batch_size == 1:
        refuse_batches_of_one(network.train(), spec)
    taken = _take_over(recipe, source, network) if fresh else ()
    refuse_unfit(recipe, network, batches)
    probe = None
    if fresh and recipe.probes and ranks.first:  # the others get its weights
        probe = fit_head(network, recipe, batches.split, compute, progress)
    setup = TrainingSetup(source, network, batches, watched, compute, taken, probe, ranks)
    if recipe.cache:
        with ranks.one_after_the_other():
            for each in (batches, watched):
                if each is not None:
                    each.prepare()  # now, while the caller shows how far it is
    return setup


def _take_over(recipe: Recipe, source: DataSource, network: nn.Module) -> tuple[CopiedLayer, ...]:
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
