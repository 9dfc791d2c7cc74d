"""`backbones weights`, and ids of weights wherever a bundle is accepted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import backbones as package
from backbones import catalog
from backbones.errors import NotFound
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights import table
from backbones.weights.files import read_state
from backbones.weights.foreign import class_ids
from backbones.weights.opening import open_bundle

Command = Callable[..., Any]
SPEC = InputSpec(32, 40, mean=(0.4, 0.5, 0.6), std=(0.3, 0.2, 0.1), interpolation="bicubic")
REAL = {
    "resnet20_cifar.akamaster_cifar10": "cifar10_resnet/resnet20-12fca82f.th",
    "resnet32_cifar.akamaster_cifar10": "cifar10_resnet/resnet32-d509ac18.th",
    "resnet44_cifar.akamaster_cifar10": "cifar10_resnet/resnet44-014dd654.th",
    "resnet56_cifar.akamaster_cifar10": "cifar10_resnet/resnet56-4bfd9763.th",
    "mobilenet_v1_075.keras_in1k": "mobilenetv1_075_keras_imagenet-cdf2aa61.pth",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def published(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of weights for two classes of shapes, under Caffe's names, on a server."""
    from backbones.weights.keymaps import KEYMAPS

    state = KEYMAPS["caffe_vgg"].to_theirs(build("vgg_tiny", 2, seed=5).state_dict())
    torch.save(state, tmp_path / "made.pth")
    data = (tmp_path / "made.pth").read_bytes()
    site.files["/tiny.pth"] = data
    row = replace(
        table.find("vgg16.caffe_in1k"),
        id="vgg_tiny.test",
        variant="vgg_tiny",
        url=site.base + "/tiny.pth",
        file="tiny.pth",
        sha256=hashlib.sha256(data).hexdigest()[:8],
        spec=SPEC,
    )
    monkeypatch.setattr(table, "_table", lambda: {row.id: row})
    return row.id


def test_list(backbones: Command) -> None:
    answer = backbones("weights", "list")
    lines = answer.out.splitlines()
    assert lines[0].split("\t") == ["id", "network", "top-1", "top-5", "input", "MiB", "licence"]
    assert len(lines) == 1 + len(table.known_ids())
    (row,) = json.loads(backbones("weights", "list", "vgg16.tv_in1k", "--json").out)
    assert row["results"][0]["top1_accuracy"] == 0.71592
    assert row["spec"]["size"] == 224
    nothing = backbones("weights", "list", "zzz")
    assert nothing.code == 0
    assert "no weights fit 'zzz'" in nothing.err


def test_get_verify_and_a_flipped_byte(backbones: Command, published: str, cache: Path) -> None:
    assert "no weights are here yet" in backbones("weights", "verify").err
    missing = backbones("weights", "verify", published)
    assert missing.code == 2
    assert f"backbones weights get {published}" in missing.err
    got = backbones("weights", "get", published)
    assert (got.code, got.out.strip()) == (0, str(cache / "vgg_tiny.test.pth"))
    assert "\tok\t" in backbones("weights", "verify").out
    path = cache / "vgg_tiny.test.pth"
    data = bytearray(path.read_bytes())
    data[1000] ^= 4
    path.write_bytes(data)
    bad = backbones("weights", "verify")
    assert bad.code == 1
    assert "\tbad\t" in bad.out
    assert "not what was published" in bad.err
    for use in (
        ("weights", "get", published),
        ("weights", "convert", published, "-o", "x.safetensors"),
        ("predict", published, str(path)),
    ):
        refused = backbones(*use)
        assert refused.code == 1
        assert "not what was published" in refused.err
        assert len(refused.err.strip().splitlines()) == 1


def test_offline_is_an_option_of_every_verb_that_may_fetch(
    backbones: Command, published: str, site: Any, photos: Path, tmp_path: Path
) -> None:
    for verb in (
        ("weights", "get", published),
        ("weights", "convert", published, "-o", tmp_path / "b.safetensors"),
        ("predict", published, photos),
        ("evaluate", published, photos),
        ("train", photos, "--model", "vgg_tiny", "--weights", published, "--smoke"),
    ):
        answer = backbones(*verb, "--offline")
        assert answer.code == 1, verb
        assert "--offline" in answer.err
        assert "BACKBONES_OFFLINE" not in answer.err
    assert site.asked == []


