"""One process with two threads beside two processes with one thread each: a training step's pace.

    python benchmarks/scaling.py [--model resnet18] [--image-size 64] [--batch 64] [--rounds 5]

Both do the same steps on the same images, one after the other, so that what else the machine does
meets both. A round's figure is the median of its steps. Beside them stand the sum of gradients
alone and what `backbones plan` makes of it: the peak is what the one process reached, the bandwidth
that of the sum alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch
import torch.distributed as dist

from backbones import Hardware, plan
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.models import build
from backbones.ranks import current
from backbones.spec import InputSpec
from backbones.training.loop import plan_of
from backbones.training.recipe import Recipe
from backbones.training.settings import apply_settings
from backbones.training.state import begin
from backbones.training.step import train_step

STEPS, WARM = 12, 3
WAYS = {"1 process x 2 threads": (1, 2), "2 processes x 1 thread": (2, 1)}


def worker(model: str, size: int, batch: int) -> None:
    """Time steps, and the sum of as many numbers as there are gradients; the first rank says it."""
    ranks = current()
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (batch * 4, size, size, 3), dtype=np.uint8)
    labels = numbers.integers(0, 10, len(pixels))
    split = Split("train", tuple("abcdefghij"), labels, ArrayImages(pixels, "noise"))
    recipe = apply_settings(
        Recipe(device="cpu", precision="fp32", channels_last=True, large_buffers=True),
        [f"model={model}", f"batch_size={batch}", "length=100epochs"],
    )
    augment = recipe.augment.model_copy(update={"resize": size})
    spec = InputSpec(size=size, resize=size)
    batches = Pipeline(split, spec, batch_size=batch, augment=augment, workers=0, ranks=ranks)
    network = build(model, 10).train()
    training = begin(network, recipe, plan_of(recipe, batches), batches, ranks)
    seconds: list[float] = []
    while len(seconds) < STEPS:
        for each in batches.epoch(len(seconds)):
            began = time.perf_counter()
            train_step(training, each, began)
            seconds.append(time.perf_counter() - began)
    gradients = torch.zeros(sum(p.numel() for p in network.parameters()))
    sums = [_seconds_of_sum(gradients) for _ in range(5)] if not ranks.alone else [0.0]
    if ranks.first:
        print(json.dumps({"step_s": median(seconds[WARM:]), "sum_s": median(sums)}))


def _seconds_of_sum(gradients: torch.Tensor) -> float:
    dist.barrier()
    began = time.perf_counter()
    dist.all_reduce(gradients)
    return time.perf_counter() - began


def measured(way: str, arguments: list[str]) -> dict[str, float]:
    """One round of one way."""
    processes, threads = WAYS[way]
    command = [sys.executable, __file__, "--worker", *arguments]
    if processes > 1:
        starter = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command = [sys.executable, *starter, *command[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", action="store_true")
    chosen = parser.parse_args()
    if chosen.worker:
        worker(chosen.model, chosen.image_size, chosen.batch)
        return
    asked = ["--model", chosen.model, "--batch", str(chosen.batch)]
    asked += ["--image-size", str(chosen.image_size)]
    rounds = [{way: measured(way, asked) for way in WAYS} for _ in range(chosen.rounds)]
    one, two = ([each[way]["step_s"] for each in rounds] for way in WAYS)
    sum_s = median(each["2 processes x 1 thread"]["sum_s"] for each in rounds)
    for way, steps in zip(WAYS, (one, two), strict=True):
        print(f"{way}: {chosen.batch / median(steps):,.1f} images/s, step {median(steps):.3f} s")
    ratio = median(a / b for a, b in zip(one, two, strict=True))
    print(f"two processes reach {ratio:.2f} of the one (median of {len(rounds)} pairs)")
    print(f"the sum of gradients alone: {1000 * sum_s:.1f} ms")
    shape = (3, chosen.image_size, chosen.image_size)
    alone = plan(chosen.model, shape, batch=chosen.batch, hardware=Hardware(1.0, 1.0))
    # half the peak of the machine's two cores for each process
    peak = alone.step_s / median(one) / 2
    sent = alone.gradient_bytes / sum_s / 1e9  # with two processes 2 (N - 1) / N is 1
    planned = plan(
        chosen.model, shape, gpus=2, batch=chosen.batch, hardware=Hardware(peak, 1.0, sent)
    )
    print(f"backbones plan says {planned.step_s:.3f} s of two, at {sent:.2f} GB/s")


if __name__ == "__main__":
    main()
