"""A network on one image whole, against crops of the same image at the same precision.

    python benchmarks/protocols.py [--rounds 5] [--precision fp32,bf16] [--json FILE]
    python benchmarks/protocols.py --weights ID_OR_BUNDLE --images FOLDER

Timed is one image of 512 x 384 px (Q = 384). "dense" is the whole image and its mirror image
with the fully connected layers read as convolutions; "fifty" is the grid of 5 x 5 crops and their
mirror images; "ten" is AlexNet's ten crops. Every mode includes the softmax and its mean; cutting
the views is not timed. Modes alternate within each round, figures are medians, ratios medians of
each round's ratio. The network is VGG-16 as initialised, which changes no time.

How far bf16 agrees with fp32 is told for every mode: the share of images whose first class is the
same, the mean and the largest difference of a probability. Without --images these are noise,
and without --weights the answers are those of a network that has learned nothing. bf16 is timed
only where the processor has units for it; elsewhere their rounding is reproduced (`rounding.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounding import AsOnBf16Units
from torch import Tensor, nn

from backbones.classifier.assembly import Member
from backbones.classifier.held_out import Wanted, images_for_all
from backbones.classifier.inference import run_inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.source import split_source
from backbones.compute import choose_compute, has_bf16_units
from backbones.data.source import ArrayImages, Split
from backbones.features.dense import dense
from backbones.models import build
from backbones.nn.evaluating import Network, evaluating
from backbones.protocols import views
from backbones.protocols.row import ShorterSide
from backbones.protocols.score import reduce
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec
from backbones.speed import keep_large_buffers
from backbones.weights.opening import open_bundle

Q_PX = 384
MODES = {"dense": "vgg/dense_384", "ten": "alexnet/ten_crop", "fifty": "vgg/multicrop"}
AT_ONCE = 10  # crops in a batch


def view_batches(mode: str, image: Tensor) -> list[Tensor]:
    """The views of an image as the network takes them: two whole ones, or crops by tens."""
    row = replace(find_protocol(MODES[mode]), resize=(ShorterSide(px=Q_PX),))
    # the channels innermost, as an evaluation hands its images over
    found = [view.permute(1, 2, 0).contiguous().permute(2, 0, 1) for view in views(row, image)]
    if mode == "dense":
        return [view[None] for view in found]
    return [
        torch.stack(found[at : at + AT_ONCE]).contiguous(memory_format=torch.channels_last)
        for at in range(0, len(found), AT_ONCE)
    ]


def answered(network: Network, batches: Sequence[Tensor]) -> Tensor:
    """Log-probabilities of one image, (1, K); maps of scores are averaged over their places."""
    scores = [network(batch) for batch in batches]
    rows = [each.mean((2, 3)) if each.dim() == 4 else each for each in scores]
    return reduce(torch.cat(rows)[None])


def timed(work: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(network: nn.Module, precision: str, rounds: int) -> dict[str, dict[str, float]]:
    """Images per second of every mode, and how many times the crops' that of dense is."""
    image = torch.randn(3, Q_PX, 512, generator=torch.Generator().manual_seed(0))
    reader = dense(network)
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    batches = {mode: view_batches(mode, image) for mode in MODES}
    format_: Any = "bf16" if precision == "bf16" else "fp32"
    with evaluating(network, format_) as crops, evaluating(reader, format_) as maps:
        asked = {mode: maps if mode == "dense" else crops for mode in MODES}
        for mode in MODES:
            answered(asked[mode], batches[mode][:1])  # the first call sets things up
        for _ in range(rounds):
            for mode in MODES:
                seconds[mode].append(timed(lambda m=mode: answered(asked[m], batches[m])))
    ratios = {
        f"dense_over_{mode}": statistics.median(
            slow / fast for slow, fast in zip(seconds[mode], seconds["dense"], strict=True)
        )
        for mode in ("fifty", "ten")
    }
    speeds = {mode: 1 / statistics.median(times) for mode, times in seconds.items()}
    return {"images_per_second": speeds, "ratio": ratios}


def noise(count: int) -> Split:
    """Images of nothing."""
    numbers = np.random.default_rng(0)
    grey = numbers.integers(0, 256, (count, Q_PX, 512, 3), dtype=np.uint8)
    return Split("test", ("nothing",), np.zeros(count, np.int64), ArrayImages(grey, "noise"))


def agreement(network: nn.Module, spec: InputSpec, split: Split, mode: str) -> dict[str, float]:
    """How far bf16 agrees with fp32 on the images of a split."""
    row = replace(find_protocol(MODES[mode]), resize=(ShorterSide(px=Q_PX),))
    with torch.no_grad():
        outputs = network(torch.zeros(1, spec.channels, spec.size, spec.size)).shape[1]
    member = Member(lambda: network, spec, tuple(map(str, range(outputs))))

    def answered_in(precision: str) -> Any:
        options = InferenceOptions(row, AT_ONCE, choose_compute("cpu", precision))
        return run_inference([member], split_source(split), options).log_probabilities

    exact = answered_in("fp32")
    with nullcontext() if has_bf16_units() else AsOnBf16Units():
        rounded = answered_in("bf16")
    differences = np.abs(np.exp(exact) - np.exp(rounded)).max(axis=1)
    return {
        "images": len(exact),
        "same_first_class": float((exact.argmax(1) == rounded.argmax(1)).mean()),
        "mean_probability_difference": float(differences.mean()),
        "largest_probability_difference": float(differences.max()),
    }


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="0 times nothing")
    parser.add_argument("--precision", default="fp32,bf16", help="with bf16, its agreement too")
    parser.add_argument("--weights", help="a bundle, or an id of weights; VGG-16 if left out")
    parser.add_argument("--images", help="data whose images bf16 and fp32 answer; else noise")
    parser.add_argument("--limit", type=int, default=8, help="so many images of them")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if chosen.images and not chosen.weights:
        parser.error("--images wants --weights: a network that learned nothing knows no images")
    keep_large_buffers()
    bundle = open_bundle(chosen.weights) if chosen.weights else None
    network = (bundle.build() if bundle else build("vgg16", seed=0)).eval()
    precisions = chosen.precision.split(",")
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    print(f"{chosen.weights or 'VGG-16'}, {found['threads']} threads, load {found['load']:.1f}")
    for precision in precisions if chosen.rounds else ():
        if precision == "bf16" and not has_bf16_units():
            print("bf16: not timed, this processor has no units for it")
            continue
        figures = measure(network, precision, chosen.rounds)
        found[precision] = figures
        speeds = ", ".join(f"{mode} {v:.3f}" for mode, v in figures["images_per_second"].items())
        ratios = ", ".join(f"{name} {value:.2f}" for name, value in figures["ratio"].items())
        print(f"{precision}: images/s {speeds}; ratio {ratios}", flush=True)
    if "bf16" in precisions:
        split = noise(chosen.limit)
        if bundle and chosen.images:
            member = Member(bundle.build, bundle.spec, bundle.classes)
            _, split = images_for_all([bundle], [member], Wanted(chosen.images))
            split = split.take(list(range(0, len(split), max(1, len(split) // chosen.limit))))
        spec = bundle.spec if bundle else InputSpec(size=224, resize=256)
        agreeing = found["bf16 against fp32"] = {}
        for mode in MODES:
            agreeing[mode] = agreement(network, spec, split, mode)
            told = ", ".join(f"{name} {value:.4g}" for name, value in agreeing[mode].items())
            print(f"bf16 against fp32, {mode}: {told}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
