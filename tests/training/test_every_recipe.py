"""Each recipe that ships runs end to end on a tiny network of its family, and resumes exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backbones import catalog
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.models import build, find_row
from backbones.training.checkpoint import fingerprint, read_checkpoint
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.recipe import Recipe, smoke
from backbones.training.record import Record, StepRecord
from backbones.training.resolve import input_spec, resolve
from backbones.training.settings import load_recipe, recipe_names
from backbones.weights.bundle import read_bundle

IMAGES = 14


OF_THE_PAPERS = (
    *("alexnet", "cats_dogs", "cats_dogs_frozen", "densenet", "densenet_cifar", "efficientnet"),
    *("fashion_fast", "googlenet", "googlenet_quick", "inception_v2", "inception_v3"),
    *("inception_v4", "lenet", "nin_cifar10", "nin_cifar100", "nin_fashion", "resnet"),
    *("resnet_90epochs", "resnet_cifar", "resnet_cifar_110", "scratch_photos", "scratch_small"),
    *("vgg", "vgg_384", "vgg_a", "vgg_jitter", "vgg_staged"),
)


def tiny(name: str) -> Recipe:
    """The recipe's smoke run on its family's tiny network; optimiser, schedule and augmentation
    are its own, and sizes shrink with the network."""
    recipe = smoke(load_recipe(name))
    family, _ = find_row(recipe.model)
    model = next(row for row in catalog.names() if row.endswith("_tiny") and _family(row) == family)
    row = find_row(model)[1]
    px = row.input_px
    input_ = recipe.input.model_copy(update={"size": px, "resize": px + 4})
    resize = recipe.augment.resize
    if resize is not None:
        resize = (px + 4, px + 12) if isinstance(resize, tuple) else px + 4
    return recipe.model_copy(
        update={
            "model": model,
            "weights": None,
            "limit": None,
            "device": "cpu",
            "precision": "fp32",
            "workers": 1,
            "checkpoint_every": load_recipe(name).length.parse("1steps"),
            "input": input_,
            "augment": recipe.augment.model_copy(update={"resize": resize}),
        }
    )


def _family(name: str) -> object:
    return find_row(name)[0]


def images(channels: int) -> Split:
    array = np.random.default_rng(0).integers(0, 256, (IMAGES, 40, 48, channels), np.uint8)
    return Split("train", ("a", "b"), np.arange(IMAGES) % 2, ArrayImages(array, "noise"))


def evaluate(network: nn.Module) -> dict[str, float]:
    """Something that depends on the weights, for the plateau and the choice of the best."""
    total = sum(float(p.detach().double().abs().sum()) for p in network.parameters())
    return {"top1_error_percent": 50.0, "loss": total}


def run(recipe: Recipe, folder: Path, *, resume: bool = False, stop_at: int = 0) -> list[Record]:
    row = find_row(recipe.model)[1]
    split = images(row.in_channels)
    resolved = resolve(recipe, row=row, train=split)
    spec = input_spec(resolved)
    model = build(recipe.model, num_classes=2, in_channels=spec.channels, seed=recipe.seed)
    batches = Pipeline(
        split,
        spec,
        batch_size=recipe.batch_size,
        augment=resolved.augment,
        seed=recipe.seed,
        workers=recipe.workers,
    )
    kept = RunFolder.open(folder) if resume else None
    kept = kept or RunFolder.create(folder, recipe=resolved, data=fingerprint(split))
    records = []
    with kept:
        for record in fit(model, resolved, batches, evaluate=evaluate, run=kept, resume=resume):
            records.append(record)
            if stop_at and isinstance(record, StepRecord) and record.step == stop_at:
                break
    batches.close()
    return records


def test_the_papers_recipes_are_there():
    assert set(OF_THE_PAPERS) <= set(recipe_names())


# A probe takes no step: tests/training/test_probe.py has its runs.
WITH_STEPS = tuple(name for name in recipe_names() if not load_recipe(name).only_probes)


@pytest.mark.parametrize("name", WITH_STEPS)
def test_it_runs_to_its_end_and_resumes_to_the_same_bits(name, tmp_path):
    recipe = tiny(name)
    records = run(recipe, tmp_path / "whole")
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert len(steps) >= 6
    assert all(np.isfinite(record.loss) for record in steps)
    middle = len(steps) // 2 + 1
    run(recipe, tmp_path / "cut", stop_at=middle)
    run(recipe, tmp_path / "cut", resume=True)
    tensors, facts = read_checkpoint(tmp_path / "whole" / "checkpoint.safetensors")
    others, other_facts = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert facts["step"] == len(steps) == other_facts["step"]
    assert tensors.keys() == others.keys()
    for key, tensor in tensors.items():
        assert torch.equal(tensor, others[key]), key
    assert read_bundle(tmp_path / "whole" / "best.safetensors") == read_bundle(
        tmp_path / "cut" / "best.safetensors"
    )
    network = build(recipe.model, num_classes=2, seed=recipe.seed)
    moved = [
        key
        for key, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not torch.equal(tensor, tensors[f"model.{key}"])
    ]
    assert moved


@pytest.mark.parametrize("name", OF_THE_PAPERS)
def test_its_file_begins_with_the_source_the_command_and_the_result(name):
    import backbones.training.recipes as folder

    text = (Path(folder.__path__[0]) / f"{name}.toml").read_text(encoding="utf-8")
    header = text[: text.index("\nname = ")]
    assert all(line.startswith("#") for line in header.splitlines())
    if name != "nin_fashion":  # whose header tells of the tutorial's own command
        assert f"--recipe {name}" in header
