"""Try a row of the ledger: train its networks, measure them, compare with the claim."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

import backbones
from backbones.classifier.opening import open_classifier
from backbones.errors import WrongUse
from backbones.files import expanded, write_atomic
from backbones.ledger.entry import Arm, Entry, Measure
from backbones.ledger.measured import Figure, Machine, Measured, Run
from backbones.ledger.text import file_name, measured_text
from backbones.records import read_record, write_record
from backbones.report.curves import read_metrics
from backbones.report.ledger import DottedLine, draw_lines
from backbones.text import raw_bytes
from backbones.training.folder import RunFolder
from backbones.training.record import StartRecord, StepRecord
from backbones.training.settings import load_recipe
from backbones.workflows.beginning import begin_run, resume_run
from backbones.workflows.request import TrainingRequest

# Sets that have a name; others lie in a folder of the user's.
_SMOKED = 16  # images
_NAMED = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")


@dataclass(frozen=True)
class ReproductionProgress:
    """How far a reproduction is.

    Args:
        said: which arm, which seed, and what happens to it.
        done, total: steps or images.
    """

    said: str
    done: int
    total: int


Watching = Callable[[ReproductionProgress], None]


@dataclass(frozen=True)
class Reproduced:
    """A row, tried.

    Args:
        entry: the row.
        measured: what was found.
        files: `measured.json`, `measured.md` and the chart.
    """

    entry: Entry
    measured: Measured
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Trial:
    """One row on one copy of its data."""

    entry: Entry
    data: str
    attempt: Attempt

    def run_folder(self, arm: Arm, seed: int) -> Path:
        """Where an arm is trained; the same for rows that share it."""
        name = "-".join(re.findall(r"\w+", arm.name))
        return self.attempt.out / "arms" / f"{name}-seed{seed}-{self._digest(arm)[:8]}"

    def _digest(self, arm: Arm) -> str:
        """Of everything that decides what comes out, measures excepted."""
        assert arm.recipe is not None
        before = self._digest(self.named(arm.init_from)) if arm.init_from else None
        recipe = load_recipe(arm.recipe).model_dump(mode="json", exclude_defaults=True)
        where = self.data if self.data in _NAMED else str(expanded(self.data).absolute())
        decides: list[Any] = [
            arm.model,
            recipe,
            arm.settings,
            arm.weights,
            before,
            where,
            self.attempt.smoke,
        ]
        decides += _named(self.attempt.training)
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def named(self, name: str) -> Arm:
        """An arm of the row."""
        return next(arm for arm in self.entry.arms if arm.name == name)


@dataclass(frozen=True)
class Attempt:
    """How a row is tried.

    Args:
        data: where the row's data lies; the set of its name where None.
        runs: seeds 0 to runs - 1; as many as the row says where None.
        out: folder of everything.
        smoke: tiny runs of one seed, to see that everything fits together.
        compute: `device`, `precision`, `threads` and `engine`, each by its name, "auto" and None
            for open.
        watch: called as it goes on.
    """

    data: str | Path | None
    runs: int | None
    out: Path
    smoke: bool
    compute: Mapping[str, Any]
    watch: Watching

    @property
    def training(self) -> dict[str, Any]:
        """What of `compute` matters to training, which torch does."""
        return {name: said for name, said in self.compute.items() if name != "engine"}

    @property
    def measuring(self) -> dict[str, Any]:
        """How to measure: exactly, unless another precision was asked for."""
        asked = self.compute.get("precision", "auto")
        return {**self.compute, "precision": "exact" if asked == "auto" else asked}


def _named(compute: Mapping[str, Any]) -> list[str]:
    """What is not left open: other figures come of it, in other files."""
    return [f"{name}={said}" for name, said in compute.items() if said not in ("auto", None)]


def try_entry(row: Entry, attempt: Attempt) -> Reproduced:
    """Try a row of the ledger; arguments and errors as of `backbones.reproduce`."""
    trial = _Trial(row, _where(row, attempt.data), attempt)
    seeds = range(_seeds(row, attempt.runs, attempt.smoke))
    figures: dict[str, list[Run]] = {label: [] for label in row.labels}
    seconds = {arm.name: 0.0 for arm in row.arms}
    machine = None
    for seed in seeds:
        for arm in row.arms:
            target = arm.weights if arm.recipe is None else _trained(trial, arm, seed)
            assert target is not None
            for measure in arm.measures:
                found = _measured(trial, arm, measure, seed, target)
                figures[arm.label(measure)].append(found)
            if isinstance(target, Path):
                seconds[arm.name] += _train_seconds(target)
                machine = _machine(target)
    measured = Measured(
        id=row.id,
        date=date.today().isoformat(),
        smoke=attempt.smoke,
        figures=tuple(Figure(label=label, runs=tuple(all_)) for label, all_ in figures.items()),
        machine=machine or _machine(None),
        train_seconds={name: round(each, 1) for name, each in seconds.items()},
    )
    return Reproduced(row, measured, _write(row, measured, attempt.out / file_name(row.id)))


def _where(row: Entry, data: str | Path | None) -> str:
    if data is not None:
        return str(data)
    if row.data in _NAMED:
        return row.data
    raise WrongUse(f"{row.id} is about {row.data}, which has to be on the disk; give --data FOLDER")


def _seeds(row: Entry, runs: int | None, smoke_run: bool) -> int:
    if runs is not None and runs < 1:
        raise WrongUse(f"runs is {runs}, expected 1 or more")
    if all(arm.recipe is None for arm in row.arms):
        return 1  # published weights answer the same every time
    return runs or (1 if smoke_run else row.runs)


def _trained(trial: _Trial, arm: Arm, seed: int) -> Path:
    """The finished run of an arm; trained, or trained to its end, where it isn't."""
    folder = trial.run_folder(arm, seed)
    finished = folder / "finished"
    if finished.exists():
        return folder
    if (folder / "run.json").exists():
        run = resume_run(folder, None)
    else:
        request = TrainingRequest(
            trial.data,
            arm.model,
            arm.recipe,
            [*arm.settings, f"seed={seed}"],
            weights=arm.weights,
            init_from=_before(trial, arm, seed),
            smoke_run=trial.attempt.smoke,
            shorthand=trial.attempt.training,
        )
        run = begin_run(request.chosen(), trial.data, folder)
    total = 0
    for record in run:
        if isinstance(record, StartRecord):
            total = record.total_steps
        elif isinstance(record, StepRecord):
            said = f"{arm.name}, seed {seed}: training"
            trial.attempt.watch(ReproductionProgress(said, record.step, total))
    write_atomic(finished, b"")
    return folder


