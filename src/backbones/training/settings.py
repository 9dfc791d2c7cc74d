"""Recipes from their names and files, and `--set` on top of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel, ValidationError

from backbones.errors import NotFound, RecipeError, nearest
from backbones.settings import Setting, explained, read_settings, spoken, unknown_field
from backbones.text import read_document
from backbones.training.recipe import Recipe

# Which optimiser and schedule fields each kind reads: a `--set` of any other is refused.
OPTIMIZER_FIELDS: dict[str, frozenset[str]] = {
    "sgd": frozenset({"momentum", "nesterov", "fused"}),
    "adam": frozenset({"betas", "eps", "fused"}),
    "adamw": frozenset({"betas", "eps", "fused"}),
    "rmsprop": frozenset({"alpha", "momentum", "eps"}),
    "rmsprop_tf": frozenset({"alpha", "momentum", "eps"}),
}
OPTIMIZER_SHARED = frozenset({"kind", "lr", "weight_decay", "decay_norm", "decay_bias"})
SCHEDULE_FIELDS: dict[str, frozenset[str]] = {
    "constant": frozenset(),
    "step": frozenset({"every", "gamma"}),
    "multistep": frozenset({"milestones", "gamma"}),
    "piecewise": frozenset({"milestones", "factors"}),
    "plateau": frozenset({"gamma", "monitor", "patience", "threshold", "floor"}),
    "cosine": frozenset({"floor"}),
    "poly": frozenset({"power"}),
}
SCHEDULE_SHARED = frozenset({"kind", "warmup", "warmup_from", "warmup_shape"})

_ELSEWHERE = {
    **dict.fromkeys(("epochs", "num_epochs", "max_epochs"), "length={}epochs"),
    **dict.fromkeys(("steps", "iterations", "max_steps", "max_iter"), "length={}steps"),
    **dict.fromkeys(("lr0", "learning_rate", "base_lr"), "optimizer.lr={}"),
    **dict.fromkeys(("wd", "weight_decay"), "optimizer.weight_decay={}"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size={}"),
    **dict.fromkeys(("imgsz", "img_size", "image_size", "input_size"), "input.size={}"),
    **dict.fromkeys(("opt", "optim"), "optimizer.kind={}"),
    **dict.fromkeys(("sched", "scheduler", "lr_scheduler"), "schedule.kind={}"),
    **dict.fromkeys(("warmup_epochs", "lr_warmup_epochs"), "schedule.warmup={}epochs"),
    **dict.fromkeys(("smoothing", "label_smoothing_factor"), "label_smoothing={}"),
    **dict.fromkeys(("model_ema", "ema_decay"), "ema={}"),
    **dict.fromkeys(("num_workers", "nw"), "workers={}"),
    **dict.fromkeys(("clip_grad", "grad_clip", "clip_grad_norm"), "clip_norm={}"),
    **dict.fromkeys(("val_split", "validation_split"), "val_fraction={}"),
    **dict.fromkeys(("amp", "half", "fp16", "bf16"), "precision=bf16"),
    "pretrained": "weights=public",
}
"""What other programs call a field, and what is set here."""


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package, in alphabetical order."""
    folder = resources.files("backbones.training.recipes")
    return tuple(
        sorted(row.name[: -len(".toml")] for row in folder.iterdir() if row.name.endswith(".toml"))
    )


def load_recipe(name_or_file: str | Path) -> Recipe:
    """A recipe of the package by its name, or one from a TOML or JSON file.

    Raises:
        NotFound: there is no such recipe or file.
        RecipeError: the file cannot be read, or does not fit the schema.

    Example:
        >>> load_recipe("nin_fashion").batch_size
        16
    """
    if str(name_or_file) in recipe_names():
        row = resources.files("backbones.training.recipes") / f"{name_or_file}.toml"
        return read_recipe(tomllib.loads(row.read_text(encoding="utf-8")), str(name_or_file))
    path = Path(name_or_file)
    if path.suffix not in (".toml", ".json"):
        raise NotFound(
            f"no recipe {str(name_or_file)!r}.{nearest(str(name_or_file), recipe_names())}"
            " For images of your own: probe, finetune, scratch; `backbones list recipes` shows all"
            f" {len(recipe_names())}; a recipe's file ends in .toml or .json"
        )
    if not path.exists():
        raise NotFound(f"no recipe file {path}")
    return read_recipe(read_document(path, RecipeError), str(path))


