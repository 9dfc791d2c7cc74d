"""An exported file answers as its network does, or is not written; and it says what it is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import backbones
from backbones import catalog
from backbones.classifier import preparing
from backbones.data.decode import read_image
from backbones.errors import BadWeights, ExportMismatch, NotFinite, NotFound, WrongUse
from backbones.exporting.difference import first_layer_that_differs
from backbones.exporting.export import proof_of
from backbones.exporting.form import Deployable, Form
from backbones.exporting.onnx_model import OnnxModel, OnnxSession
from backbones.exporting.openvino_model import OpenVinoModel, OpenVinoSession, read_graph
from backbones.exporting.parity import batch_of, synthetic_batches
from backbones.exporting.program import program_of
from backbones.exporting.targets import find_target
from backbones.weights.bundle import Bundle
from tests.exporting.conftest import IMAGENET_IDS, bundle

onnx = pytest.importorskip("onnx")
TENSOR = Form("tensor", "float32")


RESIZED = 1e-3  # of probabilities, where the graph's resize may be a grey level off


def assert_alike(one, other, images, rtol: float = 1e-4) -> None:
    """Two classifiers give the same classes with the same probabilities."""
    for ours, theirs in zip(one.predict(images), other.predict(images), strict=True):
        assert [each.name for each in ours.predictions] == [
            each.name for each in theirs.predictions
        ]
        shares = [[each.probability for each in found.predictions] for found in (ours, theirs)]
        np.testing.assert_allclose(*shares, rtol=rtol)


# --- ONNX, whole images --------------------------------------------------------------------------


def test_predict_takes_an_exported_file_for_a_bundle(vgg, onnx_file, photos) -> None:
    exported, original = backbones.open(onnx_file), backbones.open(vgg, device="cpu")
    assert exported.classes == IMAGENET_IDS
    assert exported.spec == vgg.spec
    assert_alike(exported, original, photos, RESIZED)


def test_evaluate_measures_the_same_on_both(vgg, onnx_file, photos) -> None:
    for protocol in ("single", "ten_crop"):
        exported, original = (
            backbones.evaluate(each, photos, protocol=protocol, device="cpu").report
            for each in (onnx_file, vgg)
        )
        assert exported.num_samples == 6
        assert exported.loss == pytest.approx(original.loss, rel=RESIZED)
        assert exported.top1_error_percent == original.top1_error_percent


def test_a_graph_that_resizes_is_given_images_as_they_are(
    vgg, onnx_file, photos, monkeypatch
) -> None:
    """`evaluate FILE DATA` proves the file, its resize included; other views are squares."""
    seen: list[tuple[int, ...]] = []
    run = OnnxSession.run

    def spied(self, images):
        seen.append(images.shape)
        return run(self, images)

    monkeypatch.setattr(OnnxSession, "run", spied)
    opened, original = backbones.open(onnx_file), backbones.open(vgg, device="cpu")
    sizes = {(1, *read_image(path).shape[:2], 3) for path in photos.rglob("*.png")}
    assert_alike(opened, original, photos, RESIZED)
    assert set(seen) == sizes
    seen.clear()
    list(opened.predict(photos, protocol="ten_crop"))
    side = vgg.spec.resize
    assert {each[1:] for each in seen} == {(side, side, 3)}
    seen.clear()
    monkeypatch.setattr(preparing, "_MOST_WHOLE", (40 * 40, 2**14))
    assert_alike(opened, original, photos)
    assert {each[1:] for each in seen} == {(side, side, 3)}


def test_the_file_says_what_it_is_to_whoever_reads_it(vgg, onnx_file) -> None:
    known = {each.key: each.value for each in onnx.load(onnx_file).metadata_props}
    assert known["variant"] == "vgg_tiny"
    assert json.loads(known["class_ids"]) == list(IMAGENET_IDS)
    assert json.loads(known["class_names_en"])[0] == "tench"
    assert json.loads(known["class_names_zh"])[0] == "丁鲷"
    assert json.loads(known["input_spec"])["resize"] == vgg.spec.resize
    assert known["protocol"] == "single"
    assert len(known["weights_sha256"]) == 64
    assert known["backbones_version"] == backbones.__version__
    parity = json.loads(known["parity"])
    assert parity["images"] == 10
    assert {each.split()[0] for each in (row["runtime"] for row in parity["runtimes"])} == {
        "onnxruntime",
        "openvino",
    }


def test_the_graph_gives_logits_probabilities_and_the_pixels_that_it_saw(onnx_file) -> None:
    session = OnnxModel.read(onnx_file).session
    images = np.random.default_rng(0).integers(0, 256, (5, 57, 81, 3), dtype=np.uint8)
    found = session.run(images)
    assert found["logits"].shape == found["probabilities"].shape == (5, 10)
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-5)
    assert found["pixels"].shape == (5, 32, 32, 3)
    assert found["pixels"].dtype == np.uint8


def test_sides_of_one_pixel_are_sides_too(vgg, onnx_file) -> None:
    """PyTorch's archives see them in tests/cli/test_export.py."""
    for session in OnnxModel.read(onnx_file).sessions():
        for sides in ((1, 1), (1, 40), (40, 1)):
            images = np.full((2, *sides, 3), 77, np.uint8)
            images[1] += np.arange(sides[1], dtype=np.uint8)[:, None]
            ours = batch_of(("",) * 2, images, vgg.spec, Form()).pixels
            apart = np.abs(session.run(images)["pixels"].astype(int) - ours)
            assert apart.max() <= 1, (session.runtime, sides)


