"""A Ray cluster that work is given to: joined, measured, and its errors told as ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backbones.errors import BackbonesError, MissingExtra, WrongUse

_OBJECTS_BYTES = 100 * 2**20  # of a cluster of our own; only numbers and names travel


@dataclass(frozen=True)
class Needs:
    """What one worker takes of a machine.

    Args:
        num_cpus: threads that it computes with.
        num_gpus: 1 where it computes on a GPU, else 0.
    """

    num_cpus: int
    num_gpus: int = 0

    def places(self, ray: Any) -> int:
        """How many such workers the cluster's machines have room for.

        Raises:
            WrongUse: for none.
        """
        wanted = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        found = 0
        for node in ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            found += min(int(has.get(kind, 0) // count) for kind, count in wanted.items() if count)
        if found == 0:
            gpu = " and a GPU" if self.num_gpus else ""
            raise WrongUse(
                f"no machine of the cluster has {self.num_cpus} CPUs{gpu}; say fewer with --threads"
            )
        return found


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, with a cluster; it is left at the end unless somebody had joined it before.

    Args:
        address: "auto" for the cluster that runs here, "local" for one that begins and ends with
            this process, or "ray://HOST:PORT".

    Raises:
        MissingExtra: without Ray.
        WrongUse: there is no such cluster.
    """
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
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        if not joined:
            ray.shutdown()


@contextmanager
def own_errors() -> Iterator[None]:
    """What a worker raised on purpose, in place of Ray's account of it."""
    try:
        yield
    except Exception as error:
        inner: BaseException | None = error
        while inner is not None and not isinstance(inner, BackbonesError):
            inner = getattr(inner, "cause", None) or inner.__cause__
        if inner is None:
            raise
        raise inner from None
