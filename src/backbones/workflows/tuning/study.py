"""What a search is about, as its folder keeps it.

study.json            what is searched, on which data, and what was asked for
start.safetensors     what a resume is compared with: recipe and every image
trials.json           one row a trial
trial-000/ ...        an ordinary run folder for each trial
best.toml ...         at the end: the best recipe, every trial as a table, two charts
writer.lock           locked while a process writes, and which one that is or was
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from backbones.errors import RecipeError
from backbones.models import find_row
from backbones.records import write_record
from backbones.training.recipe import Recipe
from backbones.training.settings import apply_settings, read_recipe
from backbones.workflows.tuning.sampler import SearchPlan
from backbones.workflows.tuning.search import own_values, read_searches

NAME = "study.json"


class Study(BaseModel):
    """What study.json says."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    where: str
    recipe: dict[str, Any]
    search: list[str]
    monitor: str
    seed: int
    smoke: bool
    trials: int
    asked: dict[str, Any]
    train: dict[str, Any] = {}
    val: dict[str, Any] = {}

    def write(self, folder: Path) -> None:
        """Replace the file."""
        write_record(folder / NAME, self.model_dump())

    def chosen(self) -> Recipe:
        """The recipe that is searched from."""
        return read_recipe(self.recipe, NAME)

    def plan(self) -> SearchPlan:
        """What is searched, checked against the recipe.

        Raises:
            WrongUse, RecipeError: it cannot be searched so.
        """
        recipe = self.chosen()

        def check(settings: Sequence[str]) -> None:
            try:
                changed = apply_settings(recipe, settings)
            except RecipeError as error:
                said = str(error).removeprefix(f"--set {' '.join(settings)}: ")
                raise RecipeError(f"--search: {said}") from None
            find_row(changed.model)

        def unchanged(settings: Sequence[str]) -> None:
            if apply_settings(recipe, settings) != recipe:
                raise RecipeError(f"{settings} is not what the recipe says")

        searches = read_searches(self.search, check)
        own = own_values(searches, recipe.to_json(), unchanged)
        return SearchPlan(searches, self.monitor, self.seed, own)
