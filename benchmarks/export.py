"""The seven real networks in every format: exported, proven, verified again, and timed.

    python benchmarks/export.py [--networks resnet50 ...] [--to onnx openvino pt2] [--json FILE]

Each network has random weights (He's start, seed 0), and takes whole images (crops of float32 where
it is written for LiteRT). A row says how long `backbones export` took with its proof and `verify`
after it, the largest difference of a logit by the image's largest, on how many of the proof's
images every runtime has PyTorch's first class, and the images a second of every runtime that reads
the file: photos of 500 x 375 px in batches of 8, with their preprocessing, median of five.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import backbones
from backbones.exporting.parity import Batch
from backbones.exporting.session import Session
from backbones.exporting.targets import find_target, read_exported
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle, bundle_of

NETWORKS = (
    *("vgg16", "resnet50", "densenet121", "googlenet", "inception_v3", "efficientnet_b0"),
    "mobilenet_v1_100",
)
TARGETS = ("onnx", "openvino", "pt2")
BATCH, ROUNDS = 8, 5


def bundle(name: str) -> Bundle:
    """A network of a thousand classes with random weights, through which its images are told apart
    (with GoogLeNet's own start, which has no normalisation, all answers are nearly the same)."""
    network = build(name, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in (each for each in network.parameters() if each.dim() > 1):
        nn.init.kaiming_normal_(weight, generator=generator)
    size = network.row.input_px
    classes = tuple(f"class {number}" for number in range(1000))
    return bundle_of(network, classes=classes, spec=InputSpec(size, size * 8 // 7))


def rows(names: list[str], targets: list[str]) -> Iterator[dict[str, Any]]:
    """One a network and format."""
    for name in names:
        made = bundle(name)
        for target in targets:
            with tempfile.TemporaryDirectory() as folder:
                yield exported(made, target, Path(folder) / f"{name}{find_target(target).suffix}")


def exported(made: Bundle, target: str, path: Path) -> dict[str, Any]:
    """A network in a format."""
    start = time.perf_counter()
    layout = "tensor" if find_target(target).fixed else "image"
    done = backbones.export(made, path, to=target, layout=layout)
    written = time.perf_counter()
    again = backbones.verify_export(path, trust=True)
    verified = time.perf_counter()
    found = {
        "network": made.variant,
        "target": target,
        "bytes": done.bytes,
        "export_s": round(written - start, 1),
        "verify_s": round(verified - written, 1),
        "max_relative_diff": max(each.max_relative_diff for each in again.parity.runtimes),
        "max_pixel_diff": max(each.max_pixel_diff for each in again.parity.runtimes),
        "same_first_class": f"{again.parity.same_first_class} of {again.parity.images}",
    }
    model, description = read_exported(path)
    photos = np.random.default_rng(0).integers(0, 256, (BATCH, 375, 500, 3), dtype=np.uint8)
    size = made.spec.size
    batch = Batch(("photo",) * BATCH, photos, np.ascontiguousarray(photos[:, :size, :size]))
    fed = batch.fed(made.spec, description.form)
    found["images_per_s"] = {each.runtime: speed(each, fed) for each in model.sessions()}
    return found


def speed(session: Session, fed: Any) -> float:
    """Images a second."""
    session.run(fed)
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        session.run(fed)
        taken.append(time.perf_counter() - start)
    return round(BATCH / statistics.median(taken), 1)


def line(row: dict[str, Any]) -> str:
    """A row of a table in Markdown."""
    speeds = ", ".join(f"{name.split()[0]} {each}" for name, each in row["images_per_s"].items())
    cells = (
        *(row["network"], row["target"], f"{row['bytes'] / 1e6:.1f} MB"),
        *(f"{row['export_s']} s", f"{row['verify_s']} s", f"{row['max_relative_diff']:.1e}"),
        *(row["same_first_class"], speeds),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--to", nargs="+", default=list(TARGETS), help="litert needs its extra")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = []
    for row in rows(options.networks, options.to):
        found.append(row)
        sys.stdout.write(line(row) + "\n")
        sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
