"""Kill a training run at random moments, resume it, and compare its bits with an undisturbed run.

    python benchmarks/kills.py                20 kills of one run, about three minutes on two cores
    python benchmarks/kills.py --kills 5 --seed 7

Every kill is a SIGKILL of the real command line. Compared are the weights, the optimiser, the
average of the weights, the plateau schedule, the bundles and metrics.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backbones.training.checkpoint import read_checkpoint
from backbones.weights.bundle import read_bundle
from backbones.weights.sealed import tensors_sha256

COMMAND = (sys.executable, "-m", "backbones", "train")
RECIPE = (
    "digits", "--model", "lenet5", "--recipe", "digits",
    "--set", "length=120epochs", "--set", "schedule.kind=plateau", "--set", "schedule.patience=0",
    "--set", "schedule.gamma=0.5", "--set", "evaluate_every=1epochs",
    "--set", "checkpoint_every=10steps",
)  # fmt: skip


def state_of(run: Path) -> dict[str, str]:
    """SHA-256 of everything that has to be the same, by name."""
    tensors, facts = read_checkpoint(run / "checkpoint.safetensors")
    facts.pop("positions")  # lengths of files that hold times of day
    return {
        "weights": tensors_sha256(read_bundle(run / "last.safetensors").state),
        "best weights": tensors_sha256(read_bundle(run / "best.safetensors").state),
        "optimiser and average": tensors_sha256(tensors),
        "schedule and sums": hashlib.sha256(repr(facts).encode()).hexdigest(),
        "metrics.jsonl": hashlib.sha256((run / "metrics.jsonl").read_bytes()).hexdigest(),
    }


def killed_run(run: Path, kills: int, seed: int) -> list[int]:
    """Train into `run`, killed `kills` times on the way; returns the steps resumed from."""
    rng = random.Random(seed)
    steps = []
    for _ in range(kills):
        arguments = ("--resume", str(run)) if (run / "run.json").exists() else (
            *RECIPE, "--out", str(run)
        )  # fmt: skip
        before = (run / "metrics.jsonl").stat().st_size if run.exists() else 0
        process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.DEVNULL)
        metrics = run / "metrics.jsonl"
        # Training has begun again once the file grows, or shrinks to its checkpoint.
        while process.poll() is None and not (
            metrics.exists() and metrics.stat().st_size != before
        ):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.8))
        if process.poll() is not None:
            sys.exit("the run ended before all kills; give fewer --kills")
        process.kill()
        process.wait()
        checkpoint = run / "checkpoint.safetensors"
        steps.append(read_checkpoint(checkpoint)[1]["step"] if checkpoint.exists() else 0)
    subprocess.run([*COMMAND, "--resume", str(run)], check=True, stderr=subprocess.DEVNULL)
    return steps


def main() -> None:
    """Compare, print a table, and exit with 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        subprocess.run(
            [*COMMAND, *RECIPE, "--out", str(whole)], check=True, stderr=subprocess.DEVNULL
        )
        steps = killed_run(cut, chosen.kills, chosen.seed)
        print(f"{chosen.kills} kills; last checkpoint at each: {', '.join(map(str, steps))}")
        undisturbed, resumed = state_of(whole), state_of(cut)
    for name, value in undisturbed.items():
        verdict = "same" if resumed[name] == value else "DIFFERENT"
        print(f"{name:<24}{value[:16]}  {resumed[name][:16]}  {verdict}")
    sys.exit(undisturbed != resumed)


if __name__ == "__main__":
    main()
