"""Recipes: the shipped rows, the schema, `--set`, and what `resolve` fills in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import backbones
from backbones import catalog, compute
from backbones.data.source import ArrayImages, FileImages, Split
from backbones.errors import NotFound, RecipeError
from backbones.models import build, find_row
from backbones.spec import InputSpec
from backbones.training import settings
from backbones.training.recipe import Optimizer, Recipe, Schedule, smoke
from backbones.training.resolve import input_spec, measure_colours, resolve
from backbones.training.settings import (
    OPTIMIZER_FIELDS,
    OPTIMIZER_SHARED,
    SCHEDULE_FIELDS,
    SCHEDULE_SHARED,
    apply_settings,
    field_paths,
    load_recipe,
    read_recipe,
    recipe_names,
    shorthand_settings,
)
from backbones.units import Length
from backbones.workflows.request import TrainingRequest


def grey(count: int = 6, px: int = 8) -> Split:
    array = np.random.default_rng(0).integers(0, 256, (count, px, px, 1), dtype=np.uint8)
    return Split("train", ("a", "b"), np.arange(count) % 2, ArrayImages(array, "grey"))


def photos(tmp_path) -> Split:
    return Split("train", ("a", "b"), np.arange(2), FileImages(tmp_path, ("a/1.jpg", "b/2.jpg")))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_what_it_is_and_names_a_network(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.source
    assert recipe.model in catalog.names()
    assert recipe.optimizer.lr > 0


def test_the_first_recipes_are_there():
    names = {"digits", "fashion", "nin_fashion", "finetune", "scratch", "vgg"}
    assert names <= set(recipe_names())


def test_vgg_is_section_3_1_of_the_paper():
    recipe = load_recipe("vgg")
    assert (recipe.batch_size, str(recipe.length)) == (256, "74epochs")
    optimizer = recipe.optimizer
    assert (optimizer.kind, optimizer.lr, optimizer.momentum) == ("sgd", 0.01, 0.9)
    assert optimizer.weight_decay == 0.0005
    assert (recipe.schedule.kind, recipe.schedule.gamma) == ("plateau", 0.1)
    assert recipe.schedule.floor == pytest.approx(0.1**3)
    augment = recipe.augment
    assert (augment.resize, augment.crop, augment.flip, augment.pca_colour) == (
        256,
        "random",
        0.5,
        0.1,
    )


def test_the_papers_constants_meet_the_papers_input_or_the_substitute_is_declared():
    """AlexNet's rate and LRN are made for pixels from 0 to 255; divided by 58 they do nothing."""
    folder = Path(settings.__file__).parent / "recipes"
    for name in ("alexnet", "googlenet", "googlenet_quick"):
        assert load_recipe(name).input.std == pytest.approx((1 / 255,) * 3)
        assert all(100 < 255 * mean < 125 for mean in load_recipe(name).input.mean)
    ink, paper = ((p - load_recipe("lenet").input.mean[0]) for p in (1, 0))
    assert ink / load_recipe("lenet").input.std[0] == pytest.approx(1.175, abs=1e-4)
    assert paper / load_recipe("lenet").input.std[0] == pytest.approx(-0.1, abs=1e-4)
    for path in folder.glob("*.toml"):
        recipe = load_recipe(path.stem)
        if "arXiv" in recipe.source and not recipe.input.mean:
            said = re.sub(r"\s*\n# ", " ", path.read_text(encoding="utf-8"))
            assert re.search(r"deviation|normalised|scale of the input", said, re.I), path.stem


@pytest.mark.parametrize(("name", "channels"), [("alexnet", 3), ("lenet", 1)])
def test_recipes_with_colours_of_their_own_see_as_many_channels(name, channels):
    for split in (grey(), photos(Path("nowhere"))):
        row = find_row(load_recipe(name).model)[1]
        found = resolve(load_recipe(name), row=row, train=split)
        assert found.input.channels == channels == len(found.input.mean)


