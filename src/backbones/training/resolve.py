"""From what a recipe leaves open to what a run does: every `auto` and empty field filled."""

from __future__ import annotations

from typing import Literal

import numpy as np

from backbones import compute
from backbones.data.augment import Augment
from backbones.data.source import ArrayImages, Split
from backbones.errors import RecipeError
from backbones.models import Row
from backbones.spec import InputSpec
from backbones.training.optim import FUSED_KINDS
from backbones.training.recipe import Input, Recipe

# The photo convention: shorter side 256 for a 224 crop, and ImageNet's colours.
_PHOTO_MARGIN = 256 / 224
_IMAGENET = InputSpec(size=224, resize=256)


def resolve(
    recipe: Recipe, *, row: Row, train: Split, weights_spec: InputSpec | None = None
) -> Recipe:
    """The same recipe with nothing left to be decided on this machine, for this data.

    The result is a valid recipe; resolving it again changes nothing.

    Args:
        recipe: possibly with `auto` and empty fields.
        row: of the network.
        train: the training images.
        weights_spec: the input spec of the weights that training starts from, where they have
            one; it decides what the recipe leaves open.

    Raises:
        WrongUse: the device asked for is not there.
        RecipeError: the input's fields contradict each other.
    """
    device = compute.shared_device(compute.choose_device(recipe.device))
    spec = _fill_input(recipe.input, row, train, weights_spec)
    precision = recipe.precision
    if precision == "auto":
        precision = compute.training_precision(
            device,
            macs_per_step=_macs(row, spec.size or 0, recipe.batch_size // recipe.accumulate),
        )
    optimizer, kind = recipe.optimizer, recipe.optimizer.kind
    if optimizer.fused == "auto":
        optimizer = optimizer.model_copy(update={"fused": kind in FUSED_KINDS})
    augment = recipe.augment
    if augment.resize is None and augment.crop != "random_resized":
        # Training sees images at the scale of the evaluation, unless the recipe says otherwise.
        augment = augment.model_copy(update={"resize": spec.resize})
    filled = {
        "device": device,
        "augment": augment,
        "precision": precision,
        # Not on MPS, where batch norm's gradient in this order was wrong (pytorch#175189).
        "channels_last": _or(recipe.channels_last, device != "mps"),
        "large_buffers": _or(recipe.large_buffers, True),
        "optimizer": optimizer,
        "input": spec,
    }
    resolved = recipe.model_copy(update=filled)
    # refuse what contradicts itself now rather than in the pipeline
    _check_scales(resolved.augment, input_spec(resolved))
    return resolved


def _check_scales(augment: Augment, spec: InputSpec) -> None:
    """Images that fill the square in evaluations must not lie in a black frame in training."""
    largest = max(augment.resize) if isinstance(augment.resize, tuple) else augment.resize or 0
    if augment.crop != "random_resized" and largest < spec.size <= spec.resize:
        raise RecipeError(
            f"augment.resize makes images {largest} px large, but the network sees"
            f" {spec.size} px: it would be trained on images in a black frame and evaluated"
            f" without one; say augment.resize={spec.resize}, or input.size={largest} if the"
            " network takes that"
        )


def input_spec(recipe: Recipe) -> InputSpec:
    """The input spec that a resolved recipe trains with.

    Raises:
        RecipeError: the recipe is not resolved, or its fields contradict each other.
    """
    row = recipe.input
    if not (
        row.size and row.resize and row.channels and row.mean and row.std and row.interpolation
    ):
        raise RecipeError("the recipe's input has empty fields; call resolve first")
    try:
        return InputSpec(row.size, row.resize, row.channels, row.mean, row.std, row.interpolation)
    except ValueError as error:
        raise RecipeError(f"input does not fit together: {error}") from None


def _or(choice: bool | str, automatic: bool) -> bool:
    return automatic if isinstance(choice, str) else choice


def _macs(row: Row, size: int, images: int) -> int | None:
    """Multiply-accumulates of one forward pass, scaled from the row's claim by the area."""
    for claim in row.claims:
        if claim.name == "macs":
            return round(claim.value * (size / row.input_px) ** 2) * images
    return None


def _fill_input(given: Input, row: Row, train: Split, weights: InputSpec | None) -> Input:
    """What the weights were trained with, else what fits the network and the images."""
    in_memory = isinstance(train.images, ArrayImages)
    size = given.size or (weights.size if weights else row.input_px)
    if given.resize:
        resize = given.resize
    elif weights:
        resize = round(weights.resize * size / weights.size)
    else:
        resize = size if in_memory else round(size * _PHOTO_MARGIN)
    channels = given.channels or _channels(train)
    if weights and not given.channels:
        channels = 1 if weights.channels == 1 else 3
    if given.mean and given.std:
        mean, std = given.mean, given.std
    elif weights and weights.channels == channels:
        mean, std = weights.mean, weights.std
    else:
        mean, std = measure_colours(train, channels)
    return Input(
        size=size,
        resize=resize,
        channels=channels,
        mean=given.mean or mean,
        std=given.std or std,
        interpolation=given.interpolation or (weights.interpolation if weights else "bilinear"),
    )


def _channels(train: Split) -> Literal[1, 3]:
    """Grey for grey images in memory, else colour: files may hold either."""
    images = train.images
    return 1 if isinstance(images, ArrayImages) and images.array.shape[3] == 1 else 3


def measure_colours(train: Split, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, on the scale 0..1.

    Measured over all training images where these sit in memory (exactly, in whole numbers,
    then rounded to 4 places); ImageNet's for photo files.

    Args:
        train: the training images.
        channels: that the network takes; grey is repeated for 3, colour averaged for 1.
    """
    images = train.images
    if not isinstance(images, ArrayImages):
        mean, std = np.array(_IMAGENET.mean), np.array(_IMAGENET.std)
    else:
        pixels = images.array.reshape(-1, images.array.shape[3])
        counts = np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
        share = counts / counts.sum(1, keepdims=True)
        levels = np.arange(256) / 255
        mean = share @ levels
        std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0))
        std = np.where(std < 1e-3, 1.0, std)  # a set of one grey level says nothing about scale
    if channels == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    mean, std = np.broadcast_to(mean, channels), np.broadcast_to(std, channels)
    return tuple(round(float(x), 4) for x in mean), tuple(round(float(x), 4) for x in std)
