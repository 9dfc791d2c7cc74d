"""How much of a GPU does training use, and what brings it there?

    python benchmarks/gpu.py            VGG-16 and ResNet-50, within ten minutes
    python benchmarks/gpu.py --smoke    tiny networks on the CPU: that the script works, no figures

Measured next to the device's own bf16 matrix product of 8192 x 8192, in one process: each row
adds one choice to the one above it. A training step is 3 forward passes' multiply-accumulates.
Batches lie on the device already; what loading adds is seen in a run's timing.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from backbones.compute import Compute
from backbones.models import build, find_row
from backbones.speed import time_passes
from backbones.text import to_json


@dataclass(frozen=True)
class Way:
    """One way to train; the fields are those of a recipe."""

    precision: str = "fp32"
    channels_last: bool = False
    fused: bool = False
    compiled: bool = False


WAYS = (
    Way(),
    Way("bf16"),
    Way("bf16", channels_last=True),
    Way("bf16", channels_last=True, fused=True),
    Way("bf16", channels_last=True, fused=True, compiled=True),
)


@dataclass(frozen=True)
class Bench:
    """What is measured where.

    Args:
        device: "cuda" or "cpu".
        names: of variants.
        batch_size: images.
        side: px, of the images.
        matrix: rows and columns of the product that is the peak.
        least_s: seconds to measure each figure for.
    """

    device: str
    names: tuple[str, ...]
    batch_size: int
    side: int
    matrix: int
    least_s: float

    def seconds(self, run: Callable[[], object]) -> float:
        return time_passes(run, self.device, least_s=self.least_s)

    def peak(self) -> float:
        """bf16 multiply-accumulates a second of one large product."""
        one = torch.randn(self.matrix, self.matrix, device=self.device, dtype=torch.bfloat16)
        return self.matrix**3 / self.seconds(lambda: one @ one)

    def macs(self, name: str) -> float:
        """Multiply-accumulates of one forward pass of one image, from the row's claim."""
        _, row = find_row(name)
        claim = next(claim.value for claim in row.claims if claim.name == "macs")
        return float(claim) * (self.side / row.input_px) ** 2

    def images(self, way: Way) -> torch.Tensor:
        shape = (self.batch_size, 3, self.side, self.side)
        return torch.randn(shape, device=self.device).contiguous(memory_format=_order(way))

    def training(self, name: str, way: Way) -> float:
        """Images a second."""
        network = build(name, seed=0).to(self.device)
        network.to(memory_format=_order(way))
        optimizer = torch.optim.SGD(
            network.parameters(), lr=1e-4, momentum=0.9, fused=way.fused or None
        )
        called = torch.compile(network) if way.compiled else network
        images = self.images(way)
        labels = torch.arange(self.batch_size, device=self.device) % 2

        def step() -> None:
            with _autocast(self.device, way):
                logits = called(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return self.batch_size / self.seconds(step)

    def inference(self, name: str, way: Way) -> float:
        """Images a second."""
        network: nn.Module = build(name, seed=0).eval().to(self.device)
        network.to(memory_format=_order(way))
        images = self.images(way)

        def answer() -> None:
            with torch.no_grad(), _autocast(self.device, way):
                network(images)

        return self.batch_size / self.seconds(answer)


GPU = Bench("cuda", ("vgg16", "resnet50"), 128, 224, 8192, 3.0)
SMOKE = Bench("cpu", ("vgg_tiny", "resnet_tiny"), 4, 32, 64, 0.0)


def _order(way: Way) -> torch.memory_format:
    return torch.channels_last if way.channels_last else torch.contiguous_format


def _autocast(device: str, way: Way) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=way.precision == "bf16")


def rows(bench: Bench) -> Iterator[dict[str, object]]:
    """A row a network, way and kind of work, as it is measured."""
    peak = bench.peak()
    yield {"what": "peak", "bf16_tmacs_per_s": round(peak / 1e12, 3)}
    for name in bench.names:
        for way in WAYS:
            if way.compiled and bench.device == "cpu":
                continue
            # fp32 without TF32, the kernels chosen by stopwatch, as with deterministic=false
            cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True)
            with cudnn, Compute(bench.device, way.precision, torch.get_num_threads()).running():
                found = {"training": bench.training(name, way)}
                if not (way.fused or way.compiled):
                    found["inference"] = bench.inference(name, way)
            for work, rate in found.items():
                passes = 3 if work == "training" else 1
                share = rate * passes * bench.macs(name) / peak
                figures = {"images_per_s": round(rate, 1), "share_of_peak": round(share, 4)}
                yield {"what": work, "network": name, **vars(way), **figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny, on the CPU; no figures")
    smoke = parser.parse_args().smoke
    if not smoke and not torch.cuda.is_available():
        print("no CUDA GPU here; this measures one (--smoke tries the script)", file=sys.stderr)
        return 2
    bench = SMOKE if smoke else GPU
    print(to_json({"device": "cpu" if smoke else torch.cuda.get_device_name()}))
    for row in rows(bench):
        shown = {key: value for key, value in row.items() if not smoke or "per_s" not in key}
        if smoke:
            shown.pop("share_of_peak", None)
        print(to_json(shown), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
