"""Threads that prepare images, each using one core."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from backbones.launch import launch

Result = TypeVar("Result")


def usable_cores() -> int:
    """How many cores this process may run on: its share of them, where `torchrun` started it."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // launch().local_size)


class DecoderPool:
    """A pool of threads in which PyTorch does not spread over the cores by itself.

    Decoding and resizing release the interpreter's lock, so threads keep all cores busy; they
    measure level with or faster than processes here, and share memory.

    Args:
        workers: number of threads; 0 does the work in the calling thread, when it is submitted.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ThreadPoolExecutor | None = None
        if not workers:
            return
        # PyTorch keeps one count for the thread and one for threads to come: setting it in the
        # pool changes both, so the caller's own count is put back after every thread has started.
        mine = torch.get_num_threads()
        started = threading.Barrier(workers + 1)
        self._pool = ThreadPoolExecutor(workers, "images", _use_one_core)
        for _ in range(workers):
            self._pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(mine)

    def submit(self, work: Callable[..., Result], *args: Any) -> Future[Result]:
        """Have `work(*args)` done; an exception comes out of the future's `result()`."""
        if self._pool is not None:
            return self._pool.submit(work, *args)
        future: Future[Result] = Future()
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _use_one_core() -> None:
    torch.get_num_threads()  # the first call of a thread takes over the general count
    torch.set_num_threads(1)
