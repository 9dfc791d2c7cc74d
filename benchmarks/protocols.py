"""VGG-16 on one picture whole, against crops of the same picture at the same precision.

    python benchmarks/protocols.py [--rounds 5] [--precision fp32,bf16] [--weights W] [--json FILE]

A picture of 512 x 384 px (Q = 384). "dense" is the whole picture and its mirror image with the
fully connected layers read as convolutions; "fifty" is the grid of 5 x 5 crops and their mirror
images; "ten" is AlexNet's ten crops. Every mode includes the softmax and its mean; cutting the
views is not timed. Modes alternate within each round, figures are medians, ratios medians of each
round's ratio. How far bf16 agrees with fp32 is told as the share of pictures (noise and shifted
ramps) whose first class is the same, and as the largest difference of a probability. Without
--weights the network is as initialised, which changes no time; agreement then says little about a
trained network.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.api.weights import open_bundle
from backbones.features.dense import dense
from backbones.models import build
from backbones.nn.evaluating import Network, evaluating
from backbones.protocols import views
from backbones.protocols.row import ShorterSide
from backbones.protocols.score import reduce
from backbones.protocols.table import find_protocol
from backbones.speed import has_bf16_units, keep_large_buffers

Q_PX = 384
MODES = {"dense": "vgg/dense_384", "ten": "alexnet/ten_crop", "fifty": "vgg/multicrop"}
AT_ONCE = 10  # crops in a batch


def view_batches(mode: str, picture: Tensor) -> list[Tensor]:
    """The views of a picture as the network takes them: two whole ones, or crops by tens."""
    row = replace(find_protocol(MODES[mode]), resize=(ShorterSide(px=Q_PX),))
    # the channels innermost, as an evaluation hands its pictures over
    found = [view.permute(1, 2, 0).contiguous().permute(2, 0, 1) for view in views(row, picture)]
    if mode == "dense":
        return [view[None] for view in found]
    return [
        torch.stack(found[at : at + AT_ONCE]).contiguous(memory_format=torch.channels_last)
        for at in range(0, len(found), AT_ONCE)
    ]


def answer(network: Network, batches: Sequence[Tensor]) -> Tensor:
    """Log-probabilities of one picture, (1, K); maps of scores are averaged over their places."""
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
    picture = torch.randn(3, Q_PX, 512, generator=torch.Generator().manual_seed(0))
    reader = dense(network)
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    batches = {mode: view_batches(mode, picture) for mode in MODES}
    format_: Any = "bf16" if precision == "bf16" else "fp32"
    with evaluating(network, format_) as crops, evaluating(reader, format_) as maps:
        asked = {mode: maps if mode == "dense" else crops for mode in MODES}
        for mode in MODES:
            answer(asked[mode], batches[mode][:1])  # the first call sets things up
        for _ in range(rounds):
            for mode in MODES:
                seconds[mode].append(timed(lambda m=mode: answer(asked[m], batches[m])))
    ratios = {
        f"dense_over_{mode}": statistics.median(
            slow / fast for slow, fast in zip(seconds[mode], seconds["dense"], strict=True)
        )
        for mode in ("fifty", "ten")
    }
    speeds = {mode: 1 / statistics.median(times) for mode, times in seconds.items()}
    return {"images_per_second": speeds, "ratio": ratios}


def agreement(network: nn.Module, count: int = 8) -> dict[str, float]:
    """How far a dense pass in bf16 agrees with one in fp32."""
    reader, same, largest = dense(network), 0, 0.0
    ramp = torch.linspace(-2, 2, 512)
    with evaluating(reader) as exact, evaluating(reader, "bf16") as rounded:
        for seed in range(count):
            noise = torch.randn(3, Q_PX, 512, generator=torch.Generator().manual_seed(seed))
            batches = view_batches("dense", noise * (seed / count) + ramp.roll(64 * seed))
            one, other = answer(exact, batches).exp(), answer(rounded, batches).exp()
            same += int(one.argmax() == other.argmax())
            largest = max(largest, float((one - other).abs().max()))
    return {"same_first_class": same / count, "largest_probability_difference": largest}


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="fp32,bf16" if has_bf16_units() else "fp32")
    parser.add_argument("--weights", help="a bundle of VGG-16, or an id of weights")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    keep_large_buffers()
    bundle = open_bundle(chosen.weights) if chosen.weights else None
    network = bundle.build() if bundle else build("vgg16", seed=0)
    network.eval()
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    print(f"VGG-16, 512 x {Q_PX} px, {found['threads']} threads, load {found['load']:.1f}")
    for precision in chosen.precision.split(","):
        figures = measure(network, precision, chosen.rounds)
        found[precision] = figures
        speeds = ", ".join(f"{mode} {v:.3f}" for mode, v in figures["images_per_second"].items())
        ratios = ", ".join(f"{name} {value:.2f}" for name, value in figures["ratio"].items())
        print(f"{precision}: images/s {speeds}; ratio {ratios}")
    if "bf16" in chosen.precision:
        found["bf16 against fp32"] = agreement(network)
        print("bf16 against fp32:", found["bf16 against fp32"])
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
