"""What the page asks for beside answers: heat maps, views, models, and the pages themselves."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import backbones
from backbones.data.finish import normalised
from backbones.features.dense import dense
from backbones.protocols.viewing import views
from tests.serving.conftest import encoded


def test_heat_maps_are_those_of_explain(serving, images) -> None:
    answer = serving()("POST", "/predict?top=3&explain=3&lang=zh", content=images[1]).json()
    (entry,) = answer["images"]
    ids = [guess.get("id", guess["name"]) for guess in entry["predictions"]]
    (wanted,) = backbones.explain("lenet5.digits", images[1], target=ids, device="cpu")
    assert len(entry["maps"]) == 3
    for found, own, name in zip(entry["maps"], wanted.maps, ids, strict=True):
        assert found["class"]["name"] == name
        assert np.array(found["values"]) == pytest.approx(own.values, rel=1e-3, abs=1e-6)
        assert found["share"] == own.share
    assert entry["seen_px"] == [round(value, 3) for value in wanted.seen]


def test_each_view_of_a_protocol_is_a_rectangle_with_an_answer(serving, bundle, images) -> None:
    ask = serving({"tiny": str(bundle)})
    answer = ask("POST", "/predict?protocol=ten_crop&top=3", content=images[1])
    (entry,) = answer.json()["images"]
    (wanted,) = backbones.predict(bundle, images[1], protocol="ten_crop", top=3, device="cpu")
    for found, guess in zip(entry["predictions"], wanted.predictions, strict=True):
        assert found["name"] == guess.name
        assert found["probability"] == pytest.approx(guess.probability, rel=1e-4)
    assert len(entry["views"]) == 10
    assert [view["mirrored"] for view in entry["views"]] == [False] * 5 + [True] * 5
    for left, top, width, height in (view["box_px"] for view in entry["views"]):
        assert 0 <= left < left + width <= 97.5
        assert 0 <= top < top + height <= 61.5
    first = {tuple(view["box_px"]) for view in entry["views"][:5]}
    assert len(first) == 5
    mean = np.mean([view["prediction"]["probability"] for view in entry["views"]])
    assert mean >= wanted.predictions[0].probability - 1e-4


def test_a_view_that_is_read_densely_has_a_grid_of_scores(serving, bundle) -> None:
    ask = serving({"tiny": str(bundle)})
    wide = encoded(np.random.default_rng(6).integers(0, 256, (40, 200, 3), dtype=np.uint8))
    answer = ask("POST", "/predict?protocol=vgg/dense&top=1", content=wide).json()
    (entry,) = answer["images"]
    opened = backbones.open(bundle, device="cpu")
    spec, network = opened.spec, opened.members[0].build().eval()
    first = opened.classes.index(entry["predictions"][0]["name"])
    photo = Image.open(io.BytesIO(wide))
    as_it_is, mirrored = views("vgg/dense", photo, spec=spec)
    assert [view["dense"] for view in entry["views"]] == [True, True]
    for view, seen in zip(entry["views"], (as_it_is, mirrored), strict=True):
        pixels = seen.permute(1, 2, 0).numpy()[None]
        with torch.no_grad():
            maps = dense(network, spec.size)(normalised(pixels, spec)).softmax(1)[0, first]
        wanted = maps.flip(1) if view["mirrored"] else maps
        assert np.array(view["grid"]) == pytest.approx(wanted.numpy(), abs=2e-4)
        assert wanted.shape[1] > wanted.shape[0] >= 1
    answer = ask("POST", "/predict?protocol=ten_crop", content=wide).json()
    assert {view["grid"] for view in answer["images"][0]["views"]} == {None}


def test_what_cannot_be_read_is_not_explained(serving, images) -> None:
    ask = serving()
    assert ask("POST", "/predict?explain=2", content=b"none").status_code == 422
    assert ask("POST", "/predict?protocol=ten_crop", content=b"none").status_code == 422
    files = [("image", ("a", b"none")), ("image", ("b", images[0]))]
    broken, good = ask("POST", "/predict?explain=2", files=files).json()["images"]
    assert set(broken) == {"error"}
    assert len(good["maps"]) == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("protocol=eleven_crop", "eleven_crop"),
        ("explain=21", "explain: "),
        ("explain=1", "several networks"),
    ],
)
def test_what_cannot_be_looked_at(serving, tmp_path, images, query, said) -> None:
    ask = serving()
    if "several" in said:
        model = ask.service.repository.get()
        both = model.classifier.members * 2
        object.__setattr__(model.classifier, "members", both)
    answer = ask("POST", f"/predict?{query}", content=images[0])
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_models_and_protocols_are_listed(serving) -> None:
    said = serving()("GET", "/models").json()
    assert said["models"] == [
        {"name": "digits", "variants": ["lenet5"], "num_classes": 10, "size_px": 32}
    ]
    assert {"single", "ten_crop"} <= set(said["protocols"])


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_else(serving, path) -> None:
    page = serving(token="secret")("GET", path)
    assert page.status_code == 200
    assert len(page.content) < 300_000
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for word in ("http://", "https://", "src=", "@import"):
        assert word not in page.text


@pytest.mark.our_rounding
def test_layers_maps_and_fields_are_those_of_the_package(serving, bundle, images) -> None:
    ask = serving({"tiny": str(bundle)})
    opened = backbones.open(bundle, device="cpu")
    (member,) = opened.members
    found = backbones.inspect(member.build(), (3, opened.spec.size, opened.spec.size))
    said = ask("GET", "/layers").json()
    assert (said["params"], said["macs"]) == (found.params, found.macs)
    layer = said["layers"][-1]["layer"]
    maps = ask("POST", f"/maps?layer={layer}", content=images[1]).json()
    (wanted,) = opened.features([images[1]], layer=layer, pool=False)
    assert maps["shape"] == list(wanted.values.shape)
    plane = wanted.values[0]
    grey = np.frombuffer(base64.b64decode(maps["maps"][0]), np.uint8).reshape(plane.shape)
    low, high = plane.min(), plane.max()
    assert grey / 255 == pytest.approx((plane - low) / max(high - low, 1e-12), abs=0.003)
    rows, columns = plane.shape
    for row, column in ((0, 0), (rows - 1, columns - 1)):
        box = ask("GET", f"/field?layer={layer}&row={row}&column={column}").json()
        top, left, bottom, right = found.sees(layer, row, column)
        assert box == {"box_px": [left, top, right - left, bottom - top], "size_px": 32}
    for path, part in (
        (f"/field?layer={layer}&row=99&column=0", "row 99"),
        ("/maps?layer=x", "'x'"),
    ):
        method = "GET" if "field" in path else "POST"
        refused = ask(method, path, content=images[1])
        assert refused.status_code == 400
        assert part in refused.json()["error"]
    assert ask("POST", f"/maps?layer={layer}", content=b"none").status_code == 422