def read_recipe(values: object, where: str) -> Recipe:
    """Check plain values against the schema.

    Args:
        values: a dictionary, as a recipe file holds it.
        where: what messages call it.

    Raises:
        RecipeError: one line that names the first field that does not fit.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{where} holds {type(values).__name__}, expected a table of fields")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error)}") from None


def with_reading(
    settings: Sequence[str], layout: str | None, label_pattern: str | None
) -> list[str]:
    """The settings of a recipe, with what was said about its data, which it keeps."""
    said = {"layout": layout, "label_pattern": label_pattern}
    return [*settings, *(f"{field}={json.dumps(text)}" for field, text in said.items() if text)]


class Shorthand(TypedDict, total=False):
    """Settings that have a short name, as options and as keywords; None and "auto" set nothing.

    Args:
        epochs: length of the training.
        lr: learning rate.
        batch_size: images in one optimizer step.
        image_size: px, side of the square that the network sees; the recipe's resizes go with it.
        device, precision, threads: where and how to compute; "auto" leaves it to the recipe, whose
            own "auto" takes the fastest device, and bf16 where it pays.
    """

    epochs: int | None
    lr: float | None
    batch_size: int | None
    image_size: int | None
    device: str
    precision: str
    threads: int | None


_SHORT = {
    "epochs": "length={}epochs",
    "lr": "optimizer.lr={}",
    "batch_size": "batch_size={}",
    "image_size": "input.size={}",
    "device": "device={}",
    "precision": "precision={}",
    "threads": "threads={}",
    "seed": "seed={}",
}


def shorthand_settings(recipe: Recipe, shorthand: Mapping[str, object]) -> list[str]:
    """The settings that short names stand for.

    Args:
        recipe: that they will be set in.
        shorthand: what is asked for.

    Raises:
        TypeError: it has a name that there is not.

    Example:
        >>> shorthand_settings(Recipe(), {"epochs": 3, "lr": 0.1})
        ['length=3epochs', 'optimizer.lr=0.1']
    """
    for name in shorthand:
        if name not in _SHORT:
            short = {setting: f"{name}={{}}" for name, setting in _SHORT.items()}
            meant = {word: short[said] for word, said in _ELSEWHERE.items() if said in short}
            unknown = unknown_field("a training", name, "", tuple(_SHORT), meant)
            raise TypeError(f"unexpected keyword argument: {unknown}")
    given = {name: value for name, value in shorthand.items() if value not in (None, "auto")}
    said = [_SHORT[name].format(value) for name, value in given.items()]
    return [*said, *_resized(recipe, shorthand.get("image_size"))]


def _resized(recipe: Recipe, size: object) -> list[str]:
    """What a recipe resizes images to, in proportion to another size that the network sees."""
    before = recipe.input.size
    if not isinstance(size, int) or before is None:
        return []
    resizes = {"input.resize": recipe.input.resize, "augment.resize": recipe.augment.resize}
    return [
        f"{field}={json.dumps(_scaled(px, size / before))}"
        for field, px in resizes.items()
        if px is not None
    ]


def _scaled(px: int | tuple[int, int], factor: float) -> int | list[int]:
    return round(px * factor) if isinstance(px, int) else [round(each * factor) for each in px]


def apply_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with some fields set anew.

    Args:
        recipe: to start from; it stays as it is.
        settings: `field=value` each, tables with a dot; see `backbones.settings`.

    Raises:
        RecipeError: an unknown field (names the nearest), a wrong value, or a field that the
            chosen optimiser or schedule does not use.

    Example:
        >>> apply_settings(Recipe(), ["optimizer.lr=0.02", "length=3epochs"]).optimizer.lr
        0.02
    """
    if not settings:
        return recipe
    values, found = recipe.to_json(), read_settings(settings, RecipeError)
    for each in found:
        _put(values, each, recipe)
    changed = read_recipe(values, f"--set {spoken(settings)}")
    for each in found:
        _refuse_unused(changed, each.field)
    return changed


def _put(values: dict[str, Any], setting: Setting, recipe: Recipe) -> None:
    """Set one dotted field in plain values; the field has to exist in the schema."""
    *tables, leaf = setting.field.split(".")
    schema: type[BaseModel] = type(recipe)
    for table in tables:
        inner = values.get(table)
        if table not in schema.model_fields or not isinstance(inner, dict):
            raise _unknown(setting.field, setting.text)
        values = inner
        annotation = schema.model_fields[table].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            values[leaf] = setting.value  # a mapping of free names, such as class_weights
            return
        schema = annotation
    if leaf not in schema.model_fields:
        raise _unknown(setting.field, setting.text)
    if isinstance(values[leaf], dict) and not isinstance(setting.value, dict):
        path = setting.field
        if f"{path}.kind" in field_paths():
            raise RecipeError(f"{path} is a table of fields: write {path}.kind={setting.text}")
    values[leaf] = setting.value
    if setting.field == "class_weights" and setting.value is None:
        values[leaf] = "none"  # the word that the schema uses


def field_paths(schema: type[BaseModel] = Recipe, above: str = "") -> tuple[str, ...]:
    """Every field of a recipe by its dotted path: "seed", "optimizer.lr" and so on."""
    found: list[str] = []
    for name, field in schema.model_fields.items():
        found.append(above + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += field_paths(field.annotation, f"{above}{name}.")
    return tuple(found)


def _unknown(field: str, text: str = "") -> RecipeError:
    return RecipeError(unknown_field("a recipe", field, text, field_paths(), _ELSEWHERE))


def _refuse_unused(recipe: Recipe, key: str) -> None:
    """A setting without effect would be believed to have one."""
    table, _, leaf = key.partition(".")
    if table == "optimizer" and leaf:
        kind: str = recipe.optimizer.kind
        used = OPTIMIZER_FIELDS[kind] | OPTIMIZER_SHARED
    elif table == "schedule" and leaf:
        kind = recipe.schedule.kind
        used = SCHEDULE_FIELDS[kind] | SCHEDULE_SHARED
    else:
        return
    if leaf not in used:
        known = ", ".join(sorted(used))
        raise RecipeError(f"{key} has no effect with {kind}, which uses {known}")


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "extra_forbidden":
        return str(_unknown(".".join(map(str, first["loc"])), str(first["input"])))
    return explained(error, field_paths())
