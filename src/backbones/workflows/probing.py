"""The linear probe that a network's head begins with: features of the training images, a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from backbones import speed
from backbones.classifier.assembly import Member
from backbones.classifier.options import InferenceOptions
from backbones.classifier.source import split_source
from backbones.classifier.vectors import extract_features
from backbones.compute import Compute
from backbones.data.folds import fold_numbers
from backbones.data.source import Split
from backbones.errors import BadData, RecipeError
from backbones.features.taps import INTO
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.progress import Progress
from backbones.protocols.row import Protocol
from backbones.protocols.table import find_protocol
from backbones.training.data import limited
from backbones.training.optim import class_weight_tensor
from backbones.training.probe import FittedProbe, ProbeData, fit_probe, linear_head, set_head
from backbones.training.recipe import Probe, Recipe
from backbones.training.resolve import input_spec


def fit_head(
    network: nn.Module,
    recipe: Recipe,
    train: Split,
    compute: Compute,
    progress: Progress | None = None,
) -> FittedProbe:
    """Fit a linear probe to what the network's trunk makes of images, and make it the head.

    The trunk computes in fp32, as the evaluation at the end of a run does.

    Args:
        network: with the trunk's weights; its head gets the probe's.
        recipe: resolved, with a probe.
        train: the images to learn from.
        compute: where to compute.
        progress: called with (images done, images in all).

    Raises:
        BadData: fewer than two images can be read.
    """
    if recipe.large_buffers is True:
        speed.keep_large_buffers()
    spec, probe = input_spec(recipe), recipe.probe
    chosen = train if probe.limit is None else limited(train, probe.limit, recipe.seed)
    path = linear_head(network, spec)
    assert path is not None, "`without_hopeless_probe` came before"
    options = InferenceOptions(
        _protocol(probe),
        compute=replace(compute, precision="fp32", engine="auto"),
        workers=recipe.workers,
    )
    member = Member(lambda: network, spec, train.classes)
    rows = extract_features(member, split_source(chosen), INTO + path, options, progress=progress)
    fitted = fit_probe(_data(chosen, [row.values for row in rows], recipe), probe)
    set_head(network, path, fitted)
    return fitted


def _protocol(probe: Probe) -> Protocol:
    """The views of each image."""
    if probe.views == "ten_crop":
        return find_protocol("ten_crop")
    return replace(find_protocol("single"), mirrored=probe.views == "mirrored")


def _data(split: Split, values: list[np.ndarray | None], recipe: Recipe) -> ProbeData:
    """The features of all images that could be read, with their labels and parts."""
    good = [place for place, row in enumerate(values) if row is not None]
    if len(good) < 2:
        raise BadData(
            f"{len(good)} of {len(split)} training images can be read; a probe needs two or more:"
            " `backbones data check` lists each with its reason"
        )
    features = torch.from_numpy(np.stack([row for row in values if row is not None]))
    labels = split.labels[good]
    names = [split.images.name(place) for place in good]
    return ProbeData(
        features=features if features.dim() == 3 else features[:, None],
        labels=torch.from_numpy(labels),
        parts=fold_numbers(labels, names, min(recipe.probe.folds, len(good)), recipe.seed),
        class_weights=class_weight_tensor(
            recipe.class_weights, split.classes, torch.from_numpy(labels)
        ),
        num_classes=len(split.classes),
    )


def without_hopeless_probe(recipe: Recipe, num_classes: int) -> tuple[Recipe, str]:
    """The recipe without its probe where there is nothing to probe, and why.

    Args:
        recipe: resolved.
        num_classes: of the data.

    Returns:
        the same recipe and nothing where a probe is possible, or none is wanted.

    Raises:
        RecipeError: the probe is all that the recipe does.
    """
    if not recipe.probes:
        return recipe, ""
    if recipe.weights is None and recipe.init_from is None:
        reason = "the network has random weights; name trained ones with --weights"
    else:
        spec = input_spec(recipe)
        with ShapesOnly():
            network = build(recipe.model, num_classes, spec.channels)
        if linear_head(network, spec) is not None:
            return recipe, ""
        reason = f"{recipe.model} does not end in a linear layer; take another --model"
    if recipe.only_probes:
        raise RecipeError(f"recipe {recipe.name} fits a linear probe, and {reason}")
    plain = recipe.model_copy(update={"probe": Probe()})
    return plain, f"the head begins at random and not as a linear probe: {reason}"
