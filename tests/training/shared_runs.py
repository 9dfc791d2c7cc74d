"""Runs that one process and several do alike; started by `torchrun`, three do them, then two.

The test beside it does them in one process, and compares.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from backbones.api.features import features_to_file
from backbones.classifier.evaluation import evaluate, quick_answers, quick_figures
from backbones.classifier.processes import gather
from backbones.data.pipeline import Pipeline
from backbones.data.source import FileImages, Split
from backbones.errors import BackbonesError
from backbones.models import build
from backbones.ranks import TIMEOUT, Ranks, current
from backbones.spec import InputSpec
from backbones.training.checkpoint import fingerprint
from backbones.training.folder import RunFolder
from backbones.training.followed import FollowedFolder
from backbones.training.loop import fit
from backbones.training.recipe import Recipe
from backbones.training.record import Record, StepRecord
from backbones.training.settings import apply_settings

CLASSES = ("blue", "green", "red")
SHORT = "length=15steps"
MIXED = (SHORT, "model=alexnet_tiny", "mixup=0.2", "cutmix=1", "label_smoothing=0.1", "ema=0.9")
PLATEAU = ("schedule.kind=plateau", "schedule.patience=0", "evaluate_every=4steps")
PARTS = (SHORT, "accumulate=3", "class_weights=balanced", "clip_norm=0.5", "model=lenet5_tiny")
# of 48 images the last batch has 3: two for one process, one for another, none
CASES = {
    "lenet": ("model=lenet5_tiny", *PLATEAU),
    "vgg": ("model=vgg_tiny", "freeze=norm", "optimizer.lr=0.02"),
    "mixed": MIXED,
    "parts": PARTS,
    "one layer": (SHORT, "model=alexnet_tiny", "freeze=features", "optimizer.kind=adam"),
}
NORM = ("model=resnet_cifar_tiny", "sync_norm=true", "length=1steps", "batch_size=23")


def images(out: Path) -> Split:
    """48 images of three classes; two of the files are no images."""
    names = tuple(f"{place:02d}.png" for place in range(48))
    return Split("train", CLASSES, np.arange(48) % 3, FileImages(out / "images", names))


def recipe_of(*settings: str) -> Recipe:
    """Settings on top of plain fp32 in batches of 9."""
    plain = Recipe(device="cpu", precision="fp32", channels_last=False, large_buffers=False)
    usual = ("batch_size=9", "length=50steps", "evaluate_every=25steps", "optimizer.lr=0.01")
    return apply_settings(plain, [*usual, "checkpoint_every=10steps", *settings])


def run(
    ranks: Ranks,
    out: Path,
    name: str,
    *settings: str,
    resume: bool = False,
    until: Callable[[Record], bool] = lambda _: False,
) -> list[Record]:
    """Train in this process's part of a run."""
    recipe, split, folder = recipe_of(*settings), images(out), out / name
    spec = InputSpec(size=16, resize=16, channels=1, mean=(0.5,), std=(0.25,))
    if recipe.model != "lenet5_tiny":
        spec = InputSpec(size=32, resize=32)
    batches, watched = (
        Pipeline(split, spec, batch_size=9, augment=augment, seed=3, workers=0, ranks=ranks)
        for augment in (recipe.augment.model_copy(update={"resize": spec.resize}), None)
    )
    model = build(recipe.model, 3, spec.channels, seed=1)
    kind = RunFolder if ranks.first else FollowedFolder
    if resume:
        kept = kind.open(folder)
    elif ranks.first:
        kept = RunFolder.create(folder, recipe=recipe, data=fingerprint(split))
    else:
        kept = FollowedFolder(folder, recipe, {})
    ranks.wait()
    records = []
    with kept:
        for record in fit(
            model,
            recipe,
            batches,
            evaluate=lambda network: quick_answers(network, watched),
            together=lambda mine: ranks.of_first(quick_figures(gather(ranks, mine), split)),
            run=kept,
            resume=resume,
            ranks=ranks,
        ):
            records.append(record)
            if until(record):
                break
    ranks.wait()
    return records


def several(ranks: Ranks, out: Path) -> None:
    """Everything that these processes do."""
    name = f"{ranks.size}"
    for case, settings in CASES.items():
        run(ranks, out, f"{case}-{name}", *settings)
    run(ranks, out, f"norm-{name}", *NORM)
    whole = ("model=vgg_tiny", "length=18steps", "checkpoint_every=5steps", *PLATEAU)
    run(ranks, out, "whole", *whole)
    run(ranks, out, "cut", *whole, until=lambda r: isinstance(r, StepRecord) and r.step == 13)
    run(ranks, out, "cut", *whole, resume=True)
    network, spec = build("vgg_tiny", 3, seed=2), InputSpec(size=32, resize=32)
    few = images(out).take(list(range(ranks.size - 1)))
    found = {
        "all": evaluate(network, images(out), spec, batch_size=5, workers=0).to_json(),
        "few": evaluate(network, few, spec, batch_size=5, workers=0).to_json(),
    }
    (out / f"evaluated-{ranks.rank}.json").write_text(json.dumps(found))
    written(out, f"{name}.npz")


def written(out: Path, name: str) -> None:
    """The features of all images and of two, in a file each."""
    for count in (48, 2):
        files = [out / "images" / f"{place:02d}.png" for place in range(count)]
        features_to_file("lenet5.digits", files, out / f"{count}-{name}", device="cpu")


def ended_by(ranks: Ranks, out: Path, name: str, *settings: str, until: Any = None) -> None:
    """How a run ends that does not come to its end, in words."""
    said = "it did not"
    try:
        run(ranks, out, name, *settings, until=until or (lambda _: False))
    except BackbonesError as error:
        said = f"{type(error).__name__}: {error}"
    (out / f"{name}-{ranks.rank}.txt").write_text(said)


def asked_at_4(record: Record) -> bool:
    """One process of the three gets a signal."""
    if isinstance(record, StepRecord) and record.step == 4 and dist.get_rank() == 1:
        signal.raise_signal(signal.SIGTERM)
    return False


def hung(ranks: Ranks, out: Path) -> None:
    """The third process does not take part in a step; the others wait for two seconds."""
    os.environ[TIMEOUT] = "2"
    impatient = replace(ranks, group=dist.new_group(timeout=timedelta(seconds=2)))
    if ranks.rank < 2:
        ended_by(impatient, out, "hung", "model=lenet5_tiny")
    else:
        ranks.wait()  # as the others before their first step
    ranks.wait()


def main() -> None:
    """As three processes, then as two of them."""
    torch.set_num_threads(1)
    out, ranks = Path(sys.argv[1]), current()
    several(ranks, out)
    ended_by(ranks, out, "asked", "model=lenet5_tiny", until=asked_at_4)
    ended_by(ranks, out, "diverged", "model=lenet5_tiny", "optimizer.lr=1e30")
    hung(ranks, out)
    pair, patient = (dist.new_group([0, 1], timeout=timedelta(minutes=5)) for _ in range(2))
    if ranks.rank < 2:
        two = Ranks(ranks.rank, 2, pair, patient)
        run(two, out, "other", *CASES["lenet"], until=lambda r: getattr(r, "step", 0) == 13)
        for case, settings in [*CASES.items(), ("norm", NORM)]:
            run(two, out, f"{case}-2", *settings)
    ranks.wait()
    run(ranks, out, "other", *CASES["lenet"], resume=True)


if __name__ == "__main__":
    main()
