"""A cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import backbones

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

SHARDS = 24


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster, and the node of it that may be killed."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {**small, "include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(**small)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster, other
    ray.shutdown()
    cluster.shutdown()


def has_actor(node: Any) -> bool:
    """Whether a process of the node is about to write parts, or does."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any("MapWorker" in " ".join(each.cmdline()) for each in raylet.children(recursive=True))


def test_ray_writes_the_same_parts_though_a_node_is_killed(
    two_nodes: tuple[Any, Any],
    noise: Callable[[int], bytes],
    write_tar: Callable[[Path, dict[str, bytes]], None],
    tmp_path: Path,
) -> None:
    shards, out, local = (tmp_path / name for name in ("shards", "out", "local"))
    shards.mkdir()
    images = {f"{number}.png": noise(number) for number in range(5)} | {"bad.png": b"no image"}
    for shard in range(SHARDS):
        write_tar(shards / f"{shard:02d}.tar", images)
    there: list[int] = []

    def kill_when_at_work() -> None:
        cluster, other = two_nodes
        while not (has_actor(other) and list(out.glob("part-*"))):
            time.sleep(0.01)
        there.append(len(list(out.glob("part-*"))))
        cluster.remove_node(other, allow_graceful=False)

    killer = threading.Thread(target=kill_when_at_work, daemon=True)
    killer.start()
    asked: dict[str, Any] = {"format": "parquet", "device": "cpu", "precision": "exact"}
    manifest = backbones.predict_parts(
        "lenet5.digits", f"{shards}/*.tar", out, cluster="ray", threads=2, **asked
    )
    killer.join()
    assert there[0] < SHARDS
    assert manifest is not None
    assert (manifest.shards, manifest.rows, manifest.errors) == (SHARDS, 6 * SHARDS, SHARDS)
    backbones.predict_parts("lenet5.digits", f"{shards}/*.tar", local, threads=2, **asked)
    for part in sorted(local.glob("part-*")):
        assert (out / part.name).read_bytes() == part.read_bytes()
    assert (out / "manifest.json").read_bytes() == (local / "manifest.json").read_bytes()


def test_ray_runs_the_trials_of_a_search(two_nodes: tuple[Any, Any], tmp_path: Path) -> None:
    """On the node that is left: two places of one thread."""
    asked: dict[str, Any] = {"trials": 2, "smoke_run": True, "device": "cpu", "threads": 1}
    here, there = (
        backbones.tune("digits", out=tmp_path / name, **where, **asked)
        for name, where in (("here", {}), ("there", {"cluster": "ray"}))
    )
    for search in (here, there):
        search.run()
    assert [row.state for row in there.book.rows] == ["finished", "finished"]
    for one, other in zip(here.book.rows, there.book.rows, strict=True):
        assert (one.parameters, one.measured) == (other.parameters, other.measured)
    assert here.files.best.read_bytes() == there.files.best.read_bytes()