def test_the_resize_is_left_out_of_what_int8_does(onnx_file) -> None:
    """It is made of products of matrices, as the network is."""
    from backbones.quantization.graph import folded, layers_of, preparing_of

    whole = read_graph(onnx_file)
    graph = folded(whole)
    layers = layers_of(whole, graph)
    assert list(layers.values())[::3] == ["features.0", "features.12", "classifier.3"]
    products = {
        each.get_friendly_name()
        for each in graph.get_ops()
        if each.get_type_name() in ("Convolution", "MatMul")
    }
    left_out = set(preparing_of(graph))
    assert len(products & left_out) >= 2
    assert products - left_out == layers.keys()


def test_verify_repeats_the_proof_by_the_file_alone_or_against_the_bundle(vgg, onnx_file) -> None:
    for against in (None, vgg):
        found = backbones.verify_export(onnx_file, against=against)
        assert found.to_json()["same_first_class"] == found.to_json()["images"] == 10
        assert found.bytes == onnx_file.stat().st_size
    with pytest.raises(WrongUse, match="made from other weights"):
        backbones.verify_export(onnx_file, against=bundle("lenet5_tiny"))


def test_verify_finds_a_file_whose_weights_were_changed(onnx_file, tmp_path) -> None:
    (tmp_path / "changed.onnx").write_bytes(_scaled(onnx_file.read_bytes(), "features.4.weight"))
    with pytest.raises(ExportMismatch, match=r"onnxruntime .* synthetic 0, .* logits differ"):
        backbones.verify_export(tmp_path / "changed.onnx")


def test_other_onnx_files_and_broken_ones_are_told_apart(onnx_file, tmp_path) -> None:
    proto = onnx.load(onnx_file)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "strange.onnx")
    with pytest.raises(BadWeights, match="not written by backbones export"):
        backbones.open(tmp_path / "strange.onnx")
    (tmp_path / "cut.onnx").write_bytes(onnx_file.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="not a whole ONNX file"):
        backbones.open(tmp_path / "cut.onnx")
    with pytest.raises(NotFound, match="there is no bundle"):
        backbones.open(tmp_path / "missing.onnx")
    with pytest.raises(WrongUse, match="answers in fp32"):
        list(backbones.predict(onnx_file, np.zeros((9, 9, 3), np.uint8), precision="bf16"))


# --- OpenVINO, crops made outside ----------------------------------------------------------------


