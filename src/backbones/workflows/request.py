"""What a training is asked for, and the recipe, the data and the folder that this comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from backbones.data.source import DataSource, Split
from backbones.errors import NotFound, WrongUse
from backbones.files import expanded
from backbones.models import find_row
from backbones.progress import Downloading
from backbones.training.data import open_for
from backbones.training.recipe import PUBLIC, Recipe, smoke
from backbones.training.resolve import resolve
from backbones.training.settings import (
    Shorthand,
    apply_settings,
    load_recipe,
    shorthand_settings,
    with_reading,
)
from backbones.weights import table
from backbones.weights.opening import get_weights, is_id, spec_of, variant_of
from backbones.workflows.choosing import choose_for, usual_recipe
from backbones.workflows.probing import without_hopeless_probe


class RecipeOptions(Shorthand, total=False):
    """What is said about a recipe, as keywords of every verb that trains; see `backbones.train`."""

    model: str | None
    recipe: str | Path | Recipe | None
    settings: Sequence[str] | None
    layout: str | None
    label_pattern: str | None
    weights: str | Path | None


class TrainingOptions(RecipeOptions, total=False):
    """The same, and what a single training takes beside it."""

    seed: int | None
    init_from: str | Path | None
    smoke_run: bool


@dataclass(frozen=True)
class TrainingRequest:
    """A recipe by its name, and what is named beside it; fields as of `backbones.train`.

    Where neither a recipe nor a network nor weights are named, `choose_for` chooses, and
    `downloading` is told of the weights that it fetches.
    """

    data: str | Path
    model: str | None = None
    recipe: str | Path | Recipe | None = None
    settings: Sequence[str] | None = None
    layout: str | None = None
    label_pattern: str | None = None
    weights: str | Path | None = None
    init_from: str | Path | None = None
    smoke_run: bool = False
    shorthand: Mapping[str, object] = field(default_factory=dict)
    downloading: Downloading | None = None

    @classmethod
    def of(cls, data: str | Path, options: Mapping[str, Any]) -> Self:
        """What is asked for with `TrainingOptions` or `RecipeOptions`."""
        known = {each.name for each in fields(cls)}
        named = {name: value for name, value in options.items() if name in known}
        short = {name: value for name, value in options.items() if name not in known}
        return cls(data, **named, shorthand=short)

    def chosen(self) -> Recipe:
        """The recipe with all that is named beside it; what depends on the data stays open.

        Raises:
            NotFound, RecipeError, WrongUse: as `backbones.train`.
        """
        recipe = self._starting(apply_settings(self._named, self.all_settings()))
        return smoke(recipe) if self.smoke_run else recipe

    def all_settings(self) -> list[str]:
        """Its settings, with what short names stand for and how the data is read among them."""
        short = shorthand_settings(self._named, self.shorthand)
        return with_reading([*short, *(self.settings or ())], self.layout, self.label_pattern)

    @cached_property
    def _named(self) -> Recipe:
        if isinstance(self.recipe, Recipe):
            return self.recipe
        if self.recipe is not None:
            return load_recipe(self.recipe)
        usual = usual_recipe(self.data)
        if self.weights is not None:
            usual = "finetune"
        elif usual is None and (self.model is not None or self.init_from is not None):
            usual = "scratch"
        return choose_for(self._train(), self.downloading) if usual is None else load_recipe(usual)

    def _train(self) -> Split:
        """The training images, as they are read where no recipe says otherwise."""
        reading = with_reading((), self.layout, self.label_pattern)
        read = apply_settings(Recipe(), reading)
        return open_for(read, self.data, downloading=self.downloading).split("train")

    def _starting(self, recipe: Recipe) -> Recipe:
        """The recipe with the network and the first weights that were named beside it."""
        model, weights, init_from = self.model, self.weights, self.init_from
        if weights and init_from:
            raise WrongUse("weights and init_from both say where to start; give one of them")
        if weights and not model and recipe.weights == PUBLIC:  # the recipe is for any network
            model = variant_of(weights)
        changed: dict[str, str | None] = {"model": model} if model else {}
        if weights or init_from:  # what is named replaces what the recipe starts from
            changed["weights"] = _lasting_weights(weights) if weights else None
            changed["init_from"] = _lasting_weights(init_from) if init_from else None
        recipe = _with_public_weights(recipe.model_copy(update=changed))
        if recipe.init_layers and not recipe.init_from:
            raise WrongUse(
                f"recipe {recipe.name} takes {', '.join(recipe.init_layers)} from a trained"
                " network; give it with --init-from RUN"
            )
        return recipe


def _with_public_weights(recipe: Recipe) -> Recipe:
    """The recipe with the id of its network's public weights, where it asks for these."""
    if recipe.weights != PUBLIC:
        return recipe
    row = table.usual(recipe.model)
    if row is None:
        find_row(recipe.model)  # a misspelt network is told first
        raise NotFound(
            f"recipe {recipe.name} goes on from a network's public weights, and there are none of"
            f" {recipe.model}: take a --model that has some (`backbones weights list`), give"
            " others with --weights, or train from scratch with --recipe scratch"
        )
    return recipe.model_copy(update={"weights": row.id})


def resolved_with(
    chosen: Recipe, data: str | Path, downloading: Downloading | None = None
) -> tuple[Recipe, DataSource]:
    """A recipe with nothing left open for some data, and the data as it sees it.

    Args:
        chosen: of a request.
        data: a folder, a manifest or a set name.
        downloading: download progress callback.

    Raises:
        NotFound, BadData, RecipeError, DownloadFailed: as `backbones.train`.
    """
    _, row = find_row(chosen.model)
    source = open_for(chosen, data, downloading=downloading)
    weights_spec = None
    first = chosen.weights or chosen.init_from
    if first is not None:
        if is_id(first):
            get_weights(first, downloading=downloading)  # while the caller shows how far
        weights_spec = spec_of(first)
    resolved = resolve(chosen, row=row, train=source.split("train"), weights_spec=weights_spec)
    resolved, note = without_hopeless_probe(resolved, len(source.classes))
    return resolved, replace(source, notes=(*source.notes, note)) if note else source


def _lasting_weights(weights: str | Path) -> str:
    """The weights as a resume from another folder will find them."""
    return str(weights) if is_id(weights) else str(expanded(weights).absolute())


def lasting_data(data: str | Path) -> str:
    """The data as a resume from another folder will find it."""
    path = expanded(data)
    return str(path.absolute()) if path.exists() and str(data) != "digits" else str(data)


def data_again(noted: str, data: str | Path | None, *, folder: Path, verb: str = "train") -> str:
    """Where the data of a run is that goes on.

    Args:
        noted: what `lasting_data` gave when it began.
        data: where it is now, if that was said.
        folder: of the run.
        verb: that goes on with it.

    Raises:
        NotFound: it is not there any more, and nobody said where it is.
    """
    if data is not None:
        return str(data)
    if Path(noted).is_absolute() and not Path(noted).exists():
        raise NotFound(
            f"{noted}, the data of {folder}, is not there any more; say where it is now:"
            f" backbones {verb} DATA --resume {folder}"
        )
    return noted


def free_folder(data: str | Path, model: str, *, prefix: str = "") -> Path:
    """`runs/<prefix><data>-<model>`, with the first number that is free behind it."""
    name = f"{prefix}{expanded(data).absolute().stem}-{model}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder
