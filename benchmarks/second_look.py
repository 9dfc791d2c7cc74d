"""How well `--precision auto` keeps its promise: what 64 sampled images say about all the others.

    python benchmarks/second_look.py WEIGHTS FOLDER [--images 450]

All images are answered in bf16 and in fp32. Then 64 of them are taken at random, 200 times, and
each time the second look that follows from these 64 is tried on all images: how many of the first
classes are those of fp32 in the end, and how many images were answered again. On a processor
without units for bf16 PyTorch imitates them, with the same rounding and slowly.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import backbones
from backbones.classifier.checked import SAMPLE
from backbones.classifier.inference import Inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.second_look import choose_second_look, near_ties
from backbones.classifier.source import source_of

TRIES = 200
USUAL_SHARE_AGAIN = 1 / 12  # what a quarter of the time pays for, where fp32 takes four times bf16


def answers(weights: str, files: list[Path], precision: str) -> Tensor:
    """Log-probabilities (N, K) of the images that can be read."""
    reader = backbones.open(weights, device="cpu", precision="exact", engine="torch")
    compute = replace(reader.compute, precision=precision)
    inference = Inference(reader.members, InferenceOptions(compute=compute))
    found = inference.answers(source_of(files), lambda done, total: print(f"\r{done}", end=""))
    return torch.stack([each.log_probabilities for each in found if each.error is None])


def line(fast: Tensor, exact: Tensor, wanted: float | None) -> str:
    """What comes of asking for a share of equal first classes."""
    generator = torch.Generator().manual_seed(0)
    most_again = USUAL_SHARE_AGAIN if wanted is None else 1.0
    differs = fast.argmax(1) != exact.argmax(1)
    equal, again = [], []
    for _ in range(TRIES):
        some = torch.randperm(len(fast), generator=generator)[:SAMPLE]
        look = choose_second_look(fast[some], exact[some], wanted, most_again)
        close = near_ties(fast, look.gap)
        equal.append(1 - float((differs & ~close).float().mean()))
        again.append(float(close.float().mean()))
    equals = torch.tensor(equal)
    asked = "not asked" if wanted is None else f"{wanted:.1%}"
    return (
        f"{asked:>10}  equal {equals.mean():.2%} (a tenth of the samples: at most"
        f" {equals.quantile(0.1):.2%}), answered again {sum(again) / TRIES:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=450)
    given = parser.parse_args()
    found = sorted(given.folder.rglob("*.jp*g"))
    files = found[:: max(1, len(found) // given.images)][: given.images]
    fast, exact = (answers(given.weights, files, precision) for precision in ("bf16", "fp32"))
    differs = float((fast.argmax(1) != exact.argmax(1)).float().mean())
    print(f"\r{len(fast)} images; bf16 alone: equal {1 - differs:.2%}")
    for wanted in (None, 0.99, 0.995, 0.999):
        print(line(fast, exact, wanted))


if __name__ == "__main__":
    main()
