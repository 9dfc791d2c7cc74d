"""The linear probe: the fit against scikit-learn, the head it becomes, and the runs it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import backbones
from backbones.errors import RecipeError
from backbones.models import build
from backbones.spec import InputSpec
from backbones.training.probe import FittedProbe, ProbeData, fit_probe, linear_head
from backbones.training.recipe import Probe
from backbones.weights.bundle import read_bundle

DIGITS = {"weights": "lenet5.digits", "threads": 1}


def clouds(num_classes: int, views: int = 1, count: int = 90) -> ProbeData:
    """Overlapping clouds of points, far from the origin and of unequal scales."""
    numbers = np.random.default_rng(0)
    labels = np.arange(count) % num_classes
    centres = numbers.normal(size=(num_classes, 6))
    points = centres[labels, None] + numbers.normal(size=(count, views, 6))
    scales, still = np.array([1, 10, 0.1, 5, 1, 1]), 3
    points = points * scales + 20
    points[..., still] = 7
    return ProbeData(
        torch.from_numpy(points.astype(np.float32)),
        torch.from_numpy(labels),
        np.arange(count) // num_classes % 5 + 1,
        None,
        num_classes,
    )


def probabilities(probe: FittedProbe, data: ProbeData) -> np.ndarray:
    return torch.softmax(data.features[:, 0] @ probe.weight.T + probe.bias, 1).numpy()


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_fit_is_scikit_learn_s(num_classes: int, balanced: bool) -> None:
    data, penalty = clouds(num_classes), 0.1
    weights = torch.tensor([1.0, 2.0, 4.0])[:num_classes] if balanced else None
    data = ProbeData(data.features, data.labels, data.parts, weights, num_classes)
    ours = probabilities(fit_probe(data, Probe(penalties=(penalty,))), data)
    rows, labels = data.features[:, 0].numpy().astype(np.float64), data.labels.numpy()
    deviation = rows.std(0)
    standardised = (rows - rows.mean(0)) / np.where(deviation > 0, deviation, 1)
    share = np.ones(len(rows)) if weights is None else weights.numpy()[labels]
    # two rows of opposite weights cost half of what scikit-learn's one row for two classes does
    strength = penalty / 2 if num_classes == 2 else penalty
    peer = LogisticRegression(C=1 / (strength * share.sum()), tol=1e-9, max_iter=1000)
    peer.fit(standardised, labels, share)
    np.testing.assert_allclose(ours, peer.predict_proba(standardised), atol=2e-4)


def test_the_penalty_has_the_lowest_loss_on_held_out_images() -> None:
    probe = fit_probe(clouds(3), Probe())
    assert probe.penalty == min(probe.losses, key=probe.losses.__getitem__)
    assert max(Probe().penalties) > probe.penalty > min(Probe().penalties)
    assert len(probe.losses) < len(Probe().penalties), "none below the valley is tried"


def test_views_of_an_image_are_held_out_together() -> None:
    """A copy of a held-out image among those learned from would make every penalty look good."""
    one = clouds(3)
    twice = ProbeData(one.features.expand(-1, 2, -1), one.labels, one.parts, None, 3)
    first, second = fit_probe(one, Probe()), fit_probe(twice, Probe())
    assert first.penalty == second.penalty
    assert first.losses == pytest.approx(second.losses, rel=1e-3)
    torch.testing.assert_close(first.weight, second.weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "head"),
    [("vgg_tiny", "classifier.6"), ("nin_tiny", None), ("lenet5", "output"), ("lenet5_1998", None)],
)
def test_the_head_is_the_linear_layer_that_gives_the_scores(variant: str, head: str | None) -> None:
    network = build(variant, 84)  # as many as LeNet-5 of 1998 has units before its patterns
    px, grey = network.row.input_px, (0.5,) * network.in_channels
    spec = InputSpec(px, px, network.in_channels, mean=grey, std=grey)
    assert linear_head(network, spec) == head


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> backbones.TrainingRun:
    folder = tmp_path_factory.mktemp("probe") / "run"
    run = backbones.train("digits", recipe="probe", settings=["limit=150"], out=folder, **DIGITS)
    run.run()
    return run


def test_a_probe_leaves_a_run_like_any_other(probed: backbones.TrainingRun) -> None:
    folder, evaluation = probed.folder, probed.finished.evaluation
    assert evaluation.report.top1_error_percent < 15
    assert not evaluation.selected_on_this_split
    assert (folder / "evaluation.json").exists()
    facts = json.loads((folder / "run.json").read_text())["probe"]
    assert facts["num_images"] == 150
    assert facts["num_views"] == 2
    assert facts == probed.probe.to_json()
    again = backbones.evaluate(folder, "digits").report
    assert again.num_samples == 359
    assert again.top1_error_percent < 15


def test_the_trunk_stays_and_the_head_is_the_fit(probed: backbones.TrainingRun) -> None:
    ours = read_bundle(probed.folder / "last.safetensors").build().state_dict()
    given = backbones.open("lenet5.digits").bundles[0].build().state_dict()
    assert {name for name in given if not torch.equal(ours[name], given[name])} == {
        "output.weight",
        "output.bias",
    }
    torch.testing.assert_close(ours["output.weight"], probed.probe.weight)


def test_the_same_seed_gives_the_same_probe(probed: backbones.TrainingRun, tmp_path: Path) -> None:
    run = backbones.train("digits", recipe=probed.recipe, out=tmp_path / "run")
    run.run()
    ours, theirs = (read_bundle(each.folder / "last.safetensors").state for each in (run, probed))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    (start,) = list(backbones.resume(run.folder))
    assert "finished: all 0 steps" in start.notes[0]


def test_every_fold_is_probed(tmp_path: Path) -> None:
    training = backbones.train_folds(
        "digits", folds=2, recipe="probe", settings=["limit=60"], out=tmp_path / "folds", **DIGITS
    )
    found = training.run()
    assert found.out_of_fold.num_samples == 60
    assert found.out_of_fold.top1_error_percent < 25
    assert found.last_top1_error_percent == found.out_of_fold.top1_error_percent


def test_a_recipe_can_be_told_not_to_probe() -> None:
    recipe = backbones.choose_recipe("digits", recipe="finetune", settings=["probe.views=none"])
    assert not recipe.probes
    with pytest.raises(RecipeError, match="length must be longer than nothing"):
        backbones.choose_recipe("digits", recipe="probe", settings=["probe.views=none"])


def test_a_probe_needs_a_trained_trunk_and_a_linear_head(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="random weights; name trained ones"):
        backbones.train("digits", recipe="probe", settings=["weights=none"], out=tmp_path / "run")
    run = backbones.train(
        "digits",
        model="lenet5",
        recipe="finetune",
        settings=["weights=none", "limit=20"],
        out=tmp_path / "run",
    )
    assert not run.recipe.probes
    assert run.source.notes[-1].startswith("the head begins at random")


@pytest.fixture
def with_val(tmp_path: Path) -> Path:
    """Digits in folders, whose "val" may choose weights (the set's own "test" may not)."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for place in range(90):
        part = "train" if place < 60 else "val"
        folder = tmp_path / "digits" / part / str(digits.target[place])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[place] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).resize((28, 28)).save(folder / f"{place}.png")
    return tmp_path / "digits"


