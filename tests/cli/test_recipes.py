"""`backbones recipe`, `lr-find` and `train --init-from`, as a person types them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.api.recipes import view_recipe
from backbones.data.sets import open_data
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.nn.naming import paper_names
from backbones.report.recipe_page import RecipeImage
from backbones.spec import InputSpec
from backbones.training.preview import rate_curve, seen
from backbones.training.settings import load_recipe


def test_show_says_what_a_recipe_sets(backbones):
    answer = backbones("recipe", "show", "resnet_cifar_110", "--set", "seed=7")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("resnet_cifar_110: ResNet-110 on CIFAR-10")
    assert "schedule.warmup\t400steps" in lines
    assert "seed\t7" in lines
    assert not any(line.startswith("clip_norm") for line in lines)


@pytest.mark.parametrize("name", ["lenet", "efficientnet"])
def test_a_recipe_is_drawn_twice_alike(backbones, tmp_path, name):
    for file in ("one.png", "two.png", "page.html"):
        answer = backbones("recipe", "show", name, "-o", tmp_path / file)
        assert answer.code == 0, answer.err
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert min(image.size) > 500
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "://" not in page.split("<body>")[1]


def test_a_recipe_is_drawn_on_ones_own_images(backbones, photos, tmp_path):
    arguments = ("--data", photos, "--set", "input.size=32", "--set", "input.resize=36")
    answer = backbones("recipe", "show", "scratch", *arguments, "-o", tmp_path / "a.png")
    assert answer.code == 0, answer.err
    answer = backbones("recipe", "show", "scratch", "-o", tmp_path / "a.gif")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "expected .html or .png" in answer.err


def test_diff_names_every_field_that_differs_and_no_other(backbones):
    answer = backbones("recipe", "diff", "vgg", "vgg_384", "--json")
    assert json.loads(answer.out) == [
        {"field": "optimizer.lr", "one": 0.01, "other": 0.001},
        {"field": "schedule.floor", "one": 0.001, "other": 0.01},
        {"field": "augment.resize", "one": 256, "other": 384},
        {"field": "input.resize", "one": 256, "other": 384},
    ]
    assert "are the same" in backbones("recipe", "diff", "vgg", "vgg").err
    wrong = backbones("recipe", "diff", "vgg", "vgg_383")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "Did you mean" in wrong.err


def test_a_dump_is_a_recipe_file(backbones, tmp_path):
    answer = backbones("recipe", "dump", "googlenet", "--set", "batch_size=64")
    (tmp_path / "mine.json").write_text(answer.out)
    again = load_recipe(tmp_path / "mine.json")
    assert again == load_recipe("googlenet").model_copy(update={"batch_size": 64})


def test_lr_find_suggests_and_draws(backbones, tmp_path):
    chart = tmp_path / "chart.svg"
    answer = backbones(
        "lr-find", "digits", "--set", "limit=300", "--steps", "60", "-o", chart, "--json"
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert 1e-4 < found["suggestion"] < 0.3
    assert found["recipe_lr"] == load_recipe("digits").optimizer.lr
    assert chart.read_text().startswith("<?xml")
    wrong = backbones("lr-find", "digits", "-o", tmp_path / "chart.doc", "--steps", "3")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


def test_a_staged_training_lists_its_layers(backbones, photos, tmp_path):
    settings = ("--set", "input.size=32", "--set", "input.resize=36", "--set", "augment.resize=36")
    common = (photos, "--model", "vgg_tiny", *settings, "--smoke")
    first = backbones("train", *common, "--recipe", "vgg_a", "--out", tmp_path / "a")
    assert first.code == 0, first.err
    lonely = backbones("train", *common, "--recipe", "vgg_staged", "--out", tmp_path / "d")
    assert (lonely.code, lonely.err.count("\n")) == (2, 1)
    assert "--init-from RUN" in lonely.err
    staged = ("--recipe", "vgg_staged", "--init-from", tmp_path / "a", "--out", tmp_path / "d")
    second = backbones("train", *common, *staged)
    assert second.code == 0, second.err
    assert "layers are copied from" in second.err
    assert "conv1_1\t" in second.out
    assert "conv4_1\t" in second.out
    assert second.out.count("\tcopied\n") == 6
    assert "not asked for" in second.out


def test_normalisation_is_undone_to_the_byte():
    spec = InputSpec(size=4, resize=4, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    images = torch.from_numpy((pixels / 255 - spec.mean) / spec.std).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(seen(images.float(), spec), pixels)


def test_the_curve_is_what_a_run_would_do():
    curve = rate_curve(load_recipe("densenet_cifar"), 50_000)
    assert curve.total_steps == 300 * 782
    epochs, rates = np.array(curve.epochs), np.array(curve.rates)
    for low, high, rate in ((0, 149, 0.1), (151, 224, 0.01), (226, 300, 0.001)):
        inside = (epochs >= low) & (epochs < high)
        np.testing.assert_allclose(rates[inside], rate)


def test_a_plateau_falls_as_often_as_the_paper_says_and_over_the_whole_run():
    """VGG, section 3.1: "the learning rate was decreased 3 times" in 74 epochs, not by epoch 19."""
    curve = rate_curve(load_recipe("vgg"), 1_281_167)
    assert "even distances" in curve.note
    assert curve.total_steps == pytest.approx(370_000, rel=0.01)
    rates = np.array(curve.rates)
    assert sorted({float(f"{rate:.3g}") for rate in rates}) == [1e-5, 1e-4, 1e-3, 1e-2]
    falls = np.array(curve.epochs)[1:][np.diff(rates) < 0]
    np.testing.assert_allclose(falls, [18.5, 37, 55.5], atol=0.2)


def test_parts_have_their_own_line_and_a_batch_its_classes(tmp_path, monkeypatch):
    """`finetune` trains the old layers at a tenth of the rate."""
    shown = []
    monkeypatch.setattr(RecipeImage, "write", lambda self, path: shown.append(self) or path)
    view_recipe("finetune", settings=["input.size=32", "input.resize=36"]).draw(tmp_path / "f.png")
    (axes,) = shown[0].figure.axes
    rest, old = axes.get_lines()
    assert old.get_label() == "old: × 0.1"
    np.testing.assert_allclose(old.get_ydata(), 0.1 * np.array(rest.get_ydata()))
    assert "--data or --images counts yours" in axes.figure.get_suptitle()
    assert set(shown[0].batch_labels) == {"china", "flower"}
    assert len(shown[0].batch_labels) == len(shown[0].batch)


def test_a_recipe_without_steps_is_drawn(backbones, tmp_path):
    """`probe` takes no optimiser step: an IndexError came out of its chart."""
    answer = backbones("recipe", "show", "probe", "-o", tmp_path / "probe.png")
    assert answer.code == 0, answer.err
    assert rate_curve(load_recipe("probe"), 100).total_steps == 0


def test_the_deeper_networks_of_the_table_have_the_layers_that_are_taken():
    for name in ("vgg13", "vgg16", "vgg19"):
        with ShapesOnly():
            names = set(paper_names(build(name)).values())
        assert set(load_recipe("vgg_staged").init_layers) <= names


@pytest.mark.parametrize("name", ["vgg", "finetune"])
def test_what_a_run_depends_on_most_is_shown_though_it_is_the_default(backbones, name):
    fields = [
        line.split()[0] for line in backbones("recipe", "show", name).out.splitlines() if line
    ]
    wanted = ("length", "batch_size", "optimizer.kind", "optimizer.lr", "schedule.kind", "seed")
    for field in (*wanted, "optimizer.weight_decay", "precision"):
        assert field in fields, field
    assert "optimizer.momentum" in fields


def test_the_chart_counts_the_images_that_there_are() -> None:
    assert view_recipe("vgg").images() == 1_281_167, "ILSVRC-2012"
    assert view_recipe("vgg", num_images=500).images() == 500
    digits = view_recipe("digits", data="digits")
    assert digits.images() == len(open_data("digits").split("train"))
