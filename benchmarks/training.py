"""How fast training is: this package's loop against the same networks in a plain loop.

    python benchmarks/training.py                 about 15 minutes on two cores
    python benchmarks/training.py --quick         about 2 minutes: that it works, not how fast
    python benchmarks/training.py --crossover     where bf16 begins to pay (compute.MACS_WORTH_BF16)

"ours" is the loop's own step with what `resolve` picks for this machine; "plain" is torchvision's
network (for NIN the tutorial's, for LeNet-5 the modern form) in the loop that everybody writes:
fp32, eager, default allocator. Both make the same steps, SGD with momentum, on the same random
images. Every measurement is a process of its own; the two sides take turns, and the order
changes from round to round. A ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEARNING_RATE = 0.001
TARGET = 2.5


@dataclass(frozen=True)
class Case:
    """One network to train.

    Args:
        name: in this package's catalog.
        peer: what plain code trains.
        batch_size: images a step.
        channels, px, classes: of the images.
        counted: in the geometric mean.
    """

    name: str
    peer: str
    batch_size: int
    channels: int = 3
    px: int = 224
    classes: int = 1000
    counted: bool = True


CASES = (
    Case("vgg11", "torchvision vgg11", 32),
    Case("vgg16_bn", "torchvision vgg16_bn", 16),
    Case("nin_fashion", "tutorial NIN", 128, channels=1, classes=10),
    Case("lenet5", "plain LeNet-5", 128, channels=1, px=32, classes=10, counted=False),
)


def tutorial_nin() -> nn.Module:
    """NIN for Fashion-MNIST as tutorial code writes it (1,992,166 parameters)."""

    def block(i: int, o: int, size: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.Conv2d(i, o, size, stride, padding), nn.ReLU(),
            nn.Conv2d(o, o, 1), nn.ReLU(),
            nn.Conv2d(o, o, 1), nn.ReLU(),
        ]  # fmt: skip

    return nn.Sequential(
        *block(1, 96, 11, 4, 2), nn.MaxPool2d(3, 2),
        *block(96, 256, 5, 1, 2), nn.MaxPool2d(3, 2),
        *block(256, 384, 3, 1, 1), nn.MaxPool2d(3, 2),
        *block(384, 10, 3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def plain_lenet() -> nn.Module:
    """LeNet-5 as plain code writes it (61,706 parameters)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def plain_network(case: Case) -> nn.Module:
    """What plain code trains."""
    if case.name == "nin_fashion":
        return tutorial_nin()
    if case.name == "lenet5":
        return plain_lenet()
    sys.path.insert(0, str(Path(__file__).parent))
    from peers import import_torchvision

    network: nn.Module = getattr(import_torchvision().models, case.name)()
    return network


def noise(case: Case, count: int) -> tuple[Tensor, Tensor]:
    """Random images and labels, the same for both sides."""
    numbers = torch.Generator().manual_seed(0)
    images = torch.randn(count, case.channels, case.px, case.px, generator=numbers)
    return images, torch.randint(case.classes, (count,), generator=numbers)


def plain_step(case: Case) -> Callable[[], object]:
    """The loop that everybody writes."""
    network = plain_network(case).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)
    images, labels = noise(case, case.batch_size)

    def step() -> float:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def our_step(case: Case, precision: str) -> Callable[[], object]:
    """This package's step, with what it picks for this machine."""
    from backbones import speed
    from backbones.data.pipeline import Batch
    from backbones.data.source import ArrayImages, Split
    from backbones.models import build
    from backbones.training.optim import train_mode
    from backbones.training.recipe import Optimizer, Recipe
    from backbones.training.resolve import resolve
    from backbones.training.schedule import StepPlan
    from backbones.training.settings import apply_settings
    from backbones.training.state import begin
    from backbones.training.step import train_step

    images, labels = noise(case, case.batch_size)
    array = np.zeros((case.batch_size, 2, 2, case.channels), dtype=np.uint8)
    classes = tuple(f"class {number}" for number in range(case.classes))
    split = Split("train", classes, labels.numpy(), ArrayImages(array, "random"))
    model = build(case.name, num_classes=case.classes, in_channels=case.channels, seed=0)
    recipe = Recipe(optimizer=Optimizer(lr=LEARNING_RATE), batch_size=case.batch_size)
    recipe = apply_settings(recipe, ["device=cpu", f"precision={precision}"])
    recipe = resolve(recipe, row=model.row, train=split)
    if recipe.large_buffers:
        speed.keep_large_buffers()

    class Train:  # what `begin` reads of a pipeline
        pass

    train = Train()
    train.split = split
    training = begin(model, recipe, StepPlan(1000, 10**9, 1000, 1000, case.batch_size), train)
    train_mode(model, training.frozen)
    # the pipeline hands images out in channels_last order
    batch = Batch(images.contiguous(memory_format=torch.channels_last), labels,
                  np.arange(case.batch_size))  # fmt: skip
    return lambda: train_step(training, batch, time.perf_counter())


