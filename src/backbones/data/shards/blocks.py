"""Blocks of shards, fetched by several readers before their images are asked for.

Whoever reads says in which order; blocks are fetched in the order of their first image, as many as
`AHEAD_BYTES` hold, and each is let go with its last image. What was not announced is fetched when
it is asked for.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from backbones.data.random import Integers
from backbones.data.shards.index import READERS
from backbones.errors import BadImage

AHEAD_BYTES = 512 * 2**20
"""Encoded images in memory: two windows of the shuffled order."""

Block = Mapping[int, bytes | BadImage]


class BlockReader:
    """Gives records by their row.

    Args:
        load: reads the records of some rows of one block together.
        rows: those that are wanted at all, int64 (N,).
        blocks: the block of every row.
        sizes: the bytes of every row.
    """

    def __init__(
        self, load: Callable[[Integers], Block], rows: Integers, blocks: Integers, sizes: Integers
    ) -> None:
        self._load = load
        self._block_of = blocks
        ordered = np.sort(rows)
        numbers, starts = np.unique(blocks[ordered], return_index=True)
        parts = np.split(ordered, starts[1:])
        self._rows = dict(zip(numbers.tolist(), parts, strict=True))
        self._bytes = {number: int(sizes[part].sum()) for number, part in self._rows.items()}
        self._lock = threading.RLock()
        self._held: OrderedDict[int, Future[Block]] = OrderedDict()
        self._waiting: deque[int] = deque()
        self._left: Counter[int] = Counter()
        self._pool: ThreadPoolExecutor | None = None
        self._held_bytes = self._loading = 0

    def expect(self, rows: Integers) -> None:
        """These rows will be read next, each once, in this order."""
        blocks = self._block_of[rows]
        numbers, first, counts = np.unique(blocks, return_index=True, return_counts=True)
        with self._lock:
            self._left = Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
            for number in [number for number in self._held if not self._left[number]]:
                self._drop(number)
            order = numbers[np.argsort(first)].tolist()
            self._waiting = deque(number for number in order if number not in self._held)
            self._fetch_ahead()

    def get(self, row: int) -> bytes | BadImage:
        """The record of a row.

        Raises:
            DownloadFailed, BadData: its block cannot be fetched.
        """
        number = int(self._block_of[row])
        with self._lock:
            block = self._held.get(number)
            if block is None:
                block = self._fetch(number)
            self._held.move_to_end(number)
        try:
            return block.result()[row]
        finally:
            with self._lock:
                self._read_one_of(number, block)

    def _read_one_of(self, number: int, block: Future[Block]) -> None:
        self._left[number] -= 1
        failed = block.done() and block.exception() is not None
        if (failed or self._left[number] == 0) and self._held.get(number) is block:
            self._drop(number)
        self._fetch_ahead()

    def _fetch_ahead(self) -> None:
        """Fetch what comes next, as far as readers are free and the memory goes."""
        while self._waiting and self._loading < READERS:
            number = self._waiting[0]
            fits = self._held_bytes + self._bytes[number] <= AHEAD_BYTES
            if number not in self._held and self._held and not fits:
                return
            self._waiting.popleft()
            if number not in self._held:
                self._fetch(number)

    def _fetch(self, number: int) -> Future[Block]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="shards")
        for old in list(self._held):  # what nobody announced, or has read already
            if self._held_bytes + self._bytes[number] <= AHEAD_BYTES:
                break
            if self._left[old] <= 0 and self._held[old].done():
                self._drop(old)
        block = self._held[number] = self._pool.submit(self._load, self._rows[number])
        self._held_bytes += self._bytes[number]
        self._loading += 1
        block.add_done_callback(self._fetched)
        return block

    def _fetched(self, _: Future[Block]) -> None:
        with self._lock:
            self._loading -= 1
            with suppress(RuntimeError):  # the program ends
                self._fetch_ahead()

    def _drop(self, number: int) -> None:
        del self._held[number]
        self._held_bytes -= self._bytes[number]
