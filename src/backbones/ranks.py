"""Processes that do one work together: who they are, and what they tell each other.

`torchrun` starts them, and PyTorch's process groups connect them. What they agree on goes through a
gloo group of its own, on the CPU, whatever the gradients go through. One process alone tells itself
everything, at no cost, by the same calls.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from backbones import signals
from backbones.errors import ProcessLost, WrongUse
from backbones.launch import launch

TIMEOUT = "BACKBONES_TIMEOUT"
_USUAL_TIMEOUT_S = 600.0
_PATIENCE = timedelta(days=7)  # for downloads, and for looking at every image once
_ARRIVAL_S = 3.0  # for the others to notice that one of them is gone


@dataclass(frozen=True)
class Ranks:
    """The processes of one work, as one of them sees them.

    Args:
        rank: of this process, from 0.
        size: how many there are.
        group: for what is agreed on, on the CPU; None for a process alone.
        patient: the same, which waits for days.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = field(default=None, repr=False)
    patient: dist.ProcessGroup | None = field(default=None, repr=False)

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things in a row that is this process's.

        The parts differ by one thing at most; where there are fewer than two for each process,
        they go in pairs, since batch norm cannot learn from one image.

        Example:
            >>> [Ranks(rank, 3).share(8) for rank in range(3)]
            [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
            >>> [Ranks(rank, 3).share(4) for rank in range(3)]
            [slice(0, 2, None), slice(2, 4, None), slice(4, 4, None)]
        """
        return slice(self._bound(count, self.rank), self._bound(count, self.rank + 1))

    def _bound(self, count: int, rank: int) -> int:
        if count >= 2 * self.size:
            return rank * (count // self.size) + min(rank, count % self.size)
        pairs, odd = divmod(count, 2)
        return 2 * -(-pairs * rank // self.size) + odd if rank else 0

    def rows(self, values: Sequence[float]) -> list[list[float]]:
        """The numbers of every process, in the order of the ranks; all give as many."""
        if self.alone:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(every, mine, group=self.group)
        return [each.tolist() for each in every]

    def tensors(self, rows: Tensor) -> list[Tensor]:
        """The rows of every process, in the order of the ranks; each may have another number.

        Args:
            rows: (n, K) on the CPU; K and the number format are the same in all processes.
        """
        if self.alone:
            return [rows]
        counts = [int(count) for (count,) in self.rows([len(rows)])]
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        every = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(every, padded, group=self.group)
        return [each[:count] for each, count in zip(every, counts, strict=True)]

    def values(self, value: Any) -> list[Any]:
        """What every process has to tell, as JSON, in the order of the ranks."""
        if self.alone:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        return [json.loads(bytes(each.tolist())) for each in self.tensors(text)]

    def of_first(self, value: Any) -> Any:
        """What the first process has to tell, as JSON, in every one."""
        return self.values(value if self.first else None)[0]

    def wait(self) -> None:
        """Until all are here, however long that takes."""
        if not self.alone:
            dist.barrier(group=self.patient)

    @contextmanager
    def one_after_the_other(self) -> Iterator[None]:
        """On each machine one process goes through the block before the others do."""
        mine_first = launch().local_rank == 0
        if not mine_first:
            self.wait()
        yield
        if mine_first:
            self.wait()

    def pass_on(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The last row of the nearest process before this one that has rows; of the last one, to
        the first of them.

        Args:
            rows: (n, ...) on the CPU, n > 0 for a process that takes part.
            counts: rows of every process.
        """
        there = [rank for rank, count in enumerate(counts) if count]
        place = there.index(self.rank)
        before, after = there[place - 1], there[(place + 1) % len(there)]
        if before == self.rank:
            return rows[-1:]
        received = torch.empty_like(rows[-1:]).contiguous()
        sent = dist.isend(rows[-1:].contiguous(), dst=after, group=self.group)
        dist.recv(received, src=before, group=self.group)
        if sent is not None:
            sent.wait()
        return received

    def copy_first(self, model: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.alone:
            return
        for tensor in model.state_dict().values():
            held = tensor.detach().cpu().contiguous()
            dist.broadcast(held, src=0, group=self.group)
            tensor.copy_(held)

    def device_group(self, device: torch.device) -> dist.ProcessGroup | None:
        """What tensors on a device go through; None for the default group, on GPUs."""
        return None if device.type == "cuda" else self.group

    @contextmanager
    def telling_of_lost(self, kept: Callable[[], str] = str) -> Iterator[None]:
        """Inside, a process that is gone ends the work with one line.

        Args:
            kept: what is saved, for the end of the line.

        Raises:
            ProcessLost: in place of what gloo and NCCL raise.
        """
        try:
            yield
        except RuntimeError as error:
            if self.alone or not _is_of_connection(error):
                raise
            with signals.finishing():  # torchrun asks the others to stop meanwhile
                what = self._whom_it_lost("imed out" in str(error))
                said = kept()
        else:
            return
        raise ProcessLost(what + (f"; {said}" if said else ""))

    def _whom_it_lost(self, timed_out: bool) -> str:
        missing = ", ".join(str(each) for each in _missing(self))
        who = f"the process of rank {missing}" if missing else "one of the processes"
        if timed_out:
            return f"{who} (of {self.size}) did not answer for {timeout_s():g} s"
        return f"{who} (of {self.size}) ended or was killed"


ALONE = Ranks()


def timeout_s() -> float:
    """How long a process is waited for before it counts as hung.

    Raises:
        WrongUse: the environment names no such number.
    """
    text = os.environ.get(TIMEOUT) or str(_USUAL_TIMEOUT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < _PATIENCE.total_seconds():
        raise WrongUse(f"{TIMEOUT} is {text!r}, expected seconds, such as 600")
    return seconds


def current() -> Ranks:
    """The processes that `torchrun` started, or those of the process group that is there.

    To be called by all of them; the first call connects them.
    """
    if not (dist.is_available() and dist.is_initialized()):
        if launch().size == 1:
            return ALONE
        _join()
    world = dist.group.WORLD
    if world not in _known:
        _known.clear()
        limit = timedelta(seconds=timeout_s())
        group = dist.new_group(backend="gloo", timeout=limit)
        patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
        _known[world] = Ranks(dist.get_rank(), dist.get_world_size(), group, patient)
    return _known[world]


_known: dict[Any, Ranks] = {}
# Groups that outlive the interpreter's last steps abort the process: their threads are still there.
atexit.register(_known.clear)


def _join() -> None:
    started = launch()
    if torch.cuda.is_available() and started.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(started.local_rank)
    # later than the group below, whose line names who is missing
    limit = timedelta(seconds=timeout_s() + 60)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = _store()
    if store is None:
        dist.init_process_group(backend, timeout=limit)
    else:  # which may hold the addresses of processes that a restart has replaced
        store = dist.PrefixStore(f"backbones/{started.restarts}", store)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend, timeout=limit, store=store, rank=started.rank, world_size=started.size
        )
    atexit.register(_part)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_of_connection(error: RuntimeError) -> bool:
    """Whether a process could not be reached, as gloo, NCCL and the store say it."""
    return isinstance(error, dist.DistError) or any(
        sign in str(error) for sign in ("gloo", "NCCL", "Connection closed", "Connection reset")
    )


# --- the store that torchrun keeps ---------------------------------------------------------------


@cache
def _store() -> Any:
    """A connection to it; None where there is none."""
    if not launch().has_store:
        return None
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    limit = timedelta(seconds=60)
    return dist.TCPStore(  # type: ignore[attr-defined]
        host, port, is_master=False, wait_for_workers=False, timeout=limit
    )


def _missing(ranks: Ranks) -> list[int]:
    """The ranks that do not notice within seconds that another one is gone."""
    store = _store()
    if store is None:
        return []
    keys = [f"backbones/{launch().restarts}/alive/{rank}" for rank in range(ranks.size)]
    missing = list(range(ranks.size))
    until = time.monotonic() + _ARRIVAL_S
    try:
        store.set(keys[ranks.rank], "1")
        while missing and time.monotonic() < until:
            missing = [rank for rank in missing if not store.check([keys[rank]])]
            time.sleep(0.1)
    except RuntimeError:  # torchrun itself is gone
        return []
    return missing


def may_tell() -> bool:
    """Whether this process may say why it ends: none of the others has done so."""
    started = launch()
    if started.size == 1:
        return True
    if not started.has_store:
        return started.rank == 0
    try:
        store = _store()
        return store is None or store.add(f"backbones/{started.restarts}/told", 1) == 1
    except RuntimeError:
        return started.rank == 0


_RUN = "backbones/run"


def note_run(folder: str) -> None:
    """Tell later starts of the same launch which run is theirs."""
    store = _store()
    if store is not None:
        store.set(_RUN, folder)


def noted_run() -> str | None:
    """The run of this launch, which was started before; None at its first start."""
    store = _store()
    if store is None or not store.check([_RUN]):
        return None
    return str(store.get(_RUN).decode())
