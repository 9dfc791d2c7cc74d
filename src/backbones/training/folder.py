"""The folder that a run leaves.

recipe.json               the resolved recipe; a recipe file itself
run.json                  the data, its classes and fingerprint, versions, threads
start.safetensors         what a resume is compared with: recipe, first weights, every image
metrics.jsonl             losses, errors, learning rates: the same bytes for the same recipe
timing.jsonl              seconds and images a second, which are never the same
tensorboard/              the same figures for TensorBoard
checkpoint.safetensors    all that a resume needs
last.safetensors          the bundle as of the last evaluation
best.safetensors          the bundle with the lowest top-1 error so far
diverged.txt              why the run ended, where its loss was not finite any more
diverged-1/               such a run, set aside for the one that began after it
writer.lock               locked while a process writes, and which one that is or was
"""

from __future__ import annotations

import hashlib
import math
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from backbones.errors import BadData, Diverged, NotFound, TrainingStopped, WrongUse
from backbones.files import write_atomic
from backbones.records import fitting
from backbones.text import json_file, read_document
from backbones.training import diverged, events
from backbones.training.images import ImageFingerprints
from backbones.training.lines import as_line, lines_of
from backbones.training.lock import NAME as LOCK
from backbones.training.lock import FolderLock, new_folder
from backbones.training.recipe import Recipe
from backbones.training.record import Record
from backbones.training.settings import load_recipe
from backbones.training.start import NAME as START
from backbones.training.start import Start
from backbones.training.surroundings import surroundings

_SomeRecord = TypeVar("_SomeRecord", bound=Record)
_LEDGERS = ("metrics.jsonl", "timing.jsonl", "tensorboard/events.out.tfevents.0.backbones")
_LINES_PER_EPOCH = 100
_KEPT = ("checkpoint.safetensors", "last.safetensors", "best.safetensors")
_OWN = ("run.json", "recipe.json", START, "metrics.jsonl", "timing.jsonl")


class RunFacts(BaseModel):
    """What run.json says, which people may read and change."""

    model_config = ConfigDict(extra="allow")

    format: Literal[1]
    where: str
    data: dict[str, Any]
    versions: dict[str, str]
    machine: str
    threads: int


