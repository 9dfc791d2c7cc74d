"""What trying a row of the ledger found, and on what machine."""

from __future__ import annotations

from statistics import fmean, stdev

from backbones.ledger.entry import LedgerTable


class Run(LedgerTable):
    """One figure of one seed.

    Args:
        seed: of weights, order, augmentation and the held-out part.
        top1_error_percent: on the held-out images.
        low, high: its 95 % interval.
        num_samples: held-out images.
        misnamed: which of them got the wrong first class, by position; None where an older version
            measured.
        forward_passes: that it took to measure.
        seconds: that it took to measure.
    """

    seed: int
    top1_error_percent: float
    low: float
    high: float
    num_samples: int
    misnamed: tuple[int, ...] | None = None
    forward_passes: int = 0
    seconds: float = 0.0


class Figure(LedgerTable):
    """All runs of one figure.

    Args:
        label: of the figure.
        runs: by seed.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def mean(self) -> float:
        """Of the top-1 errors, in percent."""
        return fmean(run.top1_error_percent for run in self.runs)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds, in percent points; None for one run."""
        errors = [run.top1_error_percent for run in self.runs]
        return stdev(errors) if len(errors) > 1 else None

    def to_text(self) -> str:
        """Such as `12.34 ± 0.20 %`."""
        spread = self.spread
        return f"{self.mean:.2f} %" if spread is None else f"{self.mean:.2f} ± {spread:.2f} %"


class Machine(LedgerTable):
    """What the figures were measured on.

    Args:
        processor: its own name.
        threads: that one run computed with.
        device: cpu, cuda or mps.
        precision: of the training.
        python, torch, backbones: versions.
    """

    processor: str
    threads: int
    device: str
    precision: str
    python: str
    torch: str
    backbones: str

    def to_text(self) -> str:
        """One line."""
        threads = f"{self.threads} thread{'s'[: self.threads > 1]} a run"
        return (
            f"{self.processor}, {threads}, {self.device}, {self.precision}; Python {self.python},"
            f" torch {self.torch}, backbones {self.backbones}"
        )


class Measured(LedgerTable):
    """A row's figures.

    Args:
        id: of the row.
        date: of the last run, YYYY-MM-DD.
        smoke: whether this was only a trial of the machinery.
        figures: in the row's order.
        machine: where.
        train_seconds: by arm, of all seeds together.
        remark: what a reader of the figures should know beside them.
    """

    id: str
    date: str
    smoke: bool
    figures: tuple[Figure, ...]
    machine: Machine
    train_seconds: dict[str, float]
    remark: str = ""

    def figure(self, label: str) -> Figure:
        """By its label."""
        return next(figure for figure in self.figures if figure.label == label)
