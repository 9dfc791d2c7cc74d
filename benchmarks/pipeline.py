"""Our input pipeline against torchvision's ImageFolder and DataLoader, in one run.

    python benchmarks/pipeline.py [--quick] [--data DIR] [--only small,large,fashion] [--json FILE]

Images: a folder of small photos (`cats-dogs` below --data) and 3000 x 2000 JPEGs that this
script makes. The same augmentation on both sides; modes alternate within each round, figures are
medians of images per second, ratios are medians of each round's ratio. Pixel differences are
grey levels of 0..255 against Pillow on the same crops. Fashion-MNIST (below --data): seconds per
epoch, the loader alone and with LeNet-5's training step.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import import_torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from backbones.data.augment import Augment, framing_of, sample_params
from backbones.data.geometry import evaluation_framing
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, FileImages, Split
from backbones.spec import InputSpec
from backbones.speed import keep_large_buffers

SPEC = InputSpec(size=224, resize=256)
BATCH = 32
MODES: dict[str, Augment | None] = {
    "evaluate": None,
    "random resized crop": Augment(crop="random_resized", flip=0.5),
    "scale jitter 256..512": Augment(resize=(256, 512), flip=0.5),
}
DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Contender:
    """Something that is timed: `run` prepares every image once and returns how many."""

    name: str
    run: Callable[[], int]
    close: Callable[[], None]


# --- images -----------------------------------------------------------------------------------


def make_photos(folder: Path, count: int) -> None:
    """JPEGs of 3000 x 2000 px and about 900 KB: soft shapes with detail at every scale."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = np.zeros((2000, 3000, 3), dtype=np.float32)
        for cells, strength in ((3, 90.0), (12, 50.0), (60, 25.0), (300, 12.0), (1000, 5.0)):
            noise = rng.normal(0, strength, (cells * 2 // 3, cells, 3)).astype(np.float32)
            for channel in range(3):
                plane = Image.fromarray(noise[:, :, channel])
                image[:, :, channel] += np.asarray(plane.resize((3000, 2000), 3))
        path = folder / "ab"[number % 2] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray((image + 128).clip(0, 255).astype(np.uint8))
        photo.save(path, quality=90)


def folder_split(folder: Path, limit: int | None) -> Split:
    """Class folders as a split; the same files that ImageFolder finds."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.jpg"))
    if limit is not None:
        paths = paths[:: max(1, len(paths) // limit)][:limit]
    classes = tuple(sorted({path.split("/")[0] for path in paths}))
    labels = np.array([classes.index(path.split("/")[0]) for path in paths], dtype=np.int64)
    return Split("train", classes, labels, FileImages(folder, tuple(paths)))


# --- contenders ---------------------------------------------------------------------------------


def ours(name: str, split: Split, augment: Augment | None, cache: Path | None) -> Contender:
    pipeline = Pipeline(split, SPEC, batch_size=BATCH, augment=augment, cache=cache)
    pipeline.prepare()
    epochs = iter(range(10**6))

    def run() -> int:
        return sum(len(batch.images) for batch in pipeline.epoch(next(epochs)))

    return Contender(name, run, pipeline.close)


def theirs(split: Split, mode: str, workers: int) -> Contender:
    tv = import_torchvision()
    from torchvision.datasets import ImageFolder

    transforms = tv.transforms
    tail = [transforms.ToTensor(), transforms.Normalize(SPEC.mean, SPEC.std)]
    flip = transforms.RandomHorizontalFlip()

    def jitter(image: Image.Image) -> Image.Image:
        side = int(torch.randint(256, 513, ()).item())
        return tv.transforms.functional.resize(image, side)

    steps: dict[str, list[Any]] = {
        "evaluate": [transforms.Resize(256), transforms.CenterCrop(224)],
        "random resized crop": [transforms.RandomResizedCrop(224), flip],
        "scale jitter 256..512": [transforms.Lambda(jitter), transforms.RandomCrop(224), flip],
    }
    assert isinstance(split.images, FileImages)
    wanted = {str(split.images.root / path) for path in split.images.paths}
    images = ImageFolder(
        split.images.root,
        transforms.Compose(steps[mode] + tail),
        is_valid_file=lambda path: path in wanted,
    )
    loader = DataLoader(
        images,
        batch_size=BATCH,
        shuffle=mode != "evaluate",
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return _loader_contender(f"torchvision, {workers} workers", loader)


def _loader_contender(name: str, loader: DataLoader[Any]) -> Contender:
    def close() -> None:
        loader._iterator = None  # ends persistent workers

    return Contender(name, lambda: sum(len(images) for images, _ in loader), close)


def race(contenders: list[Contender], rounds: int) -> dict[str, list[float]]:
    """Images per second of each, round by round, after one round that does not count."""
    speeds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        for contender in contenders:
            began = time.perf_counter()
            count = contender.run()
            if number:
                speeds[contender.name].append(count / (time.perf_counter() - began))
    for contender in contenders:
        contender.close()
    return speeds


# --- pixels -------------------------------------------------------------------------------------


def pixel_differences(
    split: Split, augment: Augment | None, cache: Path | None, limit: int
) -> dict[str, float]:
    """Mean, worst image's mean, and largest difference from Pillow on the same crops."""
    chosen = split.take(range(min(limit, len(split))))
    pipeline = Pipeline(split, SPEC, batch_size=BATCH, augment=augment, cache=cache)
    means, largest = [], 0.0
    mean, std = (np.array(values) for values in (SPEC.mean, SPEC.std))
    seen = 0
    for batch in pipeline.epoch(0):
        drawn = None if augment is None else sample_params(augment, 0, 0, batch.indices)
        for row, index in enumerate(batch.indices.tolist()):
            ours = batch.images[row].permute(1, 2, 0).numpy() * std + mean
            reference = _by_pillow(split, index, augment, drawn, row)
            difference = np.abs(ours * 255 - reference)
            means.append(float(difference.mean()))
            largest = max(largest, float(difference.max()))
            seen += 1
        if seen >= len(chosen):
            break
    pipeline.close()
    worst = max(means)
    return {"mean": statistics.mean(means), "worst_mean": worst, "max": round(largest)}


def _by_pillow(split: Split, index: int, augment: Augment | None, drawn: Any, row: int) -> Any:
    assert isinstance(split.images, FileImages)
    with Image.open(split.images.path(index)) as file:
        image = file.convert("RGB")
    if augment is None:
        framing = evaluation_framing(*image.size, SPEC.resize, SPEC.size)
    else:
        framing = framing_of(augment, drawn, row, *image.size, SPEC.size)
    left, top, width, height = framing.cut
    image = image.crop((left, top, left + width, top + height))
    image = image.resize(framing.resized, Image.Resampling.BILINEAR)
    left, top, width, height = framing.window
    image = image.crop((left, top, left + width, top + height))  # outside is black
    if drawn is not None and drawn.flip[row]:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, dtype=np.float64)


# --- photos -------------------------------------------------------------------------------------


def photo_rows(label: str, split: Split, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    for mode, augment in MODES.items():
        contenders = [
            theirs(split, mode, 2),
            theirs(split, mode, 4),
            ours("ours", split, augment, None),
            ours("ours, cache", split, augment, folder / "cache"),
        ]
        speeds = race(contenders, rounds)
        baseline = speeds["torchvision, 2 workers"]
        for contender in contenders:
            ratios = [a / b for a, b in zip(speeds[contender.name], baseline, strict=True)]
            row: dict[str, Any] = {
                "set": label,
                "mode": mode,
                "who": contender.name,
                "images_per_s": statistics.median(speeds[contender.name]),
                "ratio": statistics.median(ratios),
            }
            if contender.name.startswith("ours"):
                cache = folder / "cache" if "cache" in contender.name else None
                row |= pixel_differences(split, augment, cache, 96)
            yield row


# --- Fashion-MNIST ------------------------------------------------------------------------------

SMALL_SPEC = InputSpec(size=32, resize=32, channels=1, mean=(0.2860,), std=(0.3530,))


class TorchvisionStyle(Dataset[Any]):
    """What torchvision's FashionMNIST does with each image."""

    def __init__(self, images: Any, labels: Any) -> None:
        transforms = import_torchvision().transforms
        self.images, self.labels = images, labels
        tail = [transforms.ToTensor(), transforms.Normalize(SMALL_SPEC.mean, SMALL_SPEC.std)]
        self.transform = transforms.Compose([transforms.Resize(32), *tail])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def lenet5() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def _trained(batches: Callable[[], Iterator[Any]], step: bool) -> Callable[[], int]:
    model = lenet5()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    def run() -> int:
        count = 0
        for images, labels in batches():
            count += len(images)
            if step:
                loss = nn.functional.cross_entropy(model(images), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return count

    return run


def fashion_rows(folder: Path, rounds: int, quick: bool) -> Iterator[dict[str, Any]]:
    raw = [
        np.frombuffer(gzip.decompress((folder / name).read_bytes()), dtype=np.uint8, offset=offset)
        for name, offset in (("train-images-idx3-ubyte.gz", 16), ("train-labels-idx1-ubyte.gz", 8))
    ]
    images, labels = raw[0].reshape(-1, 28, 28).copy(), raw[1].astype(np.int64)
    if quick:
        images, labels = images[:12000], labels[:12000]
    classes = tuple("0123456789")
    split = Split("train", classes, labels, ArrayImages(images[..., None], "fashion-mnist"))
    for step in (False, True):
        pipeline = Pipeline(
            split, SMALL_SPEC, batch_size=256, augment=Augment(resize=32, crop="centre")
        )
        loader = DataLoader(
            TorchvisionStyle(images, labels),
            batch_size=256,
            shuffle=True,
            num_workers=4,
            persistent_workers=True,
        )

        def batches(pipeline: Pipeline = pipeline) -> Iterator[Any]:
            return ((batch.images, batch.labels) for batch in pipeline.epoch(0))

        close = _loader_contender("", loader).close
        contenders = [
            Contender("DataLoader, 4 workers", _trained(loader.__iter__, step), close),
            Contender("ours, in memory", _trained(batches, step), pipeline.close),
        ]
        speeds = race(contenders, rounds)
        baseline = speeds["DataLoader, 4 workers"]
        for name, values in speeds.items():
            yield {
                "set": f"fashion-mnist ({len(images)})",
                "mode": "with LeNet-5's step" if step else "loader alone",
                "who": name,
                "images_per_s": statistics.median(values),
                "epoch_s": statistics.median(len(images) / value for value in values),
                "ratio": statistics.median(a / b for a, b in zip(values, baseline, strict=True)),
            }


# --- the run ------------------------------------------------------------------------------------


def rows(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    rounds = 2 if options.quick else options.rounds
    only = options.only.split(",")
    if "small" in only:
        small = folder_split(options.data / "cats-dogs", 320 if options.quick else None)
        yield from photo_rows("small", small, rounds, folder)
    if "large" in only:
        make_photos(folder / "large", 24 if options.quick else 64)
        large = folder_split(folder / "large", None)
        yield from photo_rows("large", large, rounds, folder)
    if "fashion" in only:
        yield from fashion_rows(options.data / "fashion-mnist", rounds, options.quick)


def printed(row: dict[str, Any]) -> str:
    text = f"{row['set']:<22} {row['mode']:<22} {row['who']:<24}"
    text += f"{row['images_per_s']:>9.0f} /s {row['ratio']:>6.2f}x"
    if "epoch_s" in row:
        text += f"   {row['epoch_s']:.2f} s an epoch"
    if "mean" in row:
        text += f"   mean {row['mean']:.3f}, worst image {row['worst_mean']:.2f}"
        text += f", max {row['max']:.0f}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer images, two rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="small,large,fashion")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("BACKBONES_TEST_DATA", DEFAULT_DATA))
    )
    options = parser.parse_args()
    keep_large_buffers()  # as every command of the package does; the peers gain by it too
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(options, Path(folder)):
            print(printed(row), flush=True)
            found.append(row)
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }
    if options.json:
        options.json.write_text(json.dumps({**about, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