def test_nin_fashion_is_the_tutorials():
    recipe = load_recipe("nin_fashion")
    assert (recipe.optimizer.kind, recipe.optimizer.lr, recipe.batch_size) == ("adam", 1e-3, 16)
    assert str(recipe.length) == "3epochs"
    spec = input_spec(resolve(recipe, row=build("nin_fashion").row, train=grey()))
    assert (spec.size, spec.channels) == (224, 1)


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_recipe_is_a_recipe_file_and_resolves_to_itself(name, tmp_path):
    recipe = load_recipe(name)
    row = build("lenet5").row
    resolved = resolve(recipe, row=row, train=grey())
    text = json.dumps(resolved.to_json())
    assert '"auto"' not in text
    (tmp_path / "recipe.json").write_text(text)
    again = load_recipe(tmp_path / "recipe.json")
    assert again == resolved
    assert resolve(again, row=row, train=grey()) == again


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text('length = "3epochs"\n[optimizer]\nlr = 0.5\n')
    (tmp_path / "a.json").write_text('{"length": "3epochs", "optimizer": {"lr": 0.5}}')
    assert load_recipe(tmp_path / "a.toml") == load_recipe(tmp_path / "a.json")


def test_unknown_recipes_get_the_nearest():
    with pytest.raises(NotFound, match="Did you mean finetune"):
        load_recipe("finetun")
    with pytest.raises(NotFound, match="no recipe file"):
        load_recipe("not_there.toml")


@pytest.mark.parametrize("text", ["{", "[1]", '{"optimizer": 3}', '{"lenght": "3epochs"}'])
def test_a_file_that_is_no_recipe_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "a.json")
    assert "\n" not in str(caught.value)
    assert "a.json" in str(caught.value)