def measure(case: Case, side: str, seconds: float, precision: str) -> dict[str, float]:
    """Images a second of one side, in this process."""
    step = plain_step(case) if side == "plain" else our_step(case, precision)
    step()
    step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return {
        "images_per_second": case.batch_size / statistics.median(times),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps": len(times),
    }


def measured_apart(
    case: Case, side: str, seconds: float, precision: str = "auto"
) -> dict[str, float]:
    """The same in a fresh process, so that allocator and threads of one side stay its own."""
    command = [sys.executable, __file__, "--child", case.name, "--side", side]
    command += ["--batch-size", str(case.batch_size), "--seconds", str(seconds)]
    command += ["--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case.name}, {side}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(rounds: int, seconds: float, quick: bool) -> dict[str, object]:
    """All cases, both sides in turn."""
    rows, ratios = [], []
    print(f"{'network':14}{'batch':>6}{'plain /s':>10}{'ours /s':>10}{'ratio':>7}  peak MB")
    for case in CASES:
        used = replace(case, batch_size=min(case.batch_size, 8)) if quick else case
        sides: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
        for number in range(rounds):
            order = ("plain", "ours") if number % 2 == 0 else ("ours", "plain")
            for side in order:
                sides[side].append(measured_apart(used, side, seconds))
        rate = {side: [found["images_per_second"] for found in sides[side]] for side in sides}
        ratio = statistics.median(
            ours / plain for ours, plain in zip(rate["ours"], rate["plain"], strict=True)
        )
        peak = {side: max(found["peak_mb"] for found in sides[side]) for side in sides}
        if used.counted:
            ratios.append(ratio)
        print(
            f"{used.name:14}{used.batch_size:6}{statistics.median(rate['plain']):10.1f}"
            f"{statistics.median(rate['ours']):10.1f}{ratio:7.2f}"
            f"  {peak['plain']:.0f} -> {peak['ours']:.0f}" + ("" if used.counted else "  (apart)"),
            flush=True,
        )
        rows.append({"network": used.name, "peer": used.peer, "batch_size": used.batch_size,
                     "ratio": ratio, "rounds": sides})  # fmt: skip
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
    print(f"geometric mean {mean:.2f}, target {TARGET}")
    return {"rows": rows, "geometric_mean": mean, "target": TARGET}


def crossover(seconds: float) -> dict[str, object]:
    """LeNet-5 and a small NIN in fp32 and bf16, from small steps to large ones."""
    from backbones.models import find_row

    rows = []
    print(f"{'network':14}{'batch':>6}{'MMACs':>9}{'fp32 /s':>10}{'bf16 /s':>10}{'ratio':>7}")
    small = Case("nin_cifar10", "", 1, px=32, classes=10)
    for case, sizes in ((CASES[-1], (16, 64, 256, 1024)), (small, (1, 2, 4, 8, 16))):
        macs = next(claim.value for claim in find_row(case.name)[1].claims if claim.name == "macs")
        for size in sizes:
            used = replace(case, batch_size=size)
            rate = {}
            for precision in ("fp32", "bf16", "fp32", "bf16"):
                found = measured_apart(used, "ours", seconds, precision)["images_per_second"]
                rate[precision] = max(found, rate.get(precision, 0.0))
            ratio = rate["bf16"] / rate["fp32"]
            print(
                f"{used.name:14}{size:6}{macs * size / 1e6:9.1f}"
                f"{rate['fp32']:10.1f}{rate['bf16']:10.1f}{ratio:7.2f}",
                flush=True,
            )
            rows.append({"network": used.name, "macs": macs * size, **rate})
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small batches, one round")
    parser.add_argument("--crossover", action="store_true", help="where bf16 begins to pay")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="auto", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        small = Case("nin_cifar10", "", 1, px=32, classes=10)
        case = next(case for case in (*CASES, small) if case.name == asked.child)
        case = replace(case, batch_size=asked.batch_size)
        print(json.dumps(measure(case, asked.side, asked.seconds, asked.precision)))
        return
    seconds = 1.0 if asked.quick else asked.seconds
    if asked.crossover:
        found = crossover(seconds)
    else:
        found = compare(1 if asked.quick else asked.rounds, seconds, asked.quick)
    if asked.json:
        conditions = {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        asked.json.write_text(json.dumps({"conditions": conditions, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
