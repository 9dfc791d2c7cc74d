"""Try a row of the ledger: train its networks, measure them, compare with the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from backbones.compute import AnswerChoice
from backbones.ledger.entry import Entry
from backbones.ledger.table import find_entry
from backbones.workflows.reproduction import (
    Attempt,
    Reproduced,
    ReproductionProgress,
    Watching,
    try_entry,
)

__all__ = ["Reproduced", "ReproductionProgress", "reproduce"]


def reproduce(
    entry: str | Entry,
    *,
    data: str | Path | None = None,
    runs: int | None = None,
    out: str | Path = Path("runs") / "reproduce",
    smoke_run: bool = False,
    watch: Watching | None = None,
    **compute: Unpack[AnswerChoice],
) -> Reproduced:
    """Try a row of the ledger, and write what came out beside what was printed.

    Every network is an ordinary run folder in `out/arms`, shared by the rows that need it. What
    was trained or measured before is not done again, and a run that was broken off goes on.

    Args:
        entry: a row or its id; `backbones list ledger` shows all.
        data: where the row's data lies; the set of its name where None.
        runs: seeds 0 to runs - 1; as many as the row says where None.
        out: folder of everything.
        smoke_run: tiny runs of one seed, to see that everything fits together.
        device, precision, threads: of training and measuring. As of `train`, where "auto" trains in
            bf16 on processors with units for it, and of `open`, where it measures in fp32.
        watch: called as it goes on.

    Raises:
        NotFound: no such row or data.
        WrongUse: the row's data has to be named, or `runs` is no number of runs.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = reproduce("lenet/digits", smoke_run=True, out=folder)
        >>> done.measured.figures[0].label
        'lenet5'
    """
    row = find_entry(entry) if isinstance(entry, str) else entry
    watching = watch or (lambda stage: None)
    return try_entry(row, Attempt(data, runs, Path(out), smoke_run, compute, watching))