class RunFolder:
    """A training run on the disk; made by `create`, found again by `open`, written inside `with`.

    Args:
        path: the folder.
        recipe: resolved.
        facts: what run.json says.

    Attributes:
        writes: whether this object does; of several processes one does.
        lock: held inside `with`: a run has one writer. Readers need none.
        start_notes: sentences on how the folder was found.
    """

    writes = True

    def __init__(self, path: Path, recipe: Recipe, facts: Mapping[str, Any]) -> None:
        self.path = path
        self.recipe = recipe
        self.facts = facts
        self.lock = FolderLock(path)
        self.start_notes: tuple[str, ...] = ()
        self._begun: bytes | None = None
        self._every = 1
        self._metrics: Any = None
        self._timing: Any = None
        self._events: Any = None

    @property
    def checkpoint_path(self) -> Path:
        """All that a resume needs."""
        return self.path / "checkpoint.safetensors"

    def refuse_lost_checkpoint(self) -> None:
        """Refuse to begin again where a checkpoint was written and is gone.

        Raises:
            BadData: timing.jsonl tells of one.
        """
        timing = self.path / "timing.jsonl"
        if timing.exists() and b'{"record": "checkpoint"' in timing.read_bytes():
            raise BadData(
                f"{self.checkpoint_path} is gone, and the run had written one; put it back, or"
                f" begin another run with what this one reached: --weights {self.last_path}"
            )

    @property
    def last_path(self) -> Path:
        """The bundle as of the last evaluation."""
        return self.path / "last.safetensors"

    @property
    def best_path(self) -> Path:
        """The bundle with the lowest top-1 error so far."""
        return self.path / "best.safetensors"

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        recipe: Recipe,
        data: Mapping[str, Any],
        where: str = "",
        images: ImageFingerprints | None = None,
        weights: str = "",
        probe: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Begin a run in a new folder, or in one that holds no step of a run yet, or one that
        diverged, which is set aside.

        Args:
            path: the folder; made where it does not exist.
            recipe: resolved.
            data: what `fingerprint` said of the training split.
            where: the data, as the user named it.
            images: what `describe_images` said of all splits.
            weights: SHA-256 of the network's first weights.
            probe: what its head began with, for run.json.

        Raises:
            WrongUse: the folder holds a run, or is a file.
            Busy: another process writes to it.
        """
        facts = {
            "format": 1,
            "id": uuid.uuid4().hex,
            "where": where,
            "data": dict(data),
            **({} if probe is None else {"probe": dict(probe)}),
            **surroundings(recipe),
        }
        start = Start(recipe.to_json(), dict(data), images or ImageFingerprints({}, {}), weights)
        with new_folder(path, cls.refuse_taken):
            notes = _room_for_another(path)
            (path / "tensorboard").mkdir(exist_ok=True)
            start.write(path / START)
            write_atomic(path / "recipe.json", json_file(recipe.to_json()))
            write_atomic(path / "run.json", json_file(facts))  # last: from here on it is a run
        run = cls(path, recipe, facts)
        run.start_notes = notes
        run._begun = json_file(facts)
        return run

    @staticmethod
    def refuse_taken(path: Path) -> None:
        """Refuse a folder that no run can begin in.

        Raises:
            WrongUse: it holds a run that has kept something, files of others beside a run, or is a
                file.
        """
        if path.exists() and not path.is_dir():
            raise WrongUse(f"{path} is a file; expected a folder for the run")
        if not (path / "run.json").exists():
            _refuse_to_overwrite(path)
            return
        if diverged.is_marked(path):
            return
        if any((path / name).exists() for name in _KEPT):
            raise WrongUse(
                f"{path} holds a run already; choose another --out, or go on with it:"
                f" backbones train --resume {path}"
            )
        foreign = sorted(each.name for each in path.iterdir() if _is_foreign(each.name))
        if foreign:
            raise WrongUse(
                f"{path} holds a run without a checkpoint, which could be replaced, and beside it"
                f" {foreign[0]}; move that, or choose another --out"
            )

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Find a run again, to read it or to go on with it.

        Raises:
            NotFound: the folder holds no run.
            BadData: run.json is not what training writes.
        """
        if not (path / "run.json").is_file():
            raise NotFound(f"{path} holds no run (it has no run.json); start one without --resume")
        facts = fitting(read_document(path / "run.json"), RunFacts, str(path / "run.json"))
        return cls(path, load_recipe(path / "recipe.json"), facts.model_dump())

    def start(self) -> Start:
        """What the run began with.

        Raises:
            BadWeights: the file is damaged, or of a run of another version.
        """
        return Start.read(self.path / START)

    def changes_since_start(self) -> tuple[str, ...]:
        """Sentences on what surrounds the run now and did not when it began."""
        return tuple(
            f"{name} was {self.facts[name]} when the run began and is {now} now:"
            " the last bits may differ"
            for name, now in surroundings(self.recipe).items()
            if name in self.facts and self.facts[name] != now
        )

    def thin(self, steps_per_epoch: int) -> None:
        """Write every so many steps to the files, so that an epoch has about a hundred lines."""
        self._every = max(1, math.ceil(steps_per_epoch / _LINES_PER_EPOCH))

    def record(self, record: _SomeRecord) -> _SomeRecord:
        """Write a record to the files that it belongs in, and hand it on.

        Raises:
            TrainingStopped: the disk is full, or the folder was moved.
        """
        self.lock.refuse_lost()
        metrics, timing, tags = lines_of(record, self._every)
        try:
            if metrics:
                self._metrics.write(as_line(metrics))
            if timing:
                self._timing.write(as_line(timing))
            if tags:
                now = time.time()
                if self._events.tell() == 0:
                    self._events.write(events.file_header(now))
                self._events.write(events.scalars(tags, step=record.step, wall_time=now))
            for file in (self._metrics, self._timing, self._events):
                file.flush()  # so that `tail -f` and TensorBoard follow; forced out at checkpoints
        except OSError as error:
            raise self.cannot_write(error, record.step) from None
        return record

    def positions(self) -> list[int]:
        """The length of each growing file, once all of it is on the disk."""
        for file in (self._metrics, self._timing, self._events):
            file.flush()
            os.fsync(file.fileno())
        return [file.tell() for file in (self._metrics, self._timing, self._events)]

    def metrics_sha256(self) -> str:
        """Of metrics.jsonl as far as it is written."""
        return self._hash_of_metrics(self._metrics.tell())

    def _hash_of_metrics(self, length: int) -> str:
        with (self.path / _LEDGERS[0]).open("rb") as file:
            return hashlib.sha256(file.read(length)).hexdigest()

    def cut(self, positions: list[int], metrics_sha256: str | None = None) -> None:
        """Forget what was written after a checkpoint.

        Args:
            positions: what `positions` said when it was written; all 0 without a checkpoint.
            metrics_sha256: what it said then.

        Raises:
            BadData: a file is shorter than it was then, or another one: somebody changed it.
        """
        files = (self._metrics, self._timing, self._events)
        for name, file, position in zip(_LEDGERS, files, positions, strict=True):
            if file.seek(0, os.SEEK_END) < position:
                raise BadData(
                    f"{self.path / name} is shorter than its checkpoint says; put the file back"
                    " as it was, or start a new run"
                )
            file.truncate(position)
            file.seek(position)
        if metrics_sha256 not in (None, self.metrics_sha256()):
            raise BadData(
                f"{self.path / _LEDGERS[0]} is not as it was written (its SHA-256 differs); put the"
                " file back as it was, or start a new run"
            )

    def cannot_write(self, error: OSError, step: int) -> TrainingStopped:
        """What to raise when the disk does not take any more."""
        reason = error.strerror or str(error)
        kept = (
            f"{self.checkpoint_path.name} still holds the last good checkpoint; make room, then:"
            f" backbones train --resume {self.path}"
            if self.checkpoint_path.exists()
            else "make room, then start again"
        )
        return TrainingStopped(f"step {step}: {self.path} cannot be written ({reason}); {kept}")

    def __enter__(self) -> Self:
        """Become the folder's writer.

        Raises:
            Busy: another process is it.
            WrongUse: another run began in the folder since this one was made.
        """
        self.lock.__enter__()
        try:
            self._refuse_replaced()
            diverged.unmark(self.path)
            self._open_files()
        except BaseException:
            self.lock.__exit__()
            raise
        return self

    def _refuse_replaced(self) -> None:
        """A run that was made and not iterated over has not kept its place."""
        if self._begun is None:
            return
        there = self.path / "run.json"
        is_ours = there.is_file() and there.read_bytes() == self._begun
        if not is_ours or any((self.path / name).exists() for name in _KEPT):
            raise WrongUse(f"another run began in {self.path} since this one; make it anew")
        self._begun = None

    def _open_files(self) -> None:
        for left_over in self.path.glob(".*.safetensors.*.tmp"):  # of a kill while writing
            left_over.unlink(missing_ok=True)
        self._metrics, self._timing, self._events = (
            _appended(self.path / name) for name in _LEDGERS
        )

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if isinstance(error, Diverged):
            diverged.mark(self.path, error)
        for file in (self._metrics, self._timing, self._events):
            try:
                file.close()
            except OSError:
                continue  # a full disk at this point loses nothing that was promised
        self.lock.__exit__()