def test_settings_leave_the_recipe_alone_and_change_what_they_name():
    recipe = Recipe()
    changed = apply_settings(
        recipe,
        [
            "optimizer.lr=0.02",
            "length=3epochs",
            "freeze=old",
            "ema=0.99",
            'class_weights={"cat": 2}',
            "augment.resize=[256,512]",
            "schedule.kind=multistep",
            "schedule.milestones=3epochs,50%",
            "compile=true",
            "weights=some/file.safetensors",
            "clip_norm=none",
            "parts=[{match: head, lr_scale: 2}]",
        ],
    )
    assert recipe == Recipe()
    assert changed.optimizer.lr == 0.02
    assert changed.length == Length(3, "epochs")
    assert changed.freeze == ("old",)
    assert changed.class_weights == {"cat": 2.0}
    assert changed.augment.resize == (256, 512)
    assert changed.schedule.milestones == (Length(3, "epochs"), Length(50, "percent"))
    assert changed.weights == "some/file.safetensors"
    assert [(part.match, part.lr_scale) for part in changed.parts] == [("head", 2.0)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=0.1", "no field 'lr'. Did you mean optimizer.lr?"),
        ("epochs=3", "a recipe has no field 'epochs'. Write length=3epochs."),
        ("imgsz=96", "Write input.size=96."),
        ("batch=8", "Write batch_size=8."),
        ("pretrained=true", "Write weights=public."),
        ("amp=True", "Write precision=bf16."),
        ("optimizer=adam", "optimizer is a table of fields: write optimizer.kind=adam"),
        ("schedule=cosine", "schedule is a table of fields: write schedule.kind=cosine"),
        ("parts=[{match: old", "cannot be read as YAML"),
        ("optimizr.lr=1", "Did you mean optimizer.lr?"),
        ("optimizer.momentumm=1", "Did you mean optimizer.momentum"),
        ("seed.x=1", "no field 'seed.x'"),
        (f"seed={1 << 63}", "seed is 9223372036854775808: expected less than 9223372036854775808"),
        ("optimizer.lr", "has no value"),
        ("optimizer.lr=abc", "optimizer.lr is 'abc': expected a valid number"),
        ("optimizer.lr=-1", "optimizer.lr is -1: expected greater than 0"),
        ("optimizer.lr=none", "optimizer.lr is None"),
        ("optimizer.kind=sdg", "'adamw', 'rmsprop' or 'rmsprop_tf'"),
        ("precision=fp16", "expected 'auto', 'fp32' or 'bf16'"),
        ("length=3", "length is 3: expected a number and a unit"),
        ("length=3epoch s", "is not a length"),
        ("length=50%", "length cannot be a share of itself"),
        ("length=0epochs", "length must be longer than nothing"),
        ("accumulate=33", "cannot come out of batch_size 32"),
        ('parts=[{"match": "old"}]', "parts.0.lr_scale is missing"),
        ("augment.flip=2", "augment.flip is 2"),
        ("schedule.gamma=0.5", "schedule.gamma has no effect with constant"),
        ("optimizer.betas=[0.5,0.5]", "optimizer.betas has no effect with sgd"),
        ("optimizer.fused=maybe", "optimizer.fused is 'maybe': expected a valid boolean"),
    ],
)
def test_a_wrong_setting_is_explained_in_one_line(setting, message):
    with pytest.raises(RecipeError) as caught:
        apply_settings(Recipe(), [setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_short_names_write_settings_before_others():
    asked = {"epochs": 3, "lr": 0.5, "batch_size": 8, "seed": 4}
    found = TrainingRequest("photos", recipe="scratch", shorthand=asked).chosen()
    assert (str(found.length), found.optimizer.lr) == ("3epochs", 0.5)
    assert (found.batch_size, found.seed) == (8, 4)
    nothing = dict.fromkeys(asked)
    assert TrainingRequest("x", recipe="vgg", shorthand=nothing).chosen() == load_recipe("vgg")
    both = TrainingRequest("x", recipe="vgg", settings=["seed=9"], shorthand={"seed": 4})
    assert both.chosen().seed == 9


def test_another_image_size_keeps_the_proportions_of_the_recipe():
    found = TrainingRequest("x", recipe="resnet", shorthand={"image_size": 112}).chosen()
    assert (found.input.size, found.input.resize, found.augment.resize) == (112, 128, (128, 240))
    assert shorthand_settings(Recipe(), {"image_size": 64}) == ["input.size=64"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("imgsz", "Write image_size="), ("epoch", "mean epochs?"), ("bs", "batch_size=")],
)
def test_a_keyword_that_does_not_exist_names_ours(name: str, meant: str):
    with pytest.raises(TypeError, match=meant):
        backbones.train("digits", **{name: 3})


def test_every_field_of_optimiser_and_schedule_is_read_by_some_kind():
    """So that a new field cannot be forgotten where unused settings are refused."""
    assert set(Optimizer.model_fields) == OPTIMIZER_SHARED.union(*OPTIMIZER_FIELDS.values())
    assert set(Schedule.model_fields) == SCHEDULE_SHARED.union(*SCHEDULE_FIELDS.values())


def test_every_field_is_documented():
    for table in (Recipe, Optimizer, Schedule):
        for field in table.model_fields:
            assert field in (table.__doc__ or ""), f"{table.__name__}.{field}"


def test_every_path_can_be_set_to_what_it_is():
    values = Recipe().to_json()
    for path in field_paths():
        if path.startswith(("optimizer.", "schedule.")):
            continue
        value = values
        for part in path.split("."):
            value = value[part]
        assert apply_settings(Recipe(), [f"{path}={json.dumps(value)}"]) == Recipe(), path


@pytest.mark.parametrize("name", recipe_names())
def test_smoke_is_tiny_valid_and_keeps_the_character(name):
    recipe = load_recipe(name)
    tiny = smoke(recipe)
    assert read_recipe(tiny.to_json(), "smoke") == tiny
    assert tiny.limit is not None
    assert tiny.limit <= 16
    assert tiny.length.steps(steps_per_epoch=4, batch_size=4) == (0 if recipe.only_probes else 8)
    assert (tiny.optimizer, tiny.schedule, tiny.augment, tiny.model) == (
        recipe.optimizer,
        recipe.schedule,
        recipe.augment,
        recipe.model,
    )
    assert smoke(tiny) == tiny


def test_colours_are_measured_to_four_places():
    split = grey(50)
    mean, std = measure_colours(split, 1)
    values = split.images.array / 255
    assert mean == (pytest.approx(values.mean(), abs=5e-5),)
    assert std == (pytest.approx(values.std(), abs=5e-5),)
    assert measure_colours(split, 3) == (mean * 3, std * 3)


def test_photos_get_the_photo_convention_and_weights_their_own(tmp_path):
    row = build("vgg_tiny").row
    spec = input_spec(resolve(Recipe(model="vgg_tiny"), row=row, train=photos(tmp_path)))
    assert spec == InputSpec(size=32, resize=37)
    own = InputSpec(size=64, resize=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    recipe = Recipe(model="vgg_tiny")
    resolved = resolve(recipe, row=row, train=photos(tmp_path), weights_spec=own)
    assert input_spec(resolved) == own
    resolved = resolve(
        apply_settings(recipe, ["input.size=32"]),
        row=row,
        train=photos(tmp_path),
        weights_spec=own,
    )
    assert (resolved.input.size, resolved.input.resize) == (32, 32)


def test_an_input_that_contradicts_itself_is_refused(tmp_path):
    recipe = apply_settings(Recipe(), ["input.mean=[0.5]", "input.std=[0.5]"])
    with pytest.raises(RecipeError, match="mean has 1 and std 1 values, expected 3 each"):
        resolve(recipe, row=build("vgg_tiny").row, train=photos(tmp_path))


def test_bf16_is_chosen_where_it_pays(monkeypatch, tmp_path):
    monkeypatch.setattr(compute, "has_bf16_units", lambda device="cpu": True)
    small = resolve(Recipe(device="cpu", batch_size=16), row=build("lenet5").row, train=grey())
    large = resolve(Recipe(device="cpu"), row=build("nin_imagenet").row, train=photos(tmp_path))
    assert (small.precision, large.precision) == ("fp32", "bf16")
    monkeypatch.setattr(compute, "has_bf16_units", lambda device="cpu": False)
    without = resolve(Recipe(device="cpu"), row=build("nin_imagenet").row, train=photos(tmp_path))
    assert without.precision == "fp32"


@pytest.mark.parametrize(
    "name", [n for n in recipe_names() if n not in ("resnet", "vgg_jitter", "vgg_staged")]
)
def test_training_and_evaluation_show_images_at_one_scale(name):
    """A recipe without a resize once trained on 28 px images in the middle of 224 black ones."""
    recipe = load_recipe(name)
    resolved = resolve(recipe, row=find_row(recipe.model)[1], train=grey(20, 28))
    if resolved.augment.crop == "random_resized":
        assert resolved.augment.resize is None
    else:
        assert resolved.augment.resize == resolved.input.resize


def test_training_in_a_black_frame_that_evaluation_does_not_know_is_refused() -> None:
    row = build("vgg_tiny").row
    small = apply_settings(Recipe(model="vgg_tiny"), ["augment.resize=24"])
    with pytest.raises(RecipeError, match=r"24 px large, but the network sees 32 px.*resize=32"):
        resolve(small, row=row, train=grey())
    range_ = apply_settings(Recipe(model="vgg_tiny"), ["augment.resize=[20,31]"])
    with pytest.raises(RecipeError, match="31 px large"):
        resolve(range_, row=row, train=grey())
    framed = apply_settings(small, ["input.size=32", "input.resize=24"])  # in both alike
    assert resolve(framed, row=row, train=grey()).augment.resize == 24


@pytest.mark.parametrize("name", ["digits", "fashion", "fashion_fast"])
def test_recipes_of_small_images_enlarge_them_to_what_the_network_sees(name: str) -> None:
    resolved = resolve(load_recipe(name), row=build("vgg11_narrow").row, train=grey())
    assert (resolved.input.size, resolved.augment.resize) == (64, 64)
