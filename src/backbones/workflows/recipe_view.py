"""A recipe seen: what it sets, its learning rate, and what its augmentation does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backbones.data.augment import Augment
from backbones.data.pipeline import Pipeline
from backbones.data.sets import open_data
from backbones.data.source import DataSource, FileImages, Split
from backbones.models import find_row
from backbones.report.rates import rate_figure
from backbones.report.recipe_page import Images, RecipeImage
from backbones.spec import InputSpec
from backbones.text import setting_text
from backbones.training.mixing import mix
from backbones.training.preview import differences, flat, rate_curve, seen
from backbones.training.recipe import Recipe
from backbones.training.resolve import input_spec, resolve

_ROWS, _DRAWS, _BATCH = 4, 7, 24
_USUAL_IMAGES, _ILSVRC_IMAGES = 50_000, 1_281_167  # CIFAR's and ILSVRC-2012's training images
# What a run depends on most, told although it may be the default.
_ALWAYS = (
    *("length", "batch_size", "optimizer.kind", "optimizer.lr", "optimizer.weight_decay"),
    *("schedule.kind", "label_smoothing", "augment.crop", "augment.flip", "precision"),
    "seed",
)
_FALLS_BY_FACTORS = ("step", "multistep", "piecewise", "plateau")


@dataclass(frozen=True)
class RecipeView:
    """A recipe, and the images that show what it does.

    Args:
        recipe: with its settings.
        num_images: in a training split, for lengths that are counted in steps; where None, as
            many as `data` has, or ImageNet for a network of 1000 classes, or 50,000.
        data: whose images are shown; None = photos or digits that scikit-learn brings along.
    """

    recipe: Recipe
    num_images: int | None = None
    data: str | Path | None = None

    @cached_property
    def source(self) -> DataSource | None:
        """The data whose images are shown, read as the recipe says; None where there is none."""
        data = self.data
        if data is None and find_row(self.recipe.model)[1].in_channels == 1:
            data = "digits"
        if data is None:
            return None
        recipe = self.recipe
        return open_data(data, layout=recipe.layout, label_pattern=recipe.label_pattern)

    def fields(self) -> tuple[tuple[str, Any], ...]:
        """What the recipe sets: (dotted path, value) of every field that is not the default.

        Length, batch, optimiser, rate, momentum, decay, schedule, crop, precision and seed are
        always among them.
        """
        changed = {path for path, *_ in differences(Recipe(), self.recipe)}
        momentum = ("optimizer.momentum",) if self.recipe.optimizer.kind == "sgd" else ()
        wanted = changed.union(_ALWAYS, momentum)
        every = flat(self.recipe.to_json())
        return tuple((path, value) for path, value in every.items() if path in wanted)

    def images(self) -> int:
        """How many a training split has, for the chart."""
        if self.num_images is not None:
            return self.num_images
        if self.data is not None:
            return len(open_data(self.data).split("train"))
        classes = find_row(self.recipe.model)[1].num_classes
        return _ILSVRC_IMAGES if classes == 1000 else _USUAL_IMAGES

    def draw(self, path: Path) -> Path:
        """Draw learning rate, augmentation and a batch as an HTML page or a PNG.

        Raises:
            NotFound, BadData: of the data.
            WrongUse: neither .html nor .png.
        """
        recipe = self.recipe
        split = _images(self.source)
        resolved = resolve(recipe, row=find_row(recipe.model)[1], train=split)
        spec = input_spec(resolved)
        images = self.images()
        curve = rate_curve(recipe, images)
        title = f"{recipe.name}: {recipe.summary}"
        heading = f"{curve.total_steps:,} steps of {recipe.batch_size}"
        heading += f", {images:,} images"
        if self.num_images is None and self.data is None:
            heading += " (--data or --images counts yours)"
        # a warm-up from 0 and a curve that ends at 0 have no place on an axis of powers
        in_powers = recipe.schedule.kind in _FALLS_BY_FACTORS and min(curve.rates) > 0
        batch, labels, note = _batch(resolved, split, spec)
        shown = RecipeImage(
            title=title,
            notes=tuple(f"{text}." for text in (recipe.source, recipe.expected) if text),
            fields=tuple((path, setting_text(value)) for path, value in self.fields()),
            figure=rate_figure(
                *(curve.epochs, curve.rates),
                title=heading,
                note=curve.note,
                in_powers=in_powers,
                parts=[(part.match, part.lr_scale) for part in recipe.parts],
            ),
            samples=_samples(resolved, split, spec),
            samples_note=f"as an evaluation sees it, then in epochs 1 to {_DRAWS}",
            batch=batch,
            batch_labels=labels,
            batch_note=note,
        )
        return shown.write(path)


def _images(source: DataSource | None) -> Split:
    """A few images: spread over the data's training split, or some that are always there."""
    if source is not None:
        split = source.split("train")
        return split.take(np.linspace(0, len(split) - 1, min(len(split), _BATCH)).astype(np.int64))
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    photos = FileImages(folder, ("china.jpg", "flower.jpg"))
    return Split("train", ("china", "flower"), np.arange(2), photos)


def _samples(recipe: Recipe, split: Split, spec: InputSpec) -> list[Images]:
    """For a few images: as an evaluation sees them, then as the first epochs sample them."""
    few = split.take(np.arange(min(len(split), _ROWS)))
    columns = [_epoch(few, spec, None, recipe.seed, 0)]
    columns += [_epoch(few, spec, recipe.augment, recipe.seed, epoch) for epoch in range(_DRAWS)]
    return [[column[row] for column in columns] for row in range(len(few))]


def _epoch(
    split: Split, spec: InputSpec, augment: Augment | None, seed: int, epoch: int
) -> dict[int, Any]:
    """Every image of a small split as one epoch sees it, by its index."""
    pipeline = Pipeline(split, spec, batch_size=len(split), augment=augment, seed=seed, workers=0)
    return {
        index: image
        for batch in pipeline.epoch(epoch)
        for index, image in zip(batch.indices.tolist(), seen(batch.images, spec), strict=True)
    }


def _batch(recipe: Recipe, split: Split, spec: InputSpec) -> tuple[Images, list[str], str]:
    """One batch as the network gets it, mixed where the recipe mixes, its classes, and a note."""
    count = min(recipe.batch_size, _BATCH)
    many = split.take(np.resize(np.arange(len(split)), count))
    pipeline = Pipeline(
        many, spec, batch_size=count, augment=recipe.augment, seed=recipe.seed, workers=0
    )
    batch = next(iter(pipeline.epoch(0)))
    images, targets = mix(batch.images, batch.labels, recipe, 0)
    of = f" of {recipe.batch_size}" if count < recipe.batch_size else ""
    note = f"{count}{of} image{'s'[: count > 1]} at {spec.size} px, normalisation undone"
    if targets.others is not None:
        note += f"; mixed, {100 * targets.share:.0f} % of each target is the first image's"
    names = [split.classes[label] for label in batch.labels.tolist()]
    if targets.others is not None:
        others = [split.classes[label] for label in targets.others.tolist()]
        names = [f"{one} + {other}" for one, other in zip(names, others, strict=True)]
    return list(seen(images, spec)), names, note
