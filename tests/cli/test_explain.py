"""`backbones explain`: images, page and numbers; and the same from Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import backbones as package
from backbones.api.explanation import Occluder, Subject
from backbones.classifier.explained import _ends
from backbones.classifier.explanation_files import write_explanations
from backbones.errors import BadData, NotFound, WrongUse
from backbones.explanation import grad_cam
from backbones.spec import InputSpec


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two handwritten digits, a 3 and an 8, 28 x 28."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    known = load_digits()
    for digit in (3, 8):
        place = int(np.flatnonzero(known.target == digit)[-1])
        image = Image.fromarray((known.images[place] * 15.9).astype(np.uint8))
        image.resize((28, 28), Image.Resampling.BICUBIC).save(folder / f"{digit}.png")
    return folder


def test_explain_writes_images_a_page_and_numbers(backbones, digits, tmp_path) -> None:
    out = tmp_path / "why"
    answer = backbones(
        *("explain", "lenet5.digits", digits, "-o", out, "--filters", "--feature-maps", "C1"),
        *("--class", "8", "--class", "3", "--method", "grad_cam", "--method", "occlusion"),
        *("--patch", 8, "--stride", 8, "--top", 3),
    )
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in out.iterdir()) == [
        *("3-maps.png", "3.png", "8-maps.png", "8.png"),
        *("explain.json", "filters.png", "index.html"),
    ]
    assert answer.out.count("\n") == 8  # two images, two methods, two classes
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 100
    three, eight = json.loads((out / "explain.json").read_text(encoding="utf-8"))
    assert (three["predictions"][0]["name"], eight["predictions"][0]["name"]) == ("3", "8")
    assert len(three["predictions"]) == 3
    assert three["size_px"] == [28, 28]
    assert three["seen_px"] == pytest.approx([0, 0, 28, 28])
    assert [(each["method"], each["class"]["index"]) for each in three["maps"]] == [
        ("grad_cam", 8), ("grad_cam", 3), ("occlusion", 8), ("occlusion", 3),
    ]  # fmt: skip
    cam, *_, occluded = three["maps"]
    assert (cam["layer"], cam["shape"], occluded["layer"]) == ("c3", [10, 10], None)
    assert np.shape(cam["values"]) == (10, 10)
    assert occluded["highest"] > 0.01, "covering a 3 somewhere must cost it something"
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert "8 px square, every 8 px of 32" in page


@pytest.mark.parametrize(("share", "points"), [(0.998, "100"), (0.012, "1.2"), (0, "under 0.01")])
def test_points_under_an_occlusion_map_are_plain_numbers(share: float, points: str) -> None:
    """They were "1e+02"."""
    found = SimpleNamespace(method="occlusion", values=np.array([[0.0, -share]]))
    assert _ends(found) == (f"gains {points} points", f"loses {points} points when covered")


def test_the_map_is_grad_cam_of_what_the_network_sees(digits: Path) -> None:
    from backbones.data.pipeline import Pipeline
    from backbones.data.source import FileImages, Split

    bundle = package.read_bundle(find("lenet5.digits"))
    split = Split(
        "x", bundle.classes, np.zeros(2, np.int64), FileImages(digits, ("3.png", "8.png"))
    )
    (batch,) = Pipeline(split, bundle.spec, batch_size=2).epoch()
    expected = grad_cam(bundle.build(), batch.images)
    for place, found in enumerate(package.explain(bundle, digits, batch_size=1)):
        (one,) = found.maps
        assert one.index == int(expected.targets[place, 0])
        np.testing.assert_allclose(one.values, expected.values[place, 0], rtol=1e-4, atol=1e-6)


def find(name: str) -> Path:
    from backbones.weights.opening import find_bundle

    return find_bundle(name)


def brightness_at_the_left() -> nn.Module:
    """Class 1 is what is bright in the left half of the square."""
    network = nn.Sequential(
        nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
    )
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[3].weight.zero_()
        network[3].bias.zero_()
        network[3].weight[1].reshape(8, 8)[:, :4] = 1.0
    return network


@pytest.mark.parametrize(("width", "height"), [(160, 80), (80, 160), (80, 80)])
def test_a_map_is_put_back_where_it_was_on_the_image(tmp_path, width: int, height: int) -> None:
    """A bright spot in the original is hot there, whatever was cut off around it."""
    image = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2 - 10, width // 2 - 30
    image[y : y + 10, x : x + 10] = 255
    Image.fromarray(image).save(tmp_path / "spot.png")
    spec = InputSpec(8, 8, mean=(0, 0, 0), std=(1, 1, 1))
    subject = Subject(brightness_at_the_left(), spec, ("dark", "left"))
    [found] = package.explain(subject, tmp_path / "spot.png", target="left", layer="1")
    assert found.size == (width, height)
    assert found.seen == ((width - 80) / 2, (height - 80) / 2, 80, 80)
    laid = found.over(found.maps[0])
    assert laid.shape == (height, width)
    hot = np.argwhere(laid == np.nanmax(laid)).mean(axis=0)
    assert abs(hot - (y + 4.5, x + 4.5)).max() <= 1.5
    assert np.isnan(laid).sum() == width * height - 80 * 80
    at = found.to_json()["maps"][0]["highest_at_px"]
    assert at == pytest.approx([x + 5, y + 5], abs=1)


def test_any_module_is_explained_with_a_spec(digits: Path) -> None:
    subject = Subject(brightness_at_the_left(), InputSpec(8, 8))
    with pytest.raises(WrongUse, match="does not say which layer"):
        package.explain(subject, digits)
    found = list(package.explain(subject, digits, layer="1", target=1, top=9))
    assert [guess.name for guess in found[0].predictions] in (["0", "1"], ["1", "0"])
    misnamed = Subject(subject.network, subject.spec, ("a", "b", "c"))
    with pytest.raises(BadData, match="2 outputs and there are 3 class names"):
        list(package.explain(misnamed, digits, layer="1"))


def test_a_padded_image_has_its_map_cut_at_its_edges(tmp_path: Path) -> None:
    Image.fromarray(np.full((28, 28), 200, np.uint8)).save(tmp_path / "small.png")
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 3)
    )
    subject = Subject(network, InputSpec(32, 28, 1, (0.5,), (0.5,)))
    [found] = package.explain(subject, tmp_path / "small.png", layer="1")
    assert found.seen == (-2, -2, 32, 32)
    laid = found.over(found.maps[0])
    assert laid.shape == (28, 28)
    np.testing.assert_allclose(laid, found.maps[0].values[2:30, 2:30], rtol=1e-5)


def test_an_image_that_cannot_be_read_is_told_and_the_rest_goes_on(
    backbones, digits, tmp_path
) -> None:
    shutil.copytree(digits, tmp_path / "in")
    (tmp_path / "in" / "5.png").write_bytes(b"")
    answer = backbones("explain", "lenet5.digits", tmp_path / "in", "-o", tmp_path / "out")
    assert answer.code == 0
    assert "5.png could not be read: the file is empty" in answer.err
    rows = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    assert ["error" in row for row in rows] == [False, True, False]
    assert "the file is empty" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    alone = backbones("explain", "lenet5.digits", tmp_path / "in" / "5.png", "-o", tmp_path / "out")
    assert alone.code == 1


def test_nothing_is_to_be_opened_where_no_image_could_be_read(backbones, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    out = tmp_path / "out"
    answer = backbones("explain", "lenet5.digits", tmp_path / "a.png", "-o", out)
    assert answer.code == 1
    assert "a.png could not be read: the file is empty" in answer.err
    assert f"no image could be read; the reasons are in {out / 'explain.json'}" in answer.err
    assert "open " not in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no images given"),
        (("IMAGE", "--method", "gradcam"), "Did you mean grad_cam"),
        (("IMAGE", "--method", "cam"), "use grad_cam"),
        (("IMAGE", "--class", "tree"), "no class 'tree'"),
        (("IMAGE", "--class", "10"), "no class is called 10"),
        (("IMAGE", "--layer", "c33"), "Did you mean"),
        (("IMAGE", "--layer", "f6"), "expected maps"),
        (("IMAGE", "--method", "occlusion", "--patch", "33"), "larger than the image"),
        (("IMAGE", "--method", "occlusion", "--patch", "4", "--stride", "5"), "smaller stride"),
        (("IMAGE", "--patch", "4"), "add --method occlusion"),
        (("IMAGE", "--method", "occlusion", "--layer", "c3"), "has no layer"),
        (("nowhere.png",), "no file or folder"),
    ],
)
def test_explain_wrong_use(backbones, digits, tmp_path, arguments, said: str) -> None:
    named = [str(digits / "3.png") if word == "IMAGE" else word for word in arguments]
    answer = backbones("explain", "lenet5.digits", *named, "-o", tmp_path / "out")
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_names_are_shown_in_chinese_and_classes_found_by_them(backbones, tmp_path) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[8:22, 6:20] = 180
    Image.fromarray(image).save(tmp_path / "box.png")
    answer = backbones(
        *("explain", "lenet5.fashion", tmp_path / "box.png", "--class", "包", "--lang", "both"),
        *("-o", tmp_path / "out"),
    )
    assert answer.code == 0
    assert "Bag 包" in answer.out
    assert "Bag 包" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_an_upright_image_and_a_turned_one_with_a_note_are_explained_alike(digits, tmp_path):
    """Colour images for a grey network, one of them to be turned by its EXIF orientation."""
    with Image.open(digits / "3.png") as image:
        upright = image.convert("RGB").resize((40, 28))
    upright.save(tmp_path / "1.png")
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "2.png", exif=exif)
    one, other = package.explain("lenet5.digits", tmp_path)
    assert one.size == other.size == (40, 28)
    # the second of a batch may be added up in another order
    maps = one.over(one.maps[0]), other.over(other.maps[0])
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-6 * np.nanmax(maps[1]))


def test_progress_counts_passes(digits: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = package.explain(
        "lenet5.digits",
        digits,
        method=["occlusion", "grad_cam"],
        occluder=Occluder(patch_px=16, stride_px=16),
        batch_size=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert len(list(found)) == 2
    assert calls == [(3, 10), (4, 10), (7, 10), (8, 10), (10, 10)]


def test_an_explanation_is_an_image_in_a_notebook(digits: Path, tmp_path: Path) -> None:
    (digits_3, _) = package.explain("lenet5.digits", digits)
    assert (digits_3._repr_png_() or b"").startswith(b"\x89PNG")
    write_explanations([digits_3, digits_3], tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["3-2.png", "3.png"]
    with pytest.raises(NotFound):
        package.explain("lenet5.digits", digits, layer="c9")


def test_mobilenet_looks_at_the_umbrella(backbones, test_data, tmp_path, monkeypatch) -> None:
    """On a real photo with real weights the object is where the heat is, by both methods."""
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    weights = test_data / "weights" / "mobilenetv1_075_keras_imagenet-cdf2aa61.pth"
    assert backbones("weights", "import", weights).code == 0
    photo = test_data / "imagenet-samples" / "n04507155_umbrella.JPEG"
    [found] = package.explain(
        "mobilenet_v1_075.keras_in1k",
        photo,
        method=("cam", "occlusion"),
        target="umbrella",
        occluder=Occluder(56, 28),
    )
    assert found.predictions[0].name == "umbrella"
    red = np.asarray(Image.open(photo).convert("RGB")).astype(int)
    umbrella = red[..., 0] - red[..., 1:].max(axis=2) > 60
    for each in found.maps:
        laid = found.over(each)
        seen = ~np.isnan(laid)
        # The quarter of the seen pixels that is hottest lies on the red umbrella more than chance.
        hot = seen & (laid >= np.nanquantile(laid, 0.75))
        assert umbrella[hot].mean() > 1.2 * umbrella[seen].mean(), each.method
