"""Where to begin where nobody names a recipe or a network: with trained weights where possible."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from backbones.data.source import ArrayImages, Split
from backbones.errors import DownloadFailed
from backbones.progress import Downloading
from backbones.training.recipe import Recipe
from backbones.training.settings import load_recipe
from backbones.weights import store, table
from backbones.weights.opening import get_weights

_SMALL_PX = 64  # of images that a network for small images learns from
# Networks of `scratch_photos` by the number of training images: a rule of thumb, not measured.
_BY_NUM_IMAGES = ((10_000, "resnet18"), (100_000, "resnet34"))
_FOR_MANY = "resnet50"

logger = logging.getLogger("backbones")


@dataclass(frozen=True)
class _Choice:
    """A recipe by its name, and why.

    Args:
        recipe: of the package.
        changes: the network and the weights, where they are not the recipe's own.
        reason: why it was chosen.
    """

    recipe: str
    changes: dict[str, str]
    reason: str


def choose_for(train: Split, downloading: Downloading | None) -> Recipe:
    """The recipe for images of which nothing else was said; says which, and why, in one line.

    Weights that are on this machine come first: those of `finetune`'s own network, else the most
    accurate ones. Then `finetune`'s own are fetched. Where that fails, a network learns from
    scratch: a small one from small images, else one that fits the number of images.

    Args:
        train: the training images.
        downloading: download progress callback.
    """
    found = _at_hand() or _fetched(downloading) or _from_scratch(train)
    chosen = load_recipe(found.recipe).model_copy(update=found.changes)
    start = chosen.weights or "random weights"
    logger.warning(
        "no recipe named: %s, %s from %s, because %s (--recipe and --model choose)",
        *(chosen.name, chosen.model, start, found.reason),
    )
    return chosen


def _at_hand() -> _Choice | None:
    own = _own_weights()
    here = [row for row in store.stored() if row.labels == "imagenet" and row.results]
    if own in here:
        return _Choice("finetune", {"weights": own.id}, "its weights are on this machine")
    best = table.best_result(here)
    if best is None:
        return None
    row, result = best
    return _Choice(
        "finetune",
        {"model": row.variant, "weights": row.id},
        f"its weights are on this machine (top-1 {result.top1_accuracy:.3f} on ImageNet)",
    )


def _own_weights() -> table.WeightsRow:
    """The public weights of `finetune`'s own network."""
    row = table.usual(load_recipe("finetune").model)
    assert row is not None, "a test of the recipes sees to it"
    return row


def _fetched(downloading: Downloading | None) -> _Choice | None:
    own = _own_weights()
    try:
        get_weights(own.id, downloading=downloading)
    except DownloadFailed:
        return None
    return _Choice("finetune", {"weights": own.id}, "trained weights learn from the fewest images")


def _from_scratch(train: Split) -> _Choice:
    images, count = train.images, len(train)
    why = f"no trained weights are here and none can be fetched; {count:,} training images"
    if isinstance(images, ArrayImages) and max(images.array.shape[1:3]) <= _SMALL_PX:
        return _Choice("scratch_small", {}, f"{why} of {images.array.shape[1]} px")
    model = next((name for most, name in _BY_NUM_IMAGES if count < most), _FOR_MANY)
    return _Choice("scratch_photos", {"model": model}, why)


def usual_recipe(data: str | Path) -> str | None:
    """The recipe that was made for a set of this name."""
    return {"digits": "digits", "fashion-mnist": "fashion"}.get(str(data))
