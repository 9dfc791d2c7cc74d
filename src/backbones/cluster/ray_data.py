"""The same parts through Ray Data: numbers of shards go in, actors that hold the networks write.

Ray places the actors where there is room, starts lost ones anew and gives their shards to others;
the parts, and what makes them exactly one a shard, are those of any worker. Only numbers travel.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from backbones.classifier.classifier import Classifier
from backbones.classifier.inputs import Inputs
from backbones.classifier.opening import Openable, open_classifier
from backbones.cluster.job import Asked, Job
from backbones.cluster.parts import Worker, write_part
from backbones.cluster.store import Store
from backbones.compute import CheckedChoice, Compute
from backbones.errors import BackbonesError, MissingExtra, WrongUse

_OBJECTS_BYTES = 100 * 2**20  # the least that Ray takes; the numbers of shards are a few kilobytes


@dataclass(frozen=True)
class Opening:
    """How a classifier is opened, on whatever machine.

    Args:
        named: as it was named.
        choices: device, precision, threads, engine and agree, as they were chosen.

    Raises:
        WrongUse: it is open already, which no other process can be given.
    """

    named: Openable | Classifier | Sequence[Openable]
    choices: CheckedChoice

    def __post_init__(self) -> None:
        if isinstance(self.named, Classifier):
            raise WrongUse(
                "each machine of a cluster opens the classifier by itself; name its file or id in"
                " place of an open one"
            )


@dataclass(frozen=True)
class Task:
    """All that an actor needs to work on a job, on whatever machine.

    Args:
        opening: of the classifier.
        compute: as it was settled where the work was begun, and the same everywhere.
        asked, shards: as of `Job`; each machine reads the shards.
        store: where the parts go.
        folder: that relative paths count from.
    """

    opening: Opening
    compute: Compute
    asked: Asked
    shards: tuple[Inputs, ...]
    store: Store
    folder: str

    def job(self) -> Job:
        """The job, with the classifier opened in this process."""
        os.chdir(self.folder)
        opened = open_classifier(self.opening.named, **self.opening.choices)
        return Job(replace(opened, compute=self.compute), self.asked, self.shards)


class Actor:
    """Writes parts; one an actor of Ray."""

    def __init__(self, task: Task) -> None:
        self._job, self._store = task.job(), task.store

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Write the parts of these shards, unless they are there."""
        for number in batch["number"].tolist():
            if self._store.read(self._job.parts[number]) is None:
                write_part(self._job, self._store, number)
        return batch


def run_on_ray(worker: Worker, opening: Opening, address: str = "auto") -> Iterator[int]:
    """Have Ray write what is missing, in place of `Worker.run`.

    Args:
        worker: on the job, with the classifier opened here.
        opening: how the other machines open it.
        address: of the cluster: "auto" for the one that runs here, "local" for one that begins and
            ends with this process, or "ray://HOST:PORT".

    Yields:
        how many parts of all are there, each time there is one more.

    Raises:
        MissingExtra: without Ray.
        WrongUse: there is no such cluster, or no machine of it has so many CPUs or a GPU; and as
            `Worker.run`.
        BadData, NotFinite, OutOfMemory: as `write_part`.
    """
    job = worker.job
    job.begin(worker.store)
    numbers = worker.missing()
    yield len(job.parts) - len(numbers)
    if not numbers:
        return
    compute = job.options.compute
    task = Task(opening, compute, job.asked, job.shards, worker.store, os.getcwd())
    with _connected(address) as ray:
        strategy, needs = _places(ray, compute, len(numbers))
        listed = [{"number": number} for number in numbers]
        parts = ray.data.from_items(listed, override_num_blocks=len(numbers)).map_batches(
            Actor, fn_constructor_args=(task,), batch_size=1, compute=strategy, **needs
        )
        with _own_errors():
            for done, _ in enumerate(parts.iter_rows(), 1 + len(job.parts) - len(numbers)):
                yield done


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, with its cluster; it is left at the end unless somebody had joined it before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it says is for its developers
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtra("ray", "cluster", "--cluster ray") from None
    joined = ray.is_initialized()
    own: dict[str, Any] = {"object_store_memory": _OBJECTS_BYTES, "include_dashboard": False}
    said: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not joined:
        try:
            ray.init(address=address, **said, **(own if address == "local" else {}))
        except (ConnectionError, ValueError) as error:
            reason = " ".join(str(error).split())[:150]
            raise WrongUse(
                f"no Ray cluster answers at {address} ({reason}); start one with `ray start"
                " --head`, or say --address local"
            ) from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        if not joined:
            ray.shutdown()


def _places(ray: Any, compute: Compute, num_shards: int) -> tuple[Any, dict[str, int]]:
    """How many actors there may be, and what each needs."""
    needs = {"num_cpus": compute.threads, "num_gpus": int(compute.kind == "cuda")}
    wanted = {"CPU": compute.threads, "GPU": needs["num_gpus"]}
    places = 0
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        places += min(int(has.get(kind, 0) // count) for kind, count in wanted.items() if count)
    if places == 0:
        gpu = " and a GPU" if wanted["GPU"] else ""
        raise WrongUse(
            f"no machine of the cluster has {compute.threads} CPUs{gpu}; say fewer with --threads"
        )
    most = min(places, num_shards)
    return ray.data.ActorPoolStrategy(size=most), needs


@contextmanager
def _own_errors() -> Iterator[None]:
    """What an actor raised on purpose, in place of Ray's account of it."""
    try:
        yield
    except Exception as error:
        inner: BaseException | None = error
        while inner is not None and not isinstance(inner, BackbonesError):
            inner = getattr(inner, "cause", None) or inner.__cause__
        if inner is None:
            raise
        raise inner from None
