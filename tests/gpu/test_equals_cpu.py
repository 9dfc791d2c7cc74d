"""A GPU answers what the CPU answers, and a run on it resumes exactly.

In fp32 (TF32 off) answers agree within 1e-3 of the logits' scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.classifier.evaluation import quick_answers, quick_figures
from backbones.compute import Compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.explanation.activation_maps import grad_cam
from backbones.explanation.occlusion import occlusion
from backbones.features.taps import tap
from backbones.models import build
from backbones.nn.evaluating import evaluating
from backbones.spec import InputSpec
from backbones.training.checkpoint import fingerprint, read_checkpoint
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.recipe import Recipe
from backbones.training.record import StepRecord
from backbones.training.settings import apply_settings

pytestmark = [
    pytest.mark.gpu,
    # bits decide here, whatever PyTorch says of a kernel
    pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning"),
]

SPEC = InputSpec(size=64, resize=64)
NETWORKS = {"dropout": "vgg_tiny", "batch norm": "resnet_tiny", "LRN": "alexnet_tiny"}
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "rmsprop_tf")


def split() -> Split:
    numbers = np.random.default_rng(0)
    labels = np.arange(24, dtype=np.int64) % 3
    pixels = numbers.integers(0, 255, (24, 64, 64, 3), dtype=np.uint8)
    return Split("train", ("blue", "green", "red"), labels, ArrayImages(pixels, "noise"))


def images() -> Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def both(name: str, gpu: torch.device) -> tuple[nn.Module, nn.Module]:
    return tuple(build(name, num_classes=3, seed=0).eval().to(at) for at in ("cpu", gpu))


def assert_near(found: Tensor, expected: Tensor) -> None:
    difference = (found.detach().cpu() - expected.detach()).abs().max()
    assert difference <= 1e-3 * max(1e-3, float(expected.detach().abs().max()))


def train(folder: Path, recipe: Recipe, *, resume: bool = False, until: int | None = None) -> None:
    batches = Pipeline(split(), SPEC, batch_size=recipe.batch_size, augment=recipe.augment)
    run = (
        RunFolder.open(folder)
        if resume
        else RunFolder.create(folder, recipe=recipe, data=fingerprint(batches.split))
    )
    model = build(recipe.model, num_classes=3, seed=0)
    with run:
        for record in fit(model, recipe, batches, evaluate=None, run=run, resume=resume):
            if isinstance(record, StepRecord) and record.step == until:
                break


def recipe_of(gpu: torch.device, name: str, *settings: str) -> Recipe:
    plain = Recipe(model=name, batch_size=8, device=gpu.type, precision="fp32", channels_last=True)
    return apply_settings(plain, ["length=4steps", "optimizer.lr=0.001", *settings])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS.values(), ids=NETWORKS.keys())
def test_four_steps_are_two_and_two_resumed(gpu, tmp_path, name, optimizer):
    recipe = recipe_of(gpu, name, f"optimizer.kind={optimizer}", "checkpoint_every=2steps")
    train(tmp_path / "whole", recipe)
    train(tmp_path / "cut", recipe, until=3)
    train(tmp_path / "cut", recipe, resume=True)
    whole, facts = read_checkpoint(tmp_path / "whole" / "checkpoint.safetensors")
    cut, others = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert facts["step"] == others["step"] == 4
    assert whole.keys() == cut.keys()
    assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []


@pytest.mark.parametrize("name", ["resnet_tiny"])
def test_training_goes_as_on_the_cpu(gpu, tmp_path, name):
    weights = []
    for device in (torch.device("cpu"), gpu):
        folder = tmp_path / f"on_{len(weights)}"
        train(folder, recipe_of(device, name))
        weights.append(read_checkpoint(folder / "checkpoint.safetensors")[0])
    assert_near(weights[1]["model.conv1.weight"], weights[0]["model.conv1.weight"])


@pytest.mark.parametrize("name", NETWORKS.values(), ids=NETWORKS.keys())
def test_answers_evaluations_and_features_are_the_cpus(gpu, name):
    with Compute(gpu.type, "fp32", torch.get_num_threads()).running():
        answers, figures = [], []
        for network in both(name, gpu):
            with evaluating(network) as scored:
                answers.append(scored(images()))
            watched = Pipeline(split(), SPEC, batch_size=8)
            figures.append(quick_figures(quick_answers(network, watched), watched.split))
            watched.close()
        assert_near(answers[1], answers[0])
        assert figures[1]["loss"] == pytest.approx(figures[0]["loss"], rel=1e-3)
        assert figures[1]["num_samples"] == figures[0]["num_samples"] == 24
        cpu, there = both(name, gpu)
        stage = cpu.stages[0][0]
        assert_near(tap(there, stage)(images().to(gpu))[stage], tap(cpu, stage)(images())[stage])


@pytest.mark.parametrize("method", [grad_cam, occlusion])
def test_explanations_are_the_cpus(gpu, method):
    with Compute(gpu.type, "fp32", torch.get_num_threads()).running():
        cpu, there = both("resnet_tiny", gpu)
        expected, found = method(cpu, images(), [0]), method(there, images().to(gpu), [0])
        assert_near(found.values, expected.values)
        assert_near(found.logits, expected.logits)