def finetuned(data: Path, folder: Path, *settings: str) -> tuple[backbones.TrainingRun, list]:
    run = backbones.train(
        data, recipe="finetune", settings=["device=cpu", *settings], out=folder, **DIGITS
    )
    return run, list(run)


def test_fine_tuning_that_does_not_beat_the_probe_keeps_it(with_val: Path, tmp_path: Path) -> None:
    run, records = finetuned(
        with_val, tmp_path / "run", "length=4epochs", "optimizer.lr=20", "patience=2"
    )
    first = next(each for each in records if isinstance(each, backbones.EvaluationRecord))
    assert (first.step, first.epoch, first.best) == (0, 0, True)
    end = records[-1]
    assert isinstance(end, backbones.EndRecord)
    assert "2 evaluations in a row were no better" in end.notes[0]
    assert "did not beat the probe" in end.notes[1]
    assert end.step == 2 * 2, "patience ended it after two epochs of four"
    best = read_bundle(run.folder / "best.safetensors")
    assert best.metrics["step"] == 0
    torch.testing.assert_close(best.state["output.weight"], run.probe.weight)
    assert run.finished.evaluation.report.top1_error_percent == pytest.approx(
        first.metrics["top1_error_percent"]
    )
    (again,) = list(backbones.resume(run.folder))
    assert "as 2 evaluations in a row were no better" in again.notes[0]


def test_a_resume_after_the_probe_is_bit_for_bit(with_val: Path, tmp_path: Path) -> None:
    settings = ("length=2epochs", "patience=5")
    whole, _ = finetuned(with_val, tmp_path / "whole", *settings)
    broken = backbones.train(
        with_val,
        recipe="finetune",
        settings=["device=cpu", *settings],
        out=tmp_path / "broken",
        **DIGITS,
    )
    for record in broken:
        if isinstance(record, backbones.EvaluationRecord):
            break
    del record
    backbones.resume(tmp_path / "broken").run()
    ours, theirs = (
        read_bundle(each / "last.safetensors").state for each in (whole.folder, broken.folder)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