def _refuse_to_overwrite(path: Path) -> None:
    """Refuse a folder in which somebody else has files of our names."""
    if (path / START).exists():  # of a run that was killed before it was one
        return
    for name in (*_OWN, *_KEPT):
        if (path / name).exists():
            raise WrongUse(
                f"{path} holds no run, but a {name} that a run would overwrite; choose another"
                " --out, or move the file"
            )


def _is_foreign(name: str) -> bool:
    """Whether a file in a run folder is not of the run."""
    own = (*_OWN, "tensorboard", LOCK)
    return not (name in own or name.endswith(".tmp") or diverged.is_set_aside(name))


def _room_for_another(path: Path) -> tuple[str, ...]:
    """Set aside a run that diverged, and remove one that has kept nothing; what was done."""
    if diverged.is_marked(path):
        return (diverged.set_aside(path, (*_OWN, *_KEPT, "tensorboard")),)
    if not (path / "run.json").exists():
        return ()
    for name in (*_OWN, *_LEDGERS):
        (path / name).unlink(missing_ok=True)
    return ("the folder held a run without a checkpoint: replaced",)


def _appended(path: Path) -> Any:
    """A file to write at its end, which can be cut back (mode "ab" could not be)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    file = path.open("r+b")
    file.seek(0, os.SEEK_END)
    return file
