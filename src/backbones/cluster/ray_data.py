"""The same parts through Ray Data: numbers of shards go in, actors that hold the networks write.

Ray places the actors where there is room, starts lost ones anew and gives their shards to others;
the parts, and what makes them exactly one a shard, are those of any worker. Only numbers travel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from backbones.classifier.classifier import Classifier
from backbones.classifier.inputs import Inputs
from backbones.classifier.opening import Openable, open_classifier
from backbones.cluster.job import Asked, Job
from backbones.cluster.parts import Worker, write_part
from backbones.cluster.store import Store
from backbones.compute import CheckedChoice, Compute
from backbones.errors import WrongUse
from backbones.ray_session import Needs, connected, own_errors


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
            if not self._store.has(self._job.parts[number]):
                write_part(self._job, self._store, number)
        return batch


def run_on_ray(worker: Worker, opening: Opening, address: str = "auto") -> Iterator[int]:
    """Have Ray write what is missing, in place of `Worker.run`.

    Args:
        worker: on the job, with the classifier opened here.
        opening: how the other machines open it.
        address: of the cluster, as of `ray_session.connected`.

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
    needs = Needs(compute.threads, int(compute.kind == "cuda"))
    with connected(address) as ray, own_errors():
        listed = [{"number": number} for number in numbers]
        parts = ray.data.from_items(listed, override_num_blocks=len(numbers)).map_batches(
            Actor,
            fn_constructor_args=(task,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(needs.places(ray), len(numbers))),
            **asdict(needs),
        )
        for done, _ in enumerate(parts.iter_rows(), 1 + len(job.parts) - len(numbers)):
            yield done
