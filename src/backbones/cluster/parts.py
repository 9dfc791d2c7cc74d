"""One worker: claims a shard, writes its part, goes on, and at the end writes the manifest."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from backbones.classifier.source import input_source
from backbones.classifier.writers import encode_predictions
from backbones.cluster.claims import LEASE_S, Claims
from backbones.cluster.job import Job
from backbones.cluster.store import Store
from backbones.errors import WrongUse
from backbones.records import record_bytes, record_of

MANIFEST = "manifest.json"
_ANSWERED = b'"predictions": ['  # in a line of JSON never inside a text, whose quotes are escaped


@dataclass(frozen=True)
class Part:
    """One part that is there.

    Args:
        file: its name.
        images: the archive or table that it is of, or the first and the last of some files.
        rows: one an image.
        errors: those of them that say why an image could not be read.
    """

    file: str
    images: str
    rows: int
    errors: int


@dataclass(frozen=True)
class Manifest:
    """What all parts hold together.

    Args:
        shards: parts, one a shard.
        rows: images, those with an error included.
        errors: images that could not be read.
        parts: in order.
    """

    shards: int
    rows: int
    errors: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Worker:
    """One of any number of workers on a job.

    Args:
        job: what is done; the same for all.
        store: where the parts go; the same for all.
        share: (i, n): take the i-th of every n shards, counted from 1, without claims; None takes
            whatever nobody else has.
        lease_s: see `claims.LEASE_S`.

    Raises:
        WrongUse: there is no such share.
    """

    job: Job
    store: Store
    share: tuple[int, int] | None = None
    lease_s: float = LEASE_S

    def __post_init__(self) -> None:
        if self.share is not None and not 1 <= self.share[0] <= self.share[1]:
            place, number = self.share
            raise WrongUse(f"share is {place}/{number}, expected 1/{number} to {number}/{number}")

    def run(self) -> Iterator[int]:
        """Work until nothing is left; as long as others work on the rest, wait for them.

        Yields:
            how many parts of all are there, each time there is one more.

        Raises:
            WrongUse: the store holds the parts of another job.
            BadData, NotFinite, OutOfMemory, MissingExtra: as `write_part`.
        """
        claims = Claims(self.store, self.lease_s)
        self.job.begin(self.store)
        while True:
            missing = self._missing(self.job.parts)
            yield len(self.job.parts) - len(missing)
            wanted = [part for part in self._mine() if part in missing]
            if not wanted:
                return
            with self._taken(claims, wanted) as part:
                if part is None:
                    claims.wait()
                elif not self.store.has(part):  # its last owner may have made it since
                    write_part(self.job, self.store, self.job.parts.index(part))

    def missing(self) -> list[int]:
        """The numbers of the shards whose parts are not there."""
        missing = self._missing(self.job.parts)
        return [number for number, part in enumerate(self.job.parts) if part in missing]

    def finish(self) -> Manifest | None:
        """The manifest, which one of the workers writes; None where a part is missing yet."""
        if self._missing(self.job.parts):
            return None
        claims = Claims(self.store, self.lease_s)
        while (data := self.store.read(MANIFEST)) is None:
            with self._taken(claims, ["manifest"]) as wanted:
                if wanted is None:
                    claims.wait()
                else:
                    self.store.create(MANIFEST, record_bytes(asdict(self._counted())))
                    claims.clear()
        return record_of(data, Manifest, f"{self.store.place}/{MANIFEST}")

    def _mine(self) -> Sequence[str]:
        place, number = self.share or (1, 1)
        return self.job.parts[place - 1 :: number]

    def _missing(self, parts: Sequence[str]) -> dict[str, None]:
        there = set(self.store.names())
        return {part: None for part in parts if part not in there}

    @contextmanager
    def _taken(self, claims: Claims, keys: Sequence[str]) -> Iterator[str | None]:
        if self.share is not None:
            yield keys[0]
            return
        with claims.first(keys) as key:
            yield key

    def _counted(self) -> Manifest:
        parts = []
        for part, shard in zip(self.job.parts, self.job.shards, strict=True):
            rows, errors = count_rows(part, self.store.read(part) or b"")
            images = " to ".join(dict.fromkeys((shard.names[0], shard.names[-1])))
            parts.append(Part(part, images, rows, errors))
        total, bad = sum(each.rows for each in parts), sum(each.errors for each in parts)
        return Manifest(len(parts), total, bad, tuple(parts))


def write_part(job: Job, store: Store, number: int) -> bool:
    """Answer a shard, and make its part unless it is there.

    Args:
        job: what is done.
        store: where the part goes.
        number: of the shard.

    Returns:
        whether the part is this one.

    Raises:
        BadData: the archive or table is not there any more.
        NotFinite, OutOfMemory, MissingExtra: as `Predictor.predictions`.
    """
    job.refuse_lost(number)
    predictor = job.predictor
    data, _ = encode_predictions(
        predictor.predictions(input_source(job.shards[number])),
        job.asked.format,
        columns=predictor.columns,
    )
    return store.create(job.parts[number], data)


def count_rows(name: str, data: bytes) -> tuple[int, int]:
    """The rows of a part, and how many of them are errors.

    Args:
        name: of the part, whose extension is its format.
        data: what it holds.
    """
    if name.endswith(".parquet"):
        from pyarrow import BufferReader, parquet

        column = parquet.read_table(BufferReader(data), columns=["error"]).column(0)
        return len(column), len(column) - column.null_count
    if name.endswith(".csv"):
        table = csv.reader(io.StringIO(data.decode("latin-1"), newline=""))
        next(table)  # the header
        return _counted(bool(row[1]) for row in table)
    return _counted(_ANSWERED not in line for line in data.splitlines())


def _counted(errors: Iterable[bool]) -> tuple[int, int]:
    found = list(errors)
    return len(found), sum(found)