@pytest.fixture(scope="module")
def residual() -> Bundle:
    return bundle("resnet_tiny")


@pytest.fixture(scope="module")
def network(residual: Bundle) -> Deployable:
    return Deployable(residual.build(), residual.spec, TENSOR).eval()


@pytest.fixture(scope="module")
def translated(residual: Bundle, network: Deployable) -> OpenVinoModel:
    return OpenVinoModel.of(program_of(network, residual.spec), TENSOR)


def test_a_folder_of_openvino_is_a_bundle_and_speaks_model_api(
    residual, photos, tmp_path, translated, monkeypatch
) -> None:
    monkeypatch.setattr(OpenVinoModel, "of", lambda *_: translated)  # which takes seconds
    for _ in range(2):  # the second takes the place of the first
        done = backbones.export(residual, tmp_path / "folder", to="openvino", layout="tensor")
    assert sorted(each.name for each in done.file.iterdir()) == ["model.bin", "model.xml"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
    original = backbones.open(residual, device="cpu")
    for path in (done.file, done.file / "model.xml"):
        assert_alike(backbones.open(path), original, photos)
    info = read_graph(done.file / "model.xml").rt_info["model_info"]
    assert info["model_type"].astype(str) == "Classification"
    assert info["labels"].astype(str).split()[2] == "great_white_shark"
    assert info["mean_values"].astype(str).split() == ["114.75"] * 3
    assert backbones.verify_export(done.file).parity.same_first_class == 10
    (tmp_path / "folder" / "model.xml").write_text("<net/>")
    with pytest.raises(BadWeights, match="cannot be read by OpenVINO"):
        backbones.open(done.file)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_first_layer_that_differs_is_named(residual, network, translated, runtime) -> None:
    assert translated.origin is not None
    changed = _scaled(translated.origin.data, "layer2.0.conv2.weight")
    session = {
        "onnxruntime": lambda: OnnxSession(changed),
        "openvino": lambda: OpenVinoSession(read_graph(changed)),
    }[runtime]()
    layers = translated.layers(network)
    fed = synthetic_batches(residual.spec, TENSOR)[2].fed(residual.spec, TENSOR)
    good = translated.origin.sessions()[runtime == "openvino"]
    assert first_layer_that_differs(good, network, layers, fed) is None
    named = first_layer_that_differs(session, network, layers, fed)
    assert named is not None
    assert named.startswith("layer2.0.")
    proof = proof_of(network, residual.spec, lambda: translated)
    with pytest.raises(ExportMismatch, match=rf"{runtime} .*first at layer2\.0\.") as caught:
        proof.hold([session])
    assert caught.value.image.startswith("synthetic 0")


def _scaled(data: bytes, weight: str) -> bytes:
    """A file of ONNX with one tensor doubled."""
    proto = onnx.load_from_string(data)
    (tensor,) = [each for each in proto.graph.initializer if each.name.endswith(weight)]
    values = onnx.numpy_helper.to_array(tensor) * 2
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return bytes(proto.SerializeToString())


# --- PyTorch's archives --------------------------------------------------------------------------


class Deceitful(Bundle):
    """Its third layer answers otherwise when it is exported."""

    def build(self) -> nn.Module:
        network = super().build()
        network.features[3].register_forward_hook(
            lambda _, __, y: 1.01 * y if torch.compiler.is_exporting() else y
        )
        return network


def test_a_mismatch_names_image_and_layer_and_leaves_no_file(vgg, tmp_path) -> None:
    deceitful = Deceitful(**vars(vgg))
    with pytest.raises(ExportMismatch, match=r"torch\.export .* first at features\.3 ") as caught:
        backbones.export(deceitful, tmp_path / "x.pt2", to="pt2", layout="tensor")
    assert caught.value.layer == "features.3 (MaxPool2d)"
    assert list(tmp_path.iterdir()) == []


def test_score_maps_of_any_size_and_an_archive_is_read_only_on_trust(tmp_path) -> None:
    dense = bundle("lenet5_tiny")
    path = tmp_path / "maps.pt2"
    done = backbones.export(dense, path, to="pt2", layout="tensor", dtype="uint8", dense=True)
    assert done.parity.sizes[1].startswith("2 x ")
    with pytest.raises(WrongUse, match="can run code"):
        backbones.verify_export(path)
    with pytest.raises(WrongUse, match="can run code"):
        backbones.open(path)
    assert backbones.verify_export(path, trust=True).parity.same_first_class == done.parity.images
    size = dense.spec.size
    image = np.zeros((1, dense.spec.channels, size + 16, size + 40), np.uint8)
    session = find_target("pt2").read(path).session
    places = session.run(image)["logits"].shape
    assert places[:2] == (1, 10)
    assert places[2] < places[3]


# --- LiteRT ---------------------------------------------------------------------------------------


def test_a_file_for_phones_answers_as_its_network_does(residual, photos, tmp_path) -> None:
    """Runs where the extra `litert` is, an environment of its own."""
    pytest.importorskip("litert_torch", reason="no litert-torch: the extra litert")
    for dtype in ("float32", "uint8"):
        path = tmp_path / f"{dtype}.tflite"
        done = backbones.export(residual, path, to="litert", layout="tensor", dtype=dtype)
        assert done.parity.same_first_class == done.parity.images == 10
        assert backbones.verify_export(path, against=residual).parity.max_abs_diff < 1e-4
        assert_alike(backbones.open(path), backbones.open(residual, device="cpu"), photos)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="not a whole file of LiteRT"):
        backbones.open(path)


