"""The folder that the runs of all folds leave.

recipe.json               the recipe that all folds are trained by; a recipe file itself
folds.json                the data, and what each finished fold measured; at the end the whole
fold-1/ fold-2/ ...       an ordinary run folder for each fold
start.safetensors         what a resume is compared with: recipe and every image
out_of_fold.csv           at the end: every image's answer from the network that never saw it
evaluation.json ...       at the end, where the data has a "test": all networks together on it
writer.lock               locked while a process writes, and which one that is or was
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from backbones.errors import NotFound, WrongUse
from backbones.files import expanded, write_atomic
from backbones.records import read_record, write_record
from backbones.text import json_file
from backbones.training import diverged
from backbones.training.folder import RunFolder
from backbones.training.images import ImageFingerprints
from backbones.training.lock import FolderLock, new_folder
from backbones.training.recipe import Recipe
from backbones.training.settings import load_recipe
from backbones.training.start import NAME as START
from backbones.training.start import Start
from backbones.weights.bundle import Bundle
from backbones.weights.opening import FOLDS as NAME
from backbones.weights.opening import holds_folds


class _Facts(BaseModel):
    """What folds.json says."""

    model_config = ConfigDict(extra="allow")

    format: Literal[1]
    where: str
    num_folds: int
    seed: int
    data: dict[str, Any]
    folds: list[dict[str, Any]]


class FoldsFolder:
    """The runs of all folds on the disk; made by `create`, found again by `open`.

    Args:
        path: the folder.
        recipe: as it was chosen; each fold resolves it for itself.
        facts: what folds.json says.

    Attributes:
        lock: to hold while the folds are trained.
    """

    def __init__(self, path: Path, recipe: Recipe, facts: Mapping[str, Any]) -> None:
        self.path = path
        self.recipe = recipe
        self.facts: dict[str, Any] = dict(facts)
        self.lock = FolderLock(path)

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        recipe: Recipe,
        data: Mapping[str, Any],
        where: str,
        images: ImageFingerprints,
    ) -> FoldsFolder:
        """Begin in a new folder, or in one that holds no run yet.

        Args:
            path: the folder; made where it does not exist.
            recipe: with `folds`.
            data: what is known of the images that the folds are made of.
            where: the data, as a later resume finds it.
            images: what `describe_images` said of those images.

        Raises:
            WrongUse: the folder holds a run, or cannot be written.
            Busy: another process writes to it.
        """
        RunFolder.refuse_taken(path)
        facts = {
            "format": 1,
            "where": where,
            "num_folds": recipe.folds,
            "seed": recipe.seed,
            "data": dict(data),
            "folds": [],
        }
        folder = cls(path, recipe, facts)
        with new_folder(path, cls.refuse_taken):
            if holds_folds(path):
                begun = [each.name for each in path.glob("fold-*")]
                diverged.set_aside(path, (*begun, NAME, START, "recipe.json"))
            Start(recipe.to_json(), dict(data), images).write(path / START)
            write_atomic(path / "recipe.json", json_file(recipe.to_json()))
            folder.save()  # last: from here on it is a folder of folds
        return folder

    @classmethod
    def open(cls, path: Path) -> FoldsFolder:
        """Find the runs again, to go on with them or to use them.

        Raises:
            NotFound: it is no folder of folds.
            BadData: folds.json was changed.
        """
        if not holds_folds(path):
            raise NotFound(f"{path} holds no folds (it has no {NAME})")
        facts = read_record(path / NAME, _Facts)
        return cls(path, load_recipe(path / "recipe.json"), facts.model_dump())

    def start(self) -> Start:
        """What the folds began with.

        Raises:
            BadWeights: the file is missing or damaged.
        """
        return Start.read(self.path / START)

    @classmethod
    def refuse_taken(cls, path: Path) -> None:
        """Refuse a folder that holds the runs of folds already.

        Raises:
            WrongUse: it does.
        """
        if holds_folds(path) and not any(map(diverged.is_marked, path.glob("fold-*"))):
            raise WrongUse(
                f"{path} holds the runs of folds already; choose another --out, or go on with"
                f" them: backbones train --resume {path}"
            )

    @property
    def num_folds(self) -> int:
        """How many there are."""
        return int(self.facts["num_folds"])

    def run(self, fold: int) -> Path:
        """The run folder of a fold, 1 to `num_folds`."""
        return self.path / f"fold-{fold}"

    def measured(self, fold: int) -> dict[str, Any] | None:
        """What was noted of a fold; None until it is finished."""
        return next((each for each in self.facts["folds"] if each["fold"] == fold), None)

    def note(self, result: Mapping[str, Any]) -> None:
        """A fold is finished; a result that was noted before is replaced.

        Args:
            result: plain values, with the `fold`.
        """
        others = [each for each in self.facts["folds"] if each["fold"] != result["fold"]]
        self.facts["folds"] = sorted([*others, dict(result)], key=lambda each: each["fold"])
        self.save()

    def finished_runs(self) -> tuple[Path, ...]:
        """The run folders of all folds.

        Raises:
            NotFound: some are not finished.
        """
        open_ = [fold for fold in range(1, self.num_folds + 1) if self.measured(fold) is None]
        if open_:
            raise NotFound(
                f"{self.path} has {self.num_folds} folds, of which"
                f" {', '.join(str(fold) for fold in open_)} {'is' if len(open_) == 1 else 'are'}"
                f" not finished; go on with backbones train --resume {self.path}, or name the runs"
                " that are there one by one"
            )
        return tuple(self.run(fold) for fold in range(1, self.num_folds + 1))

    def save(self) -> None:
        """Write folds.json anew, in one step."""
        self.lock.refuse_lost()
        write_record(self.path / NAME, self.facts)


def all_networks(
    where: str | Path | Bundle | Sequence[str | Path | Bundle],
) -> list[str | Path | Bundle]:
    """Every network that is named; the folder of folds stands for the runs of all of them.

    Args:
        where: one or several: a bundle, its path, a run folder, the folder of `train --folds`, or
            the id of weights.

    Raises:
        NotFound: a fold is not finished.
        WrongUse: none is named.
    """
    named = [where] if isinstance(where, str | Path | Bundle) else list(where)
    if not named:
        raise WrongUse("no network was named; expected a run, a bundle or an id of weights")
    found: list[str | Path | Bundle] = []
    for each in named:
        path = None if isinstance(each, Bundle) else expanded(each)
        if path is not None and holds_folds(path):
            found.extend(FoldsFolder.open(path).finished_runs())
        else:
            found.append(each)
    return found