def test_show(backbones: Command, published: str) -> None:
    text = backbones("show", published).out
    for part in ("vgg_tiny", "CC-BY", "caffe_vgg", "shorter side to 40 px (bicubic)", "here"):
        assert part in text
    assert json.loads(backbones("show", published, "--json").out)["kind"] == "weights"


def test_an_id_is_as_good_as_a_bundle(
    backbones: Command, published: str, photos: Path, tmp_path: Path
) -> None:
    """The same numbers from the id and from the bundle that was converted of it."""
    out = tmp_path / "bundle.safetensors"
    done = backbones("weights", "convert", published, "-o", out)
    assert done.code == 0
    assert "licence: CC-BY" in done.err
    bundle = package.read_bundle(out)
    assert bundle.spec == SPEC
    assert bundle.provenance is not None
    assert bundle.provenance["weights"] == published
    assert len(bundle.provenance["sha256"]) == 64
    expected = build("vgg_tiny", 2, seed=5).state_dict()
    assert all(torch.equal(tensor, bundle.state[name]) for name, tensor in expected.items())
    image = photos / "disc" / "00.jpg"
    said = [backbones("predict", which, image, "--format", "json") for which in (published, out)]
    assert said[0].code == 0
    assert said[0].out == said[1].out
    created = package.create("vgg_tiny", num_classes=2, weights=published)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in created.state_dict().items())
    shown = backbones("show", out).out
    assert "licence      CC-BY" in shown


def test_training_goes_on_from_an_id_with_its_input(
    published: str, photos: Path, tmp_path: Path
) -> None:
    run = package.train(
        photos, model="vgg_tiny", weights=published, smoke_run=True, out=tmp_path / "run"
    )
    assert run.recipe.weights == published
    assert run.recipe.name == "finetune"
    assert list(run)
    assert package.read_bundle(tmp_path / "run" / "last.safetensors").spec == SPEC


def test_an_interpolation_that_was_asked_for_wins(
    published: str, photos: Path, tmp_path: Path
) -> None:
    run = package.train(
        photos,
        model="vgg_tiny",
        weights=published,
        smoke_run=True,
        out=tmp_path / "run",
        settings=("input.interpolation=bilinear",),
    )
    assert run.recipe.input.interpolation == "bilinear"
    assert run.recipe.input.mean == SPEC.mean


