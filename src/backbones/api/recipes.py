"""Look at recipes: what they set, how they differ, and what they do to images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backbones.text import to_json
from backbones.training.preview import differences
from backbones.training.settings import apply_settings, load_recipe, with_reading
from backbones.workflows.recipe_view import RecipeView

__all__ = ["compare_recipes", "dump_recipe", "view_recipe"]


def view_recipe(
    name: str | Path,
    *,
    settings: Sequence[str] = (),
    layout: str | None = None,
    label_pattern: str | None = None,
    num_images: int | None = None,
    data: str | Path | None = None,
) -> RecipeView:
    """Look at a recipe.

    Args:
        name: of a recipe, or a file.
        settings: `field=value` each, on top of it.
        layout, label_pattern: as of `open_data`.
        num_images, data: as of `RecipeView`.

    Raises:
        NotFound: no such recipe.
        RecipeError: a setting that does not fit.

    Example:
        >>> dict(view_recipe("vgg").fields())["optimizer.weight_decay"]
        0.0005
    """
    changed = with_reading(settings, layout, label_pattern)
    return RecipeView(apply_settings(load_recipe(name), changed), num_images, data)


def compare_recipes(one: str | Path, other: str | Path) -> tuple[tuple[str, Any, Any], ...]:
    """Every field in which two recipes differ: (dotted path, value, other value).

    Example:
        >>> compare_recipes("vgg", "vgg_a")
        (('model', 'vgg16', 'vgg11'),)
    """
    return differences(load_recipe(one), load_recipe(other))


def dump_recipe(name: str | Path, *, settings: Sequence[str] = ()) -> str:
    """A recipe with all its fields written out: JSON that is a recipe file itself.

    Example:
        >>> import json
        >>> json.loads(dump_recipe("vgg"))["batch_size"]
        256
    """
    recipe = apply_settings(load_recipe(name), settings)
    return to_json(recipe.to_json(), indent=2)
