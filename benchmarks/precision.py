"""Does bf16 learn what fp32 learns in the same epochs?

    python benchmarks/precision.py                        handwritten digits, about 10 minutes
    python benchmarks/precision.py --data fashion-mnist   8,000 images of it, about an hour
    python benchmarks/precision.py --quick                a minute: that it works

Each network is trained from the same seeds with both precisions and measured on all held-out
images. Said is the difference of the mean errors, and the 95 % interval of the mean difference
of two runs with one seed (Student's t): where that holds zero, the runs don't tell the two apart.
On a processor without bf16 units their rounding is reproduced; see `rounding.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rounding import AsOnBf16Units
from scipy import stats

from backbones import evaluate, train
from backbones.compute import has_bf16_units
from backbones.speed import keep_large_buffers


@dataclass(frozen=True)
class Case:
    """A network, and how it is trained.

    Args:
        model: in the catalog.
        epochs: on the digits, and on a larger set.
        settings: on top of the recipe.
    """

    model: str
    epochs: tuple[int, int]
    settings: tuple[str, ...] = ()


CASES = (
    Case("lenet5", (15, 5)),
    Case("nin_mnist", (30, 5), ("optimizer.lr=0.001", "augment.resize=32")),
    Case("vgg11_bn_narrow_nodropout", (15, 5), ("optimizer.lr=0.001", "input.size=32")),
    Case("vgg16_narrow", (30, 5), ("optimizer.lr=0.001", "input.size=32")),
)
LARGE = ("limit=8000", "batch_size=64")


def settings_of(case: Case, data: str, precision: str, seed: int, quick: bool) -> list[str]:
    """Everything that differs from the recipe."""
    large = data != "digits"
    epochs = 1 if quick else case.epochs[large]
    return [
        *(LARGE if large else ()),
        *case.settings,
        f"length={epochs}epochs",
        f"evaluate_every={epochs}epochs",
        f"precision={precision}",
        f"seed={seed}",
        "device=cpu",
    ]


def wrong(case: Case, data: str, precision: str, seed: int, quick: bool) -> tuple[int, int]:
    """(wrong answers, held-out images) of one run."""
    units: AbstractContextManager[object] = nullcontext()
    if precision == "bf16" and not has_bf16_units():
        units = AsOnBf16Units()
    settings = settings_of(case, data, precision, seed, quick)
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            data,
            model=case.model,
            recipe="digits" if data == "digits" else "fashion",
            settings=settings,
            out=Path(folder) / "run",
        )
        with units:
            for _ in run.records():
                pass
        report = evaluate(run.folder, data).report
    return round(report.top1_error_percent * report.num_samples / 100), report.num_samples


def compared(case: Case, data: str, seeds: int, quick: bool) -> dict[str, object]:
    """One network with both precisions, seed by seed."""
    counts: dict[str, list[int]] = {"fp32": [], "bf16": []}
    images = 0
    for seed in range(seeds):
        for precision, found in counts.items():
            mistakes, images = wrong(case, data, precision, seed, quick)
            found.append(mistakes)
            print(f"  {case.model} {precision} seed {seed}: {mistakes} of {images}", flush=True)
    errors = {name: 100 * statistics.fmean(found) / images for name, found in counts.items()}
    differences = [
        100 * (bf16 - fp32) / images
        for fp32, bf16 in zip(counts["fp32"], counts["bf16"], strict=True)
    ]
    low, high = interval(differences)
    print(
        f"{case.model}: fp32 {errors['fp32']:.2f} %, bf16 {errors['bf16']:.2f} %;"
        f" bf16 - fp32 {statistics.fmean(differences):+.2f} points"
        f" (95 % interval {low:+.2f} to {high:+.2f})",
        flush=True,
    )
    return {"network": case.model, "wrong": counts, "num_samples": images,
            "difference": statistics.fmean(differences), "interval": [low, high]}  # fmt: skip


def interval(differences: list[float]) -> tuple[float, float]:
    """Of the mean, 95 %; without end for a single one."""
    mean, count = statistics.fmean(differences), len(differences)
    if count < 2:
        return -math.inf, math.inf
    half = stats.t.ppf(0.975, count - 1) * statistics.stdev(differences) / math.sqrt(count)
    return mean - half, mean + half


def chosen(names: list[str]) -> Iterator[Case]:
    """The cases of these names; all where none is given."""
    return (case for case in CASES if not names or case.model in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="of " + ", ".join(c.model for c in CASES))
    parser.add_argument("--data", default="digits", help="a set's name or folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    keep_large_buffers()
    units = "bf16 units" if has_bf16_units() else "no bf16 units: their rounding is reproduced"
    print(f"{asked.data}; {torch.get_num_threads()} threads, {units}", flush=True)
    rows = [
        compared(case, asked.data, 1 if asked.quick else asked.seeds, asked.quick)
        for case in chosen(asked.networks)
    ]
    if asked.json:
        asked.json.write_text(json.dumps({"bf16_units": has_bf16_units(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