def test_shipped_weights_need_no_network(
    backbones: Command,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "vgg_tiny.shapes.safetensors"
    shutil.copy(trained / "best.safetensors", file)
    monkeypatch.setattr(table, "shipped_weights", lambda: {"vgg_tiny.shapes": file})
    monkeypatch.setenv("BACKBONES_OFFLINE", "1")
    image = photos / "disc" / "00.jpg"
    by_id = backbones("predict", "vgg_tiny.shapes", image)
    assert by_id.code == 0
    assert by_id.out == backbones("predict", file, image).out
    assert backbones("evaluate", "vgg_tiny.shapes", photos).code == 0
    assert "a bundle" in backbones("show", "vgg_tiny.shapes").out
    assert "comes with the package" in backbones("weights", "list", "shapes").out
    package.create("vgg_tiny", num_classes=2, weights="vgg_tiny.shapes")
    assert backbones("weights", "get", "vgg_tiny.shapes").out.strip() == str(file)
    assert "\tok\t" in backbones("weights", "verify", "vgg_tiny.shapes").out
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    for verb in (("weights", "verify", "vgg_tiny.shapes"), ("predict", "vgg_tiny.shapes", image)):
        damaged = backbones(*verb)
        assert damaged.code == 1
        assert "SHA-256 differs" in damaged.err


def test_what_is_shipped_are_whole_bundles() -> None:
    total = 0
    for name, file in table.shipped_weights().items():
        bundle = open_bundle(name)
        assert name.startswith(bundle.variant + ".")
        total += file.stat().st_size
    assert total < 2_000_000


def test_a_file_of_anybody_needs_its_network_named(backbones: Command, tmp_path: Path) -> None:
    torch.save(build("vgg_tiny", 4, seed=1).state_dict(), tmp_path / "mine.pth")
    out = tmp_path / "mine.safetensors"
    refused = backbones("weights", "convert", tmp_path / "mine.pth", "-o", out)
    assert refused.code == 2
    assert "--model NAME; they are nearest to vgg_tiny" in refused.err
    done = backbones("weights", "convert", tmp_path / "mine.pth", "-o", out, "--model", "vgg_tiny")
    assert done.code == 0
    assert package.read_bundle(out).classes == ("0", "1", "2", "3")
    again = backbones("weights", "convert", tmp_path / "gone.pth", "-o", out)
    assert again.code == 2
    unknown = backbones("weights", "import", tmp_path / "mine.pth")
    assert unknown.code == 2
    assert "no published weights have the SHA-256" in unknown.err
    wrong = backbones("weights", "import", tmp_path / "mine.pth", "--as", "vgg16.tv_in1k")
    assert wrong.code == 1
    assert "is not vgg16.tv_in1k" in wrong.err


@pytest.mark.parametrize("name", ["vgg16.tv_1k", "lenet5.digitz", "no such thing"])
def test_an_unknown_id_is_one_clear_line(backbones: Command, photos: Path, name: str) -> None:
    for verb in (("predict", name, photos), ("evaluate", name, photos), ("weights", "get", name)):
        answer = backbones(*verb)
        assert answer.code == 2
        assert len(answer.err.strip().splitlines()) == 1
        assert "weights list" in answer.err or "Did you mean" in answer.err


def test_a_file_of_the_same_name_comes_before_an_id(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "vgg16.tv_in1k")
    assert open_bundle("vgg16.tv_in1k").variant == "vgg_tiny"


def test_class_ids() -> None:
    assert class_ids("cifar10", 10)[0] == "airplane"
    assert class_ids("cifar10", 3) == ("0", "1", "2")
    names = class_ids("imagenet", 1000)
    assert len(set(names)) == 1000
    assert names[0] == "n01440764"


def test_real_files_are_recognised_and_answer_in_our_networks(
    backbones: Command, test_data: Path, cache: Path, tmp_path: Path
) -> None:
    for name, place in REAL.items():
        file, row = test_data / "weights" / place, table.find(name)
        assert (row.file, row.num_bytes) == (file.name, file.stat().st_size)
        assert row.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        done = backbones("weights", "import", file)
        assert done.code == 0
        assert done.out.split("\t")[0] == name
        verified = backbones("weights", "verify", name)
        assert verified.code == 0
        assert row.sha256 in verified.out
        assert (cache / (name + file.suffix)).read_bytes() == file.read_bytes()
        converted = backbones("weights", "convert", file, "-o", tmp_path / f"{name}.safetensors")
        assert converted.code == 0, converted.err
        answers_in_our_network(tmp_path / f"{name}.safetensors", file, row)


def answers_in_our_network(converted: Path, file: Path, row: table.WeightsRow) -> None:
    bundle = package.read_bundle(converted)
    assert (bundle.variant, bundle.spec) == (row.variant, row.spec)
    state = read_state(file)
    counted = sum(tensor.numel() for name, tensor in state.items() if "running" not in name)
    assert counted - sum("tracked" in n for n in state) == catalog.facts(row.variant).params
    image = torch.rand(2, 3, row.spec.size, row.spec.size)
    with torch.inference_mode():
        answers = bundle.build()(image)
    assert answers.shape == (2, bundle.num_classes)
    assert torch.isfinite(answers).all()


def test_mobilenet_names_photos(backbones: Command, test_data: Path, tmp_path: Path) -> None:
    row = table.find("mobilenet_v1_075.keras_in1k")
    backbones("weights", "import", test_data / "weights" / REAL[row.id])
    right = []
    for each in package.predict(row.id, test_data / "imagenet-samples", top=5):
        wanted = Path(each.path).name.split("_")[0]
        right.append([guess.class_name == wanted for guess in each.predictions])
    assert len(right) == 100
    top1, top5 = np.mean([r[0] for r in right]), np.mean([any(r) for r in right])
    assert top1 >= 0.80
    assert top5 >= 0.93


def test_find_bundle_says_what_it_expected(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no bundle"):
        open_bundle(tmp_path)


def test_a_file_that_its_hash_tells_is_as_good_as_its_id(
    backbones: Command, published: str, photos: Path, tmp_path: Path
) -> None:
    """Under any name, wherever a bundle is taken."""
    file = tmp_path / "from a friend.pth"
    shutil.copy(tmp_path / "made.pth", file)
    image = photos / "disc" / "00.jpg"
    numbered = tmp_path / "numbered"
    for number, folder in enumerate(sorted(photos.iterdir())):
        shutil.copytree(folder, numbered / str(number))
    said = [backbones("predict", which, image, "--format", "json") for which in (published, file)]
    assert said[1].code == 0, said[1].err
    assert said[0].out == said[1].out
    for verb in (
        ("evaluate", file, numbered),
        ("features", file, photos, "--out", tmp_path / "f.npz"),
        ("explain", file, image, "--out", tmp_path / "e"),
        ("inspect", file),
        ("memory", file),
    ):
        done = backbones(*verb)
        assert done.code == 0, (verb, done.err)
    shown = backbones("show", file).out
    assert "licence" in shown
    assert str(file) in shown
    run = package.train(
        photos, model="vgg_tiny", weights=file, smoke_run=True, out=tmp_path / "run"
    )
    assert list(run)
    assert package.read_bundle(tmp_path / "run" / "last.safetensors").spec == SPEC


def test_a_file_of_anybody_gives_the_line_that_converts_it(
    backbones: Command, photos: Path, tmp_path: Path
) -> None:
    file = tmp_path / "my net.pth"
    torch.save({"state_dict": build("vgg_tiny", 4, seed=1).state_dict()}, file)
    line = f"weights convert '{file}' --model vgg_tiny -o 'my net.safetensors'"
    for verb in (("predict", file, photos), ("show", file), ("inspect", file)):
        refused = backbones(*verb)
        assert refused.code == 1
        assert line in refused.err
    page = tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html><html>")
    for verb in (("predict", page, photos), ("show", page), ("evaluate", page, photos)):
        refused = backbones(*verb)
        assert refused.code == 1
        assert "page.pth is an HTML page" in refused.err


def test_weights_that_are_no_numbers_are_refused_unless_told(
    backbones: Command, published: str, tmp_path: Path
) -> None:
    state = build("vgg_tiny", 4, seed=1).state_dict()
    state["features.0.weight"][:] = float("nan")
    file, out = tmp_path / "nan.pth", tmp_path / "nan.safetensors"
    torch.save(state, file)
    convert = ("weights", "convert", file, "--model", "vgg_tiny", "-o", out)
    refused = backbones(*convert)
    assert refused.code == 1
    assert "of features.0.weight are not finite" in refused.err
    assert not out.exists()
    assert backbones(*convert, "--allow-non-finite").code == 0
    assert package.read_bundle(out).provenance["non_finite"] == "allowed"
    package.show(out)


def test_a_python_file_without_a_function_is_told_what_is_missing(
    backbones: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def build(): pass\n")
    refused = backbones("inspect", tmp_path / "mine.py")
    assert refused.code == 2
    assert "behind a colon, such as" in refused.err


def test_what_was_changed_on_the_way_is_told_and_kept(backbones: Command, tmp_path: Path) -> None:
    state = {f"_orig_mod.{n}": t.half() for n, t in build("vgg_tiny", 4).state_dict().items()}
    torch.save({"model": state, "model_ema": dict(state)}, tmp_path / "w.pth")
    convert = ("weights", "convert", tmp_path / "w.pth", "--model", "vgg_tiny", "-o")
    done = backbones(*convert, tmp_path / "w.safetensors")
    assert done.code == 0, done.err
    assert "note: taken from below 'model_ema._orig_mod'" in done.err
    assert "the usual is taken" in done.err
    changes = package.read_bundle(tmp_path / "w.safetensors").provenance["changes"]
    assert all(change in done.err for change in changes)
    assert backbones(*convert, tmp_path / "v.safetensors", "--entry", "model").code == 0


def test_fetch_is_called_get(backbones: Command) -> None:
    refused = backbones("weights", "fetch", "resnet18.tv_in1k")
    assert refused.code == 2
    assert "backbones weights get resnet18.tv_in1k" in refused.err
