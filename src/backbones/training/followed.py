"""A run's folder as the processes beside the first one see it: they write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from backbones.training.folder import RunFolder
from backbones.training.lock import FolderLock
from backbones.training.recipe import Recipe
from backbones.training.record import Record

_SomeRecord = TypeVar("_SomeRecord", bound=Record)


class _NoLock(FolderLock):
    """The first process has the lock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class FollowedFolder(RunFolder):
    """The folder of a run that another process writes; a resume reads its checkpoint."""

    writes = False

    def __init__(self, path: Path, recipe: Recipe, facts: Mapping[str, Any]) -> None:
        super().__init__(path, recipe, facts)
        self.lock = _NoLock(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def record(self, record: _SomeRecord) -> _SomeRecord:
        return record

    def cut(self, positions: list[int], metrics_sha256: str | None = None) -> None:
        return None
