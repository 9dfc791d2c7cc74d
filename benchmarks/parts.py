"""How fast shards become parts: one worker, two, and Ray with as many, in interleaved rounds.

    python benchmarks/parts.py                          ResNet-18, 8 shards of 200 images
    python benchmarks/parts.py --network resnet_tiny --shards 4 --images 20 --rounds 1

Every way is the command itself, with one thread a worker. Images a second are counted from when
each worker has left its first part to the last part, by the times of the files; start-up is what
comes before the first part, less the time of a part. Memory is the largest sum of resident sets
of a way's processes, libraries that they share counted in each. CPU seconds are the work of all
processors, start-up included, and the cost of an image is one core's: other programs on the machine
change these little.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from PIL import Image

SIZE = (500, 375)  # ImageNet's usual one
COMMAND = (sys.executable, "-m", "backbones", "predict")


@dataclass(frozen=True)
class Way:
    """A way to have the work done: so many commands, and what each is told besides."""

    name: str
    commands: int
    workers: int
    more: tuple[str, ...] = ()


WAYS = (
    Way("1 worker", 1, 1),
    Way("2 workers", 2, 2),
    Way("Ray, 2 places", 1, 2, ("--cluster", "ray", "--address", "local")),
)


@dataclass(frozen=True)
class Figures:
    """What a way took in a round."""

    images_s: float
    start_s: float
    wall_s: float
    cpu_s: float
    rss_mb: float


def write_shards(folder: Path, shards: int, images: int) -> int:
    """Tar files of smooth noise with a photo's detail; gives their bytes."""
    rng, total = np.random.default_rng(0), 0
    photos = []
    for _ in range(40):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), np.int16)
        fine = fine + rng.normal(0, 10, fine.shape).astype(np.int16)
        file = io.BytesIO()
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        photos.append(file.getvalue())
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as archive:
            for number in range(images):
                data = photos[number % len(photos)]
                member = tarfile.TarInfo(f"{number:05d}.jpg")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
                total += len(data)
    return total


def write_bundle(network: str, path: Path) -> None:
    """Fresh weights: what they say takes as long as what trained ones say."""
    from backbones.models import build, find_row
    from backbones.spec import InputSpec
    from backbones.weights.bundle import bundle_of
    from backbones.weights.bundle import write_bundle as write

    row = find_row(network)[1]
    classes = tuple(f"class {number}" for number in range(row.num_classes))
    size = int(row.input_px)
    spec = InputSpec(size=size, resize=size * 8 // 7)
    write(path, bundle_of(build(network, seed=0), classes=classes, spec=spec))


def run(way: Way, bundle: Path, shards: Path, out: Path, images: int) -> Figures:
    """Have it done once."""
    command = [*COMMAND, str(bundle), f"{shards}/*.tar", "--out", f"{out}/", "--threads", "1"]
    began = time.time()
    running = [subprocess.Popen([*command, *way.more, "-q"]) for _ in range(way.commands)]
    largest, cpu = 0, dict[int, float]()
    while any(each.poll() is None for each in running):
        there = [process for each in running for process in family(each.pid)]
        largest = max(largest, sum(resident for _, resident, _ in there))
        cpu |= {pid: taken for pid, _, taken in there}
        time.sleep(0.2)
    wall_s = time.time() - began
    assert all(each.returncode == 0 for each in running), [each.returncode for each in running]
    times = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    rate = (len(times) - way.workers) * images / (times[-1] - times[way.workers - 1])
    start_s = times[0] - began - images / (rate / way.workers)
    return Figures(rate, start_s, wall_s, sum(cpu.values()), largest / 2**20)


def family(pid: int) -> list[tuple[int, int, float]]:
    """A process and all below it: number, resident bytes, seconds of processors' work so far."""
    found = []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                taken = each.cpu_times()
                found.append((each.pid, each.memory_info().rss, taken.user + taken.system))
    return found


def cost_of_an_image(bundle: Path, shard: Path) -> dict[str, float]:
    """Milliseconds of one core's work, a step each: read, decode and cut, the engine."""
    import torch

    import backbones
    from backbones.classifier.archives import images_in
    from backbones.classifier.checked import inference_of
    from backbones.classifier.inputs import find_inputs
    from backbones.classifier.options import InferenceOptions
    from backbones.classifier.source import input_source

    torch.set_num_threads(1)
    reader = backbones.open(bundle, device="cpu", threads=1)
    inference = inference_of(reader.members, InferenceOptions(compute=reader.compute, workers=0))
    blocks = list(input_source(find_inputs([shard])).blocks(1))
    inference.answer(map(inference.prepare, blocks[:64]))  # the program is built
    marks = [time.process_time()]
    for each in images_in(shard):
        each.read()
    marks.append(time.process_time())
    prepared = [inference.prepare(block) for block in blocks]
    marks.append(time.process_time())
    inference.answer(prepared)
    marks.append(time.process_time())
    steps = zip(("read", "decode", "engine"), marks, marks[1:], strict=False)
    return {name: 1000 * (end - start) / len(blocks) for name, start, end in steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    found: dict[str, list[Figures]] = {way.name: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle, shards = root / "network.safetensors", root / "shards"
        shards.mkdir()
        write_bundle(chosen.network, bundle)
        total = write_shards(shards, chosen.shards, chosen.images)
        print(f"{total / (chosen.shards * chosen.images) / 1000:.0f} KB an image of {SIZE}")
        for name, ms in cost_of_an_image(bundle, shards / "000.tar").items():
            print(f"{name:<8}{ms:8.2f} ms of one core an image")
        for number in range(chosen.rounds):
            for way in WAYS:
                out = root / f"{number} {way.name}"
                took = run(way, bundle, shards, out, chosen.images)
                print(f"round {number}: {way.name}: {took}", file=sys.stderr, flush=True)
                found[way.name].append(took)
    print(f"load of the machine: {psutil.getloadavg()[0]:.1f} of {psutil.cpu_count()} cores")
    print(f"{'way':<16}{'images/s':>10}{'start s':>9}{'wall s':>9}{'CPU s':>9}{'RSS MB':>9}")
    for name, rounds in found.items():
        columns = zip(*(astuple(each) for each in rounds), strict=True)
        print(f"{name:<16} " + "".join(f"{median(column):>9.1f}" for column in columns))


if __name__ == "__main__":
    main()
