"""A pipeline of a few coloured squares, and runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backbones.data.pipeline import Batch
from backbones.data.source import ArrayImages, Split
from backbones.models import build
from backbones.spec import InputSpec
from backbones.training.checkpoint import fingerprint
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.recipe import Recipe
from backbones.training.record import Record
from backbones.training.settings import apply_settings

CLASSES = ("blue", "green", "red")


class Squares:
    """The pipeline's interface over images in memory: 22 of them, so the last batch is short.

    Args:
        batch_size: images in a batch.
        bad: positions of images that "cannot be decoded".
    """

    def __init__(self, batch_size: int = 8, count: int = 22, bad: tuple[int, ...] = ()) -> None:
        numbers = np.random.default_rng(1)
        labels = np.arange(count) % len(CLASSES)
        array = numbers.integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
        array[np.arange(count), 8:24, 8:24, 2 - labels[:, None, None]] += 100
        self.split = Split("train", CLASSES, labels.astype(np.int64), ArrayImages(array, "squares"))
        self.spec = InputSpec(size=32, resize=32)
        self.batch_size = batch_size
        self.steps_per_epoch = -(-count // batch_size)
        self.bad = bad

    def epoch(self, epoch: int = 0, *, start: int = 0) -> Iterator[Batch]:
        order = np.random.default_rng([7, epoch]).permutation(len(self.split))
        for step in range(start, self.steps_per_epoch):
            taken = order[step * self.batch_size : (step + 1) * self.batch_size]
            taken = taken[~np.isin(taken, self.bad)]
            array = self.split.images.array[taken]
            images = torch.from_numpy(array).permute(0, 3, 1, 2).float() / 128 - 1
            yield Batch(images, torch.from_numpy(self.split.labels[taken]), taken)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        wrong, loss = 0, 0.0
        model.eval()
        with torch.no_grad():
            for batch in self.epoch():
                logits = model(batch.images)
                wrong += int((logits.argmax(1) != batch.labels).sum())
                loss += float(nn.functional.cross_entropy(logits, batch.labels, reduction="sum"))
        count = len(self.split)
        return {
            "top1_error_percent": 100 * wrong / count,
            "loss": loss / count,
            "num_samples": count,
            "seconds": 1.0,
        }


Run = Callable[..., list[Record]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The tests compare bits, which threads decide; two only wait for each other here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def squares() -> type[Squares]:
    return Squares


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe for `vgg_tiny` (batch norm and dropout) in plain fp32, with settings on top."""

    def make(*settings: str) -> Recipe:
        plain = Recipe(
            model="vgg_tiny",
            batch_size=8,
            device="cpu",
            precision="fp32",
            channels_last=False,
            large_buffers=False,
        )
        return apply_settings(plain, ["length=2epochs", "optimizer.lr=0.05", *settings])

    return make


@pytest.fixture
def train() -> Run:
    """Train `vgg_tiny` on the squares; `stop_after` records of a kind, the run is abandoned."""

    def run(
        recipe: Recipe,
        folder: Path,
        *,
        resume: bool = False,
        data: Any = None,
        stop_when: Callable[[Record], bool] | None = None,
    ) -> list[Record]:
        data = data or Squares(recipe.batch_size)
        kept = (
            RunFolder.open(folder)
            if resume
            else RunFolder.create(folder, recipe=recipe, data=fingerprint(data.split))
        )
        model = build("vgg_tiny", num_classes=3, in_channels=3, seed=recipe.seed)
        records = []
        with kept:
            for record in fit(model, recipe, data, evaluate=data.evaluate, run=kept, resume=resume):
                records.append(record)
                if stop_when is not None and stop_when(record):
                    break
        return records

    return run