# --- wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "tflite"}, "expected one of onnx, openvino, pt2, litert"),
        ({"to": "litert", "out": "x.tflite"}, "made outside; add --layout tensor"),
        ({"to": "litert", "layout": "tensor", "dense": True, "out": "x.tflite"}, "omit --dense"),
        ({"layout": "nchw"}, "expected image or tensor"),
        ({"dtype": "float32"}, "images are uint8"),
        ({"precision": "int8"}, "say --to openvino"),
        ({"out": "model.bin"}, "ends in .onnx"),
        ({"to": "openvino", "out": "model.xml"}, "a folder with two files"),
        ({"to": "openvino", "out": "."}, "holds something else"),
        ({"out": "taken/x.onnx"}, "cannot be written"),
        ({"bundle": "."}, "holds no bundle"),
    ],
)
def test_wrong_use_is_told_before_any_work(vgg, tmp_path, monkeypatch, options, said) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file", encoding="utf-8")
    wanted = {"bundle": vgg, "out": "x.onnx"} | options
    with pytest.raises(WrongUse, match=said):
        backbones.export(**wanted)
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_a_network_that_answers_no_numbers_is_not_exported(vgg, tmp_path) -> None:
    state = vgg.state | {"features.0.bias": torch.full((8,), torch.nan)}
    with pytest.raises(NotFinite):
        backbones.export(replace(vgg, state=state), tmp_path / "x.pt2", to="pt2", layout="tensor")


# --- all of them ---------------------------------------------------------------------------------

# All of them take minutes, and are exported where the environment has BACKBONES_EVERY_EXPORT=1.
TINY, FORMS = ["googlenet_tiny"], ["float32"]
if os.environ.get("BACKBONES_EVERY_EXPORT"):
    TINY = [name for name in catalog.names() if name.endswith("_tiny")]
    FORMS = ["image", "float32", "uint8", "dense"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variant", TINY)
def test_every_family_in_every_form(variant: str, form: str, tmp_path: Path) -> None:
    options = {
        "image": {},
        "float32": {"layout": "tensor"},
        "uint8": {"layout": "tensor", "dtype": "uint8"},
        "dense": {"dense": True},
    }[form]
    try:
        done = backbones.export(bundle(variant), tmp_path / "x.onnx", **options)
    except WrongUse as error:
        if form != "dense":
            raise
        pytest.skip(str(error))
    assert done.parity.same_first_class == done.parity.images