def _before(trial: _Trial, arm: Arm, seed: int) -> Path | None:
    return trial.run_folder(trial.named(arm.init_from), seed) if arm.init_from else None


def _measured(trial: _Trial, arm: Arm, measure: Measure, seed: int, target: str | Path) -> Run:
    """A figure; read where it was measured before."""
    asked = "".join([measure.model_dump_json(), *_named(trial.attempt.compute)])
    key = hashlib.sha256(asked.encode()).hexdigest()[:8]
    kept = None if isinstance(target, str) else target / f"measured-{key}.json"
    if kept is not None and kept.exists():
        return read_record(kept, Run)
    said = f"{arm.name}, seed {seed}: {measure.label}"
    found = open_classifier(target, **trial.attempt.measuring).evaluate(
        trial.data,
        protocol=measure.protocol,
        settings=measure.settings,
        limit=_SMOKED if trial.attempt.smoke else None,
        progress=lambda done, total: trial.attempt.watch(ReproductionProgress(said, done, total)),
    )
    interval = found.report.top1_interval_percent
    run = Run(
        seed=seed,
        top1_error_percent=found.report.top1_error_percent,
        low=interval.low,
        high=interval.high,
        num_samples=found.report.num_samples,
        misnamed=found.report.misnamed,
        forward_passes=found.num_passes,
        seconds=round(found.seconds, 2),
    )
    if kept is not None:
        write_record(kept, run.model_dump(mode="json"))
    return run


def _train_seconds(folder: Path) -> float:
    """What the epochs of a run took, evaluations and pauses left out."""
    records = read_metrics(folder / "timing.jsonl")
    return float(sum(each["seconds"] for each in records if each["record"] == "epoch"))


def _machine(folder: Path | None) -> Machine:
    """What a run was trained on, as it noted itself; without one, what measured just now."""
    precision, device, threads = "fp32", "cpu", torch.get_num_threads()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if folder is not None:
        run = RunFolder.open(folder)
        precision, device = run.recipe.precision, run.recipe.device
        threads, versions = run.facts["threads"], run.facts["versions"]
    return Machine(
        processor=_processor(),
        threads=threads,
        device=device,
        precision=precision,
        python=versions["python"],
        torch=versions["torch"],
        backbones=backbones.__version__,
    )


def _processor() -> str:
    """Its own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _write(row: Entry, measured: Measured, folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "measured.json": measured.model_dump_json(indent=2) + "\n",
        "measured.md": measured_text(row, measured),
    }
    for name, text in texts.items():
        write_atomic(folder / name, raw_bytes(text))
    chart = draw_measured(row, measured, folder / "measured.png")
    return (*(folder / name for name in texts), chart)


def draw_measured(row: Entry, measured: Measured, path: Path) -> Path:
    """Draw a row's figures beside what was printed.

    Args:
        row: of the ledger.
        measured: what was found.
        path: of the chart; its suffix decides the format.
    """
    lines = [
        DottedLine(
            figure.label,
            tuple(run.top1_error_percent for run in figure.runs),
            tuple((run.low, run.high) for run in figure.runs),
            tuple(number.top1_error_percent for number in row.printed_for(figure.label)),
        )
        for figure in measured.figures
    ]
    return draw_lines(lines, f"{row.id}: {row.data}", path)
