"""Training images from shards against the folder that they were packed from, and from S3.

    python benchmarks/shards.py [--images 600] [--rounds 15] [--size 16MB] [--json FILE]

Images: JPEGs of about 500 px, cut from the photos that scikit-learn brings along. S3 is moto's
server in a process of its own on this machine (it reads a whole object for every part that is
asked for, so the shards are kept small). Each contender prepares every image once a round, with
the same augmentation; they alternate within each round, in another order each time. Figures are
medians of images per second, ratios medians of each round's ratio to the folder (or to the same
shards here).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.data.augment import Augment
from backbones.data.pack import pack_data
from backbones.data.pipeline import Pipeline
from backbones.data.sets import open_data
from backbones.data.source import Split
from backbones.spec import InputSpec

SPEC = InputSpec(size=224, resize=256)
AUGMENT = Augment(crop="random_resized", flip=0.5)
BATCH = 32


def make_photos(folder: Path, count: int) -> None:
    """Pieces of two photos, 420 to 500 px wide, in ten classes."""
    from sklearn.datasets import load_sample_images

    wholes = [Image.fromarray(image) for image in load_sample_images().images]
    rng = np.random.default_rng(0)
    for number in range(count):
        whole = wholes[number % 2]
        width, height = int(rng.integers(420, 501)), int(rng.integers(320, 421))
        left = int(rng.integers(0, whole.width - width + 1))
        top = int(rng.integers(0, whole.height - height + 1))
        path = folder / str(number % 10) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.crop((left, top, left + width, top + height)).save(path, quality=90)


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """A bucket of moto's server; gives its address."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as server:  # type: ignore[call-overload]
        endpoint = f"http://127.0.0.1:{port}"
        os.environ.update(
            AWS_ACCESS_KEY_ID="testing",
            AWS_SECRET_ACCESS_KEY="testing",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ENDPOINT_URL=endpoint,
        )
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(endpoint).close()
                break
            time.sleep(0.2)
        boto3.client("s3").create_bucket(Bucket="shards")
        try:
            yield "s3://shards"
        finally:
            server.terminate()


def seconds_an_epoch(split: Split, epoch: int) -> float:
    """How long the images of an epoch take, threads started before."""
    pipeline = Pipeline(split, SPEC, batch_size=BATCH, augment=AUGMENT)
    pipeline.prepare()
    begin = time.perf_counter()
    count = sum(len(batch.images) for batch in pipeline.epoch(epoch))
    taken = time.perf_counter() - begin
    pipeline.close()
    assert count == len(split)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", default="16MB")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_server() as bucket:
        folder = Path(name)
        os.environ["BACKBONES_CACHE"] = str(folder / "cache")
        make_photos(folder / "photos", asked.images)
        places: dict[str, str] = {"folder": str(folder / "photos")}
        for kind in ("tar", "parquet"):
            for label, out in ((kind, f"{folder}/{kind}"), (f"{kind}, S3", f"{bucket}/{kind}")):
                pack_data(folder / "photos", out, format=kind, size=asked.size)  # type: ignore[arg-type]
                places[label] = out
        splits, opening = {}, {}
        for label, place in places.items():
            begin = time.perf_counter()
            splits[label] = open_data(place, val_fraction=0).split("train")
            opening[label] = time.perf_counter() - begin
        rates: dict[str, list[float]] = {label: [] for label in splits}
        for number in range(asked.rounds + 1):
            for label in np.random.default_rng(number).permutation(list(splits)).tolist():
                split = splits[label]
                rate = asked.images / seconds_an_epoch(split, number)
                if number:  # the first round warms up
                    rates[label].append(rate)
    report(rates, opening, asked.json)


def report(rates: dict[str, list[float]], opening: dict[str, float], to: Path | None) -> None:
    """Print the medians, and write them where that is asked for."""
    rows = []
    for label, each in rates.items():
        beside = rates[label.removesuffix(", S3")] if ", S3" in label else rates["folder"]
        ratio = statistics.median(a / b for a, b in zip(each, beside, strict=True))
        rows.append((label, statistics.median(each), ratio, opening[label]))
        other = "here" if ", S3" in label else "folder"
        print(f"{label:14} {rows[-1][1]:7.0f} images/s  {ratio:5.2f} of {other:6}"
              f"  opened in {opening[label]:.2f} s")  # fmt: skip
    if to is not None:
        about = {"machine": platform.processor(), "cores": os.cpu_count(), "rates": rates}
        to.write_text(json.dumps({**about, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
