"""What can be known of a training before its first step, so that a mistake costs nothing."""

from __future__ import annotations

import torch
from torch import nn

from backbones.data.pipeline import Pipeline
from backbones.errors import BackbonesError, RecipeError
from backbones.models import build, find_row
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec
from backbones.training.loop import plan_of
from backbones.training.optim import build_optimizer, class_weight_tensor, freeze
from backbones.training.recipe import Recipe
from backbones.training.schedule import LearningRate


def refuse_other_shapes(recipe: Recipe, spec: InputSpec, num_classes: int) -> None:
    """Let shapes without numbers go through the network, in milliseconds.

    Args:
        recipe: resolved.
        spec: what the network will see.
        num_classes: of the data.

    Raises:
        RecipeError: the network does not take images of that size.
    """
    with ShapesOnly():
        network = build(recipe.model, num_classes, spec.channels)
    images = torch.empty((2, spec.channels, spec.size, spec.size), device="meta")
    try:
        with torch.no_grad(), ShapesOnly():
            network.train()(images)
    except (BackbonesError, RuntimeError, ValueError) as error:
        _, row = find_row(recipe.model)
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"input.size={spec.size} does not fit {recipe.model}: {reason}. It is made for"
            f" input.size={row.input_px}"
        ) from None


def refuse_unfit(recipe: Recipe, network: nn.Module, train: Pipeline) -> None:
    """Look for all that the first step would look for.

    Args:
        recipe: resolved.
        network: with its first weights; what the recipe freezes is frozen.
        train: the batches to learn from.

    Raises:
        RecipeError: a part, a frozen layer or a class that is not there.
        BadData: there is nothing to train on.
    """
    plan = plan_of(recipe, train)
    freeze(network, recipe.freeze)
    if not recipe.only_probes:  # nothing steps, and torch's optimisers import its compiler
        build_optimizer(network, recipe)
    labels = torch.from_numpy(train.split.labels)
    class_weight_tensor(recipe.class_weights, train.split.classes, labels)
    LearningRate(recipe.schedule, plan)
