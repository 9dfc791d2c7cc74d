"""One evaluation by several processes: each takes its share, and all know the whole answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from backbones.classifier.inference import Outputs
from backbones.metrics import Skipped


def place() -> tuple[int, int]:
    """This process's number, and how many there are; (0, 1) without `torchrun`."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def together() -> Iterator[tuple[int, int]]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Yields:
        what `place` says.
    """
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if started:
        dist.init_process_group("gloo")
    try:
        yield place()
    finally:
        if started:
            dist.destroy_process_group()


def gather(answers: Outputs, share: range) -> Outputs:
    """The answers of all processes, in the order of the split, in every process.

    Exactly the images of the split are there: no share is padded, whatever their number.

    Args:
        answers: this process's, to the images at `share`.
        share: positions in the split.
    """
    if place()[1] == 1:
        return answers
    indices = np.asarray(share, dtype=np.int64)[answers.indices]
    rows = torch.from_numpy(np.ascontiguousarray(answers.log_probabilities, dtype=np.float32))
    told = json.dumps([asdict(each) for each in answers.skipped]).encode()
    every = _gathered(torch.from_numpy(indices)[:, None], 1)[:, 0].numpy()
    width = int(_gathered(torch.tensor([[rows.shape[1]]]), 1).max())
    scores = _gathered(rows.reshape(len(indices), width), width).numpy()
    texts = bytes(
        _gathered(torch.frombuffer(bytearray(told + b"\n"), dtype=torch.uint8)[:, None], 1)
    )
    skipped = [Skipped(**each) for line in texts.splitlines() for each in json.loads(line)]
    passes = int(_gathered(torch.tensor([[answers.num_passes]]), 1).sum())
    order = np.argsort(every, kind="stable")
    return Outputs(scores[order], every[order], tuple(skipped), passes)


def _gathered(rows: Tensor, width: int) -> Tensor:
    """All processes' rows, one process after the other; each may have another number of them."""
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(place()[1])]
    dist.all_gather(counts, torch.tensor([len(rows)]))
    most = int(max(counts))
    padded = torch.zeros(most, width, dtype=rows.dtype)
    padded[: len(rows)] = rows
    every = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(every, padded)
    return torch.cat([each[: int(count)] for each, count in zip(every, counts, strict=True)])
